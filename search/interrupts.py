"""Ending early on purpose: Ctrl-C, SIGTERM, a closed terminal, a used-up time budget."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from search.errors import EXIT_DONE, EXIT_INTERRUPTED

_NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


class EndEarly(BaseException):
    """Leave the search now; not an Exception, so that Ray passes it on untouched."""

    def __init__(self, reason: str, *, asked_for: bool) -> None:
        """Say why. `asked_for` tells a planned end (time budget) from an interruption."""
        super().__init__(reason)
        self.reason = reason
        self.asked_for = asked_for


def how_it_ended(end: BaseException) -> tuple[str, int]:
    """Return why an EndEarly or a KeyboardInterrupt ended a command, and its exit code."""
    if isinstance(end, EndEarly):
        return end.reason, EXIT_DONE if end.asked_for else EXIT_INTERRUPTED
    return "interrupted", EXIT_INTERRUPTED


def interrupt_by_all() -> None:
    """Let SIGTERM and a closed terminal raise KeyboardInterrupt, where they are not ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def interrupted_by_all() -> Iterator[None]:
    """Do inside this block what `interrupt_by_all` does; put the old handlers back after it.

    Handlers belong to the main thread: in another one nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    interrupt_by_all()
    try:
        yield
    finally:
        _put_back(old)


class Interrupts:
    """Turns signals into EndEarly: at once, or at the next `check` inside `deferred`.

    A second one is a KeyboardInterrupt, but where a library that breaks by it is at work: inside
    `undivided` it is told that the search is ending, and the third leaves at once.
    """

    def __init__(self, time_budget_s: int | None = None) -> None:
        """Start the clock of the time budget."""
        self._signal: str | None = None
        self._reason: str | None = None  # of an end from another thread
        self._again = 0
        self._deferred = False
        self._over = False
        self._leave: Callable[[], None] | None = None
        self._handled: list[signal.Signals] = []
        self._deadline = None if time_budget_s is None else time.monotonic() + time_budget_s

    def check(self) -> None:
        """Raise EndEarly if a signal came or the time is up."""
        self.check_signals()
        if self._reason is not None:
            raise EndEarly(self._reason, asked_for=False)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise EndEarly("time budget reached", asked_for=True)

    def check_signals(self) -> None:
        """Raise EndEarly if a signal came; nothing else matters."""
        if self._signal is not None:
            raise EndEarly(self._signal, asked_for=False)

    def checked(
        self, progress: Callable[[str, int, int | None], None]
    ) -> Callable[[str, int, int | None], None]:
        """Return what shows progress as `progress` does, and looks first whether to end."""

        def shown(what: str, done: int, total: int | None) -> None:
            self.check()
            progress(what, done, total)

        return shown

    def end(self, reason: str) -> None:
        """Let the next `check` end the search; may be called from another thread.

        A signal counts for more.
        """
        self._reason = reason

    def forget_end(self) -> None:
        """Go on: what the search was to `end` for does not matter any more."""
        self._reason = None

    def over(self) -> None:
        """Hear of no signal any more: all is done, and the user is about to be told so."""
        self._over = True

    def install(self) -> None:
        """Set the handlers; again where a library has put its own in their place."""
        for number in self._handled:
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._over:
            return
        again, self._signal = self._signal is not None, _NAMES[signal.Signals(number)]
        if again:
            return self._insist()
        _tell("ending ...")
        if not self._deferred:
            raise EndEarly(self._signal, asked_for=False)

    def _insist(self) -> None:
        self._again += 1
        if self._leave is None:
            raise KeyboardInterrupt
        if self._again == 1:
            return _tell("still ending; once more to leave at once")
        _tell(f"{self._signal}: left at once; a study that had begun goes on with --resume")
        self._leave()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals inside this block, and put the old handlers back after it.

        A hang-up that is ignored, as `nohup` sets it, stays ignored.
        """
        old = {number: signal.getsignal(number) for number in _NAMES}
        ignored = old[signal.SIGHUP] == signal.SIG_IGN
        self._handled = [n for n in old if n != signal.SIGHUP or not ignored]
        self.install()
        try:
            yield
        finally:
            _put_back(old)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals wait for the next `check`: the journal is being written in this block."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def undivided(self, leave: Callable[[], None]) -> Iterator[None]:
        """Let a second signal cut nothing short in this block; the third calls `leave`.

        Ray, left half-way, ends the process from C++ with exit code 1.
        """
        self._leave = leave
        try:
            yield
        finally:
            self._leave = None


def _put_back(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # None: a handler not set from Python, which Python cannot put back.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _tell(message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be what is gone
        os.write(2, f"\n{message}\n".encode())  # print may be at work on the same stream
