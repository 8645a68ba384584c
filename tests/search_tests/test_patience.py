"""A worker whose store is out of reach: how long it waits, what it tells, how it ends."""

import errno
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import trial_files, worker
from search.doing import what_it_does
from search.remote import StoreFailed
from search.trial_files import PATIENCE_S, TrialFiles
from search.worker import Worker

AWAY = StoreFailed("s3://b/x/mine: When listing: AWS Error NETWORK_CONNECTION: no route to host")
REFUSED = StoreFailed("s3://b/x/mine: When listing: AWS Error ACCESS_DENIED: No response body.")
STORE = {"uri": "s3://b/x/mine", "token": "t"}


class Store:
    """What `TrialFiles` asks of a store: nothing is there, and `fails` may raise."""

    def __init__(self, fails: Callable[[], None]) -> None:
        self.fails, self.names = fails, list[str]()

    def write(self, name: str, content: bytes) -> None:
        self.fails()

    def entries(self, under: str) -> dict[str, Any]:
        self.fails()
        return {}

    def put(self, name: str, file: Any, size: int) -> None:
        self.fails()
        self.names.append(name)


class Waiting:
    """A clock that moves by what is slept; it keeps what the trial told at each sleep."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.told = folder, 5000.0, dict[float, str]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.told[self.now] = what_it_does(self.folder)
        self.now += seconds


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialFiles:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    return TrialFiles({"folder": "/nowhere/mine", "store": STORE}, 3)


@pytest.fixture
def clock(files: TrialFiles, monkeypatch: pytest.MonkeyPatch) -> Waiting:
    found = Waiting(files.path)
    monkeypatch.setattr(trial_files, "time", found)
    return found


def store_of(files: TrialFiles, fails: Callable[[], None]) -> Store:
    found = Store(fails)
    files.__dict__["_remote"] = found
    return found


def raising(error: Exception) -> Callable[[], None]:
    def fails() -> None:
        raise error

    return fails


def log(folder: Path) -> list[str]:
    """Lines of a trial's log without their times."""
    return [line[20:] for line in (folder / "log.txt").read_text().splitlines()]


def test_a_store_that_is_away_for_nine_minutes_ends_nothing(
    files: TrialFiles, clock: Waiting
) -> None:
    def fails() -> None:
        if clock.now < 5000 + 540:
            raise AWAY

    store = store_of(files, fails)
    files.begin()
    assert 540 <= clock.now - 5000 < 580
    moments = list(clock.told)
    assert max(b - a for a, b in pairwise(moments)) <= 30
    told = list(clock.told.values())
    assert len(set(told)) == len(told)  # each a sign of life for who watches for hanging trials
    assert told[0] == "waiting for the store (seconds): 0 of 600"
    (files.path / "best.pt").write_text("x")
    files.keep()
    assert "trials/3/best.pt" in store.names
    assert log(files.path) == [f"waiting for the store: {AWAY}"]


def test_patience_ends_after_ten_minutes(files: TrialFiles, clock: Waiting) -> None:
    store_of(files, raising(AWAY))
    with pytest.raises(StoreFailed, match="no route to host"):
        files.begin()
    assert PATIENCE_S == 600
    assert 600 <= clock.now - 5000 < 640


def full() -> StoreFailed:
    error = StoreFailed("s3://b/x/mine: [Errno 28] No space left on device")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize("error", [REFUSED, full()], ids=["refused", "full"])
def test_there_is_no_use_in_waiting_for_what_stays(
    error: StoreFailed, files: TrialFiles, clock: Waiting
) -> None:
    store_of(files, raising(error))
    with pytest.raises(StoreFailed):
        files.begin()
    assert clock.now - 5000 < 30


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", True),
        ("there is no bucket b: AWS Error NO_SUCH_BUCKET during PutObject operation", True),
        ("AWS Error UNKNOWN (HTTP status 403) during ListObjectsV2 operation: None", True),
        ("AWS Error NETWORK_CONNECTION during ListObjectsV2 operation: curlCode: 7", False),
        ("AWS Error SLOW_DOWN during PutObject operation: reduce your request rate", False),
        ("AWS Error UNKNOWN (HTTP status 503) during PutObject operation", False),
    ],
)
def test_what_a_store_refuses(text: str, refused: bool) -> None:
    assert StoreFailed(f"s3://b/x: {text}").refused is refused


class Left(Exception):
    """The process has ended."""


def stepped(tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One step of a worker that gets `error` from its trial's files."""

    def exits(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(worker, "os", SimpleNamespace(_exit=exits))
    monkeypatch.setattr(TrialFiles, "begin", lambda _: raising(error)())
    driven = Worker({"job": {"folder": str(tmp_path)}, "number": 4})
    return driven.train()


def test_without_a_store_the_process_ends_so_that_another_takes_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Left, match=r"^1$"):
        stepped(tmp_path, AWAY, monkeypatch)
    assert log(tmp_path / "trials" / "4") == [
        f"this process ends, since the store has not answered: StoreFailed: {AWAY}"
    ]


@pytest.mark.parametrize("error", [REFUSED, full()], ids=["refused", "full"])
def test_what_no_other_process_would_mend_ends_the_study(
    error: StoreFailed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stepped(tmp_path, error, monkeypatch)["outcome"] == "no room"
