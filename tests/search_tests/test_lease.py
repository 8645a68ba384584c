"""One driver at a time for a study in a store."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest

from search import lease as leases
from search.errors import StudyFailed, StudyTaken
from search.lease import LEASE_S, RENEW_S, Lease, _here, _is_dead
from search.remote import Entry, Remote, StoreFailed
from tests.search_tests.stores import s3


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3() as environment:
        yield environment


@pytest.fixture
def remote(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Remote:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return Remote(f"s3://bucket/{uuid4().hex}/mine")


def owners(remote: Remote) -> list[str]:
    return list(remote.entries())


def elsewhere(remote: Remote) -> None:
    """Make the only driver one of another machine."""
    (name,) = owners(remote)
    content = json.loads(remote.read(name) or b"")
    remote.write(name, json.dumps(content | {"machine": "m", "host": "far"}).encode())


def test_the_second_driver_is_refused_until_the_first_has_ended(remote: Remote) -> None:
    first, second = Lease(remote), Lease(remote)
    first.take()
    said = rf"study mine is being run by process {os.getpid()} on .*sign of life \d+ s ago"
    with pytest.raises(StudyTaken, match=said):
        second.take()
    assert len(owners(remote)) == 1
    first.renew()
    first.release()
    second.take()
    with pytest.raises(StudyTaken):
        first.take()


def test_of_two_that_come_at_once_one_at_most_goes_on(remote: Remote) -> None:
    for _ in range(5):
        both, taken, refused = threading.Barrier(2), list[Lease](), list[StudyTaken]()

        def come(both: threading.Barrier, taken: list[Lease], refused: list[StudyTaken]) -> None:
            mine = Lease(Remote(remote.uri))
            both.wait()
            try:
                mine.take()
                taken.append(mine)
            except StudyTaken as error:
                refused.append(error)

        outcomes = (both, taken, refused)
        threads = [threading.Thread(target=come, args=outcomes) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) <= 1
        assert len(taken) + len(refused) == 2
        assert len(owners(remote)) == len(taken)
        for each in taken:
            each.release()


def test_a_driver_killed_on_this_machine_is_known_to_be_dead_at_once(remote: Remote) -> None:
    code = "import os, sys; from search.lease import Lease; from search.remote import Remote\n"
    code += "Lease(Remote(sys.argv[1])).take(); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code, remote.uri], check=False)
    assert killed.returncode == -9
    assert len(owners(remote)) == 1
    Lease(remote).take()
    assert len(owners(remote)) == 1


def test_one_of_another_machine_is_dead_when_its_sign_of_life_is_old(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 1e6)  # by itself, that is
    lost = Lease(remote)
    lost.take()
    elsewhere(remote)
    with pytest.raises(StudyTaken, match=r"on far, .* try again in \d+ s$"):
        Lease(remote).take()
    first, entry = owners(remote)[0], Remote.entry

    def later(self: Remote, name: str) -> Entry | None:  # the time of what is put now
        found = entry(self, name)
        if found is None or found.changed is None or name == first:
            return found
        return Entry(found.size, found.changed + LEASE_S + 1)

    monkeypatch.setattr(Remote, "entry", later)
    Lease(remote).take()
    assert owners(remote) != [first]
    monkeypatch.setattr(leases, "_clocks", lambda: (1e12, 1e12))
    with pytest.raises(StudyFailed, match=r"^another driver took s3://.*/mine over"):
        lost.renew()
    assert len(owners(remote)) == 1  # it does not come back


def test_a_renewal_is_due_by_either_clock(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0, 5000.0]
    monkeypatch.setattr(leases, "_clocks", lambda: (now[0], now[1]))
    mine = Lease(remote)
    mine.take()
    puts: list[str] = []
    monkeypatch.setattr(Remote, "write", lambda _, name, content: puts.append(name))
    mine.renew()
    assert not puts
    now[1] += RENEW_S  # the machine slept
    mine.renew()
    now[0], now[1] = now[0] + RENEW_S, now[1] - 3600  # the wall clock was put back
    mine.renew()
    assert len(puts) == 2


def test_a_claim_that_cannot_be_read_keeps_others_out(remote: Remote) -> None:
    remote.write("driver-x.json", b"not json")
    with pytest.raises(StudyTaken):
        Lease(remote).take()


def test_no_claim_is_left_where_the_store_fails(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StoreFailed("no list")

    monkeypatch.setattr(Remote, "entries", broken)
    with pytest.raises(StoreFailed, match="no list"):
        Lease(remote).take()
    monkeypatch.undo()


GONE = 2**22 + 5  # above Linux's highest process number


def test_a_process_of_another_machine_is_not_dead_because_it_is_not_here(remote: Remote) -> None:
    Lease(remote).take()
    (name,) = owners(remote)
    content = json.loads(remote.read(name) or b"")
    far = content | {"machine": "m", "host": "far", "process": GONE}
    remote.write(name, json.dumps(far).encode())
    with pytest.raises(StudyTaken, match="on far"):
        Lease(remote).take()
    assert owners(remote) == [name]


def test_who_is_dead_by_hand() -> None:
    here = _here()
    assert not _is_dead(here)
    assert _is_dead(here | {"process": GONE})
    assert _is_dead(here | {"started": "1"})  # its number is another process's now
    assert not _is_dead(here | {"process": GONE, "machine": "m"})
    assert not _is_dead(here | {"process": GONE, "machine": ""})


@pytest.mark.parametrize(("age", "holds"), [(LEASE_S - 1, True), (LEASE_S + 1, False)])
def test_a_claim_lapses_after_its_time_and_not_before(
    age: float, holds: bool, remote: Remote
) -> None:
    claim = {"machine": "m", "process": 1, "host": "far"}
    remote.write("driver-x.json", json.dumps(claim).encode())
    entry = remote.entry("driver-x.json")
    assert entry is not None
    assert entry.changed is not None
    with pytest.raises(StudyTaken) if holds else contextlib.nullcontext():
        Lease(remote)._judge("driver-x.json", entry, Entry(1, entry.changed + age))
    assert (remote.entry("driver-x.json") is not None) is holds
