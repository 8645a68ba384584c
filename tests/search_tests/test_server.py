"""The processes of Ray that must not die are watched."""

import subprocess
import sys
import threading

import pytest

from search import server
from search.interrupts import EndEarly, Interrupts
from search.server import ServerWatch


@pytest.fixture
def process() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_its_death_ends_the_search_with_the_reason(
    process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_EVERY_S", 0.01)
    heard, interrupts = threading.Event(), Interrupts()

    def end(reason: str) -> None:
        interrupts.end(reason)
        heard.set()

    watch = ServerWatch({"control server": process}, end, lambda: None)
    interrupts.check()
    assert not watch.lost
    process.kill()
    assert heard.wait(200)
    assert watch.lost
    with pytest.raises(EndEarly, match=r"^Ray's control server died \(signal 9\)$"):
        interrupts.check()
    watch.over()


def test_a_driver_that_hears_of_nothing_is_ended(
    process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_EVERY_S", 0.01)
    monkeypatch.setattr(server, "_PATIENCE_S", 0.01)
    ended = threading.Event()
    ServerWatch({"control server": process}, lambda reason: None, ended.set)
    assert not ended.wait(0.1)
    process.communicate(b"\n")
    assert ended.wait(200)


def test_an_end_as_it_should_be_is_no_loss(process: "subprocess.Popen[bytes]") -> None:
    called: list[str] = []
    ends = (called.append, lambda: called.append("ended"))
    watch = ServerWatch({"control server": process}, *ends)
    watch.over()
    process.communicate(b"\n")
    for thread in threading.enumerate():
        if thread.name == "server":
            thread.join(200)
    assert not watch.lost
    ServerWatch({}, *ends).over()
    assert called == []
