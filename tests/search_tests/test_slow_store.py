"""A store so slow that one file takes longer than a lease lasts. Time is counted, not spent."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from search import lease as leases
from search.errors import StudyFailed, StudyTaken
from search.lease import LEASE_S, PREFIX, Lease
from search.mirror import Mirror
from search.remote import Entry, StoreFailed
from search.take_in import take_in

BLOCK, BLOCK_S = 1 << 10, 20.0
BIG = 40 * BLOCK  # 800 s


class Clock:
    """Time that passes when `advance` is called; who waits for it is waited for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.turn = threading.Condition()
        self.awake: set[int] = set()
        self.deadlines: dict[int, float] = {}

    def advance(self, seconds: float) -> None:
        with self.turn:
            assert self.turn.wait_for(lambda: not self.awake, timeout=30)
            self.now += seconds
            self.awake = {key for key, until in self.deadlines.items() if until <= self.now}
            self.turn.notify_all()
            assert self.turn.wait_for(lambda: not self.awake, timeout=30)


class Event:
    """What of `threading.Event` a lease uses, by such a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.found = clock, False

    def set(self) -> None:
        with self.clock.turn:
            self.found = True
            self.clock.deadlines.pop(id(self), None)
            self.clock.turn.notify_all()

    def is_set(self) -> bool:
        return self.found

    def wait(self, seconds: float) -> bool:
        clock, key = self.clock, id(self)
        with clock.turn:
            clock.awake.discard(key)
            if not self.found:
                clock.deadlines[key] = clock.now + seconds
            clock.turn.notify_all()
            clock.turn.wait_for(lambda: self.found or key in clock.awake)
            clock.deadlines.pop(key, None)
            return self.found


class SlowStore:
    """A store in memory. Large files go block by block: `at_block` is called at each."""

    uri = "s3://bucket/x/mine"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.files: dict[str, tuple[bytes, float]] = {}
        self.at_block: Callable[[], None] = lambda: None
        self.away = False
        self.blocks = 0

    def _answer(self) -> None:
        if self.away:
            raise StoreFailed("s3://bucket: no network")

    def _copy(self, source: BinaryIO, size: int) -> bytes:
        content = b""
        while len(content) < size:
            content += source.read(min(BLOCK, size - len(content)))
            if size > BLOCK:
                self.blocks += 1
                self.clock.advance(BLOCK_S)
                self.at_block()
        return content

    def put(self, name: str, source: BinaryIO, size: int) -> None:
        self._answer()
        self.files[name] = (self._copy(source, size), self.clock.now)

    def write(self, name: str, content: bytes) -> None:
        self._answer()
        self.files[name] = (content, self.clock.now)

    def read(self, name: str) -> bytes | None:
        self._answer()
        return self.files[name][0] if name in self.files else None

    def entry(self, name: str) -> Entry | None:
        self._answer()
        found = self.files.get(name)
        return None if found is None else Entry(len(found[0]), found[1])

    def entries(self, under: str = "") -> dict[str, Entry]:
        self._answer()
        names = [name for name in self.files if name.startswith(under)]
        return {name: Entry(len(self.files[name][0]), self.files[name][1]) for name in names}

    def remove(self, name: str) -> None:
        self._answer()
        self.files.pop(name, None)

    def fetch(self, name: str, path: Path) -> bool:
        import io

        path.parent.mkdir(parents=True, exist_ok=True)
        content = self.files[name][0]
        path.write_bytes(self._copy(io.BytesIO(content), len(content)))
        return True


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    clock = Clock()
    found = SlowStore(clock)

    class Thread(threading.Thread):
        def start(self) -> None:
            clock.awake.add(id(self._args[1]))  # type: ignore[attr-defined]  # its event
            super().start()

    kinds = {"Lock": threading.Lock, "Thread": Thread, "Event": lambda: Event(clock)}
    monkeypatch.setattr(leases, "threading", SimpleNamespace(**kinds), raising=False)
    monkeypatch.setattr(leases, "_clocks", lambda: (clock.now, clock.now))
    monkeypatch.setattr(leases, "Remote", lambda _: found)
    return found


def another_is_refused(store: Any) -> None:
    with pytest.raises(StudyTaken, match=r"^study mine is being run by process \d+ on"):
        Lease(store).take()


def claims(store: Any) -> list[str]:
    return [name for name in store.files if name.startswith(PREFIX)]


def test_putting_a_large_file_keeps_the_lease(store: Any, tmp_path: Path) -> None:
    (tmp_path / "trials" / "0").mkdir(parents=True)
    (tmp_path / "trials" / "0" / "checkpoint.pt").write_bytes(os.urandom(BIG))
    lease = Lease(store)
    lease.take()
    store.at_block = lambda: another_is_refused(store)
    mirror = Mirror(tmp_path, store, lease, print, False, {})
    mirror._round()
    assert store.blocks * BLOCK_S > 5 * LEASE_S
    assert (
        store.files["trials/0/checkpoint.pt"][0]
        == (tmp_path / "trials" / "0" / "checkpoint.pt").read_bytes()
    )
    lease.release()
    assert claims(store) == []
    store.clock.advance(10 * LEASE_S)
    assert claims(store) == []


def test_fetching_a_study_keeps_the_lease(store: Any, tmp_path: Path) -> None:
    for name, content in {"study.json": b"{}", "journal.log": b"", "best.pt": b"x" * BIG}.items():
        store.files[name] = content, 0.0
    lease = Lease(store)
    lease.take()
    store.at_block = lambda: another_is_refused(store)
    known, _ = take_in(store, tmp_path / "mine")
    assert store.blocks == 40
    assert set(known) == {"study.json", "journal.log", "best.pt"}
    lease.release()


def test_a_lease_outlives_a_store_that_is_away_for_a_while(store: Any) -> None:
    lease = Lease(store)
    lease.take()
    store.away = True
    store.clock.advance(LEASE_S / 2)
    store.away = False
    store.clock.advance(LEASE_S / 4)
    store.clock.advance(LEASE_S / 2)
    another_is_refused(store)
    lease.release()


def test_a_lease_that_was_lost_is_not_claimed_again(store: Any) -> None:
    lease = Lease(store)
    lease.take()
    (name,) = claims(store)
    del store.files[name]  # as another does that finds it old
    with store.clock.turn:
        assert store.clock.turn.wait_for(lambda: store.clock.deadlines, timeout=200)
        (event,) = store.clock.deadlines
        store.clock.now += LEASE_S
        store.clock.awake.add(event)
        store.clock.turn.notify_all()
    for _ in range(2):
        with pytest.raises(StudyFailed, match=r"^another driver took s3://bucket/x/mine over"):
            lease.renew()
    assert claims(store) == []


def test_a_claim_that_is_stopped_lapses(store: Any) -> None:
    lease = Lease(store)
    lease.take()
    lease.stop()
    store.clock.advance(LEASE_S + 1)
    other = Lease(store)
    other.take()
    assert len(claims(store)) == 1
    other.release()
