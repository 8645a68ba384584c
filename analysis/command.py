"""What the analysis commands share: mistakes in one line, and the exit codes of `search`."""

import argparse
from collections.abc import Callable

from search.command import Parser, ended
from search.errors import EXIT_DONE

__all__ = ["Parser", "positive", "run"]


def positive(text: str) -> int:
    """Return the whole number `text`, 1 or more; for `add_argument(type=...)`."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, but got {text!r}")
    return int(text)


def run(prog: str, work: Callable[[], None]) -> int:
    """Do `work` and return the exit code, as `search.command.ended` does."""

    def done() -> int:
        work()
        return EXIT_DONE

    return ended(prog, done)
