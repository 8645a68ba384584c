"""Messages to the user, and how values read in them."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from trainables.errors import one_line


def say(message: str) -> None:
    """Print a message to the user; results go to stdout, everything else here.

    What moves the cursor is escaped: a message may tell of a study or file of somebody else. A
    terminal that was closed, or a full disk under a log, must not end a study.
    """
    with contextlib.suppress(OSError):
        print("\n".join(map(one_line, message.split("\n"))), file=sys.stderr, flush=True)


class DataProgress:
    """Shows how data is prepared: a line that renews itself on a terminal, else one per 10 s.

    Works may take turns, as drawing images and storing them do: the 10 s are those of all.
    """

    def __init__(self) -> None:
        """Show nothing before the first call."""
        self._what = ""
        self._shown = time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Tell that `done` of `total` units are done; None where the total is not known."""
        ended, new = total is not None and done >= total, what != self._what
        self._what = what
        here = sys.stderr.isatty()
        now = time.monotonic()
        waited = now - self._shown >= (0.1 if here else 10.0)
        if not (ended or waited or (new and (here or total is None))):
            return
        self._shown = now
        text = what if total is None else f"{what}: {done:,} of {total:,}"
        if here:
            print(f"\r\033[K{text}", end="\n" if ended else "", file=sys.stderr, flush=True)
        else:
            say(text)


def clock(seconds: float) -> str:
    """Return seconds as 1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def settings(config: Mapping[str, Any]) -> str:
    """Return a configuration in one line of any terminal."""
    return one_line(" ".join(f"{name}={_short(value)}" for name, value in config.items()))


def _short(value: Any) -> str:
    """Return a value as text, of floats 3 digits: but none reads as a whole number it is not."""
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    short = f"{value:.3g}"
    return repr(value) if float(short).is_integer() else short
