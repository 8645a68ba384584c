import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from search.command import ended
from search.interrupts import EndEarly, Interrupts, interrupted_by_all

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A test that fails half-way must not leave its handlers behind."""
    old = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in old.items():
        signal.signal(number, handler)


def test_nothing_happened() -> None:
    interrupts = Interrupts()
    with interrupts.caught():
        interrupts.check()


def test_progress_that_is_shown_ends_what_takes_too_long() -> None:
    shown: list[tuple[str, int, int | None]] = []
    calm = Interrupts().checked(lambda *given: shown.append(given))
    calm("preparing", 1, 2)
    assert shown == [("preparing", 1, 2)]
    late = Interrupts(time_budget_s=0).checked(lambda *given: shown.append(given))
    with pytest.raises(EndEarly, match="time budget reached"):
        late("preparing", 2, 2)
    assert len(shown) == 1


@pytest.mark.parametrize(("number", "reason"), SIGNALS.items())
def test_a_signal_acts_at_once_where_nothing_is_written(number: int, reason: str) -> None:
    interrupts = Interrupts()
    with interrupts.caught(), pytest.raises(EndEarly, match=reason) as end:
        os.kill(os.getpid(), number)
    assert (end.value.reason, end.value.asked_for) == (reason, False)


def test_handlers_can_be_set_again_after_a_library_took_them() -> None:
    interrupts = Interrupts()
    with interrupts.caught():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as ray.init sets its own
        interrupts.install()
        with pytest.raises(EndEarly, match="terminated"):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("number", "reason"), SIGNALS.items())
def test_a_signal_is_remembered_until_the_driver_looks(number: int, reason: str) -> None:
    interrupts = Interrupts()
    with interrupts.caught(), interrupts.deferred():
        os.kill(os.getpid(), number)
        done = 2 + 2  # the step in hand is finished first
        with pytest.raises(EndEarly, match=reason) as end:
            interrupts.check()
    assert done == 4
    assert (end.value.reason, end.value.asked_for) == (reason, False)
    with pytest.raises(EndEarly):  # and stays
        interrupts.check()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_acts_at_once(second: int) -> None:
    interrupts = Interrupts()
    with interrupts.caught(), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)


def test_what_cannot_be_divided_is_cut_short_by_the_third_signal_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    left: list[str] = []
    interrupts = Interrupts()
    with interrupts.caught():
        with interrupts.undivided(lambda: left.append("left")), pytest.raises(EndEarly):
            os.kill(os.getpid(), signal.SIGINT)
        with interrupts.undivided(lambda: left.append("left")):
            os.kill(os.getpid(), signal.SIGHUP)
            assert left == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert left == ["left"]
        with pytest.raises(KeyboardInterrupt):  # what comes after it can be
            os.kill(os.getpid(), signal.SIGINT)
    assert left == ["left"]
    assert [line for line in capfd.readouterr().err.splitlines() if line] == [
        "ending ...",
        "still ending; once more to leave at once",
        "terminated: left at once; a study that had begun goes on with --resume",
    ]


def test_once_all_is_over_no_signal_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """One between the last words and the end cut objects' own ends short, with a traceback."""
    interrupts = Interrupts()
    with interrupts.caught():
        with pytest.raises(EndEarly):
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.over()
        for number in SIGNALS:
            os.kill(os.getpid(), number)
    assert capfd.readouterr().err == "\nending ...\n"


def test_an_end_from_another_thread_is_no_signal() -> None:
    interrupts = Interrupts()
    with interrupts.caught():
        interrupts.end("the server died")
        interrupts.check_signals()
        with pytest.raises(EndEarly, match="the server died"):
            interrupts.check()
        interrupts.forget_end()
        interrupts.check()
        with pytest.raises(EndEarly, match="interrupted"):  # the first one
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.end("the server died")
        with pytest.raises(EndEarly, match="interrupted"):  # which counts for more
            interrupts.check()


def test_a_terminal_that_is_gone_does_not_hide_the_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> int:
        raise OSError(5, "Input/output error")

    interrupts = Interrupts()
    monkeypatch.setattr(os, "write", gone)
    with interrupts.caught(), pytest.raises(EndEarly, match="hung up"):
        os.kill(os.getpid(), signal.SIGHUP)


def test_handlers_are_put_back_whatever_happens() -> None:
    def mine(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, mine)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with contextlib.suppress(RuntimeError), Interrupts().caught():
        within = signal.getsignal(signal.SIGTERM)
        raise RuntimeError("x")
    assert within != mine
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup sets it
    interrupts = Interrupts()
    with interrupts.caught():
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.check()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_handler_that_python_did_not_set_becomes_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    with Interrupts().caught():
        pass
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_end_passes_through_what_catches_exceptions() -> None:
    assert not issubclass(EndEarly, Exception)


def test_time_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    interrupts = Interrupts(90)
    for now[0] in (1000.0, 1089.9):
        interrupts.check()
    now[0] = 1090.0
    with pytest.raises(EndEarly, match="time budget reached") as end:
        interrupts.check()
    assert end.value.asked_for


def test_a_signal_counts_for_more_than_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts = Interrupts(1)
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    with interrupts.caught(), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(EndEarly, match="interrupted"):
            interrupts.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_command_interrupts_it_unless_it_is_ignored(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    with interrupted_by_all(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == signal.SIG_DFL
    signal.signal(number, signal.SIG_IGN)  # as nohup does
    with interrupted_by_all():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == signal.SIG_IGN


def test_a_command_may_run_in_a_thread_which_has_no_handlers() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(ended("x", lambda: 0)))
    thread.start()
    thread.join()
    assert found == [0]


def test_without_a_budget_time_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    Interrupts().check()


def test_ctrl_c_in_another_process() -> None:
    code = """if True:
        import time
        from search.interrupts import EndEarly, Interrupts, interrupted_by_all
        interrupts = Interrupts()
        with interrupts.caught():
            try:
                print("ready", flush=True)
                while True:
                    interrupts.check()
                    time.sleep(0.01)
            except EndEarly as end:
                print(end.reason, flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "ready\n"
        it.send_signal(signal.SIGINT)
        assert it.stdout.read() == "interrupted\n"
    assert it.returncode == 0
