"""What a trial does before its first epoch: a line in its folder, for the driver to show."""

import contextlib
import time
from pathlib import Path

NAME = "doing.txt"
_EVERY_S = 1.0


class Doing:
    """A `Progress` that keeps its latest line in a trial's folder, at most once a second."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`, which is made."""
        self._folder = folder
        self._written = -_EVERY_S

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Tell that `done` of `total` units are done; None where the total is not known."""
        now = time.monotonic()
        if now - self._written < _EVERY_S and done != total:
            return
        self._written = now
        text = what if total is None else f"{what}: {done:,} of {total:,}"
        with contextlib.suppress(OSError):  # a full disk is told by what matters, not by this
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / NAME).write_text(text, encoding="utf-8")


def what_it_does(folder: Path) -> str:
    """Return the latest line, "" where there is none."""
    try:
        return (folder / NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
