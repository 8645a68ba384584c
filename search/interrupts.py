"""Ending early on purpose: Ctrl-C, SIGTERM, a closed terminal, a used-up time budget."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


class EndEarly(BaseException):
    """Leave the search now; not an Exception, so that Ray passes it on untouched."""

    def __init__(self, reason: str, *, asked_for: bool) -> None:
        """Say why. `asked_for` tells a planned end (time budget) from an interruption."""
        super().__init__(reason)
        self.reason = reason
        self.asked_for = asked_for


class Interrupts:
    """Remembers a signal until the driver is between two steps; a second one acts at once."""

    def __init__(self, time_budget_s: int | None = None) -> None:
        """Start the clock of the time budget."""
        self._reason: str | None = None
        self._deadline = None if time_budget_s is None else time.monotonic() + time_budget_s

    def check(self) -> None:
        """Raise EndEarly if a signal came or the time is up."""
        if self._reason is not None:
            raise EndEarly(self._reason, asked_for=False)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise EndEarly("time budget reached", asked_for=True)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._reason is not None:
            raise KeyboardInterrupt
        self._reason = _NAMES[signal.Signals(number)]

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals inside this block, and put the old handlers back after it.

        A hang-up that is ignored, as `nohup` sets it, stays ignored.
        """
        old = {number: signal.getsignal(number) for number in _NAMES}
        for number, handler in old.items():
            if number != signal.SIGHUP or handler != signal.SIG_IGN:
                signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in old.items():
                # None: a handler not set from Python, which Python cannot put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
