"""What the analysis commands share: mistakes in one line, and the exit codes of `search`."""

import argparse
import sys
from collections.abc import Callable

from search.command import Parser, printed
from search.errors import exit_code
from trainables.errors import TrellisError

__all__ = ["Parser", "positive", "run"]


def positive(text: str) -> int:
    """Return the whole number `text`, 1 or more; for `add_argument(type=...)`."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, but got {text!r}")
    return int(text)


def run(prog: str, work: Callable[[], None]) -> int:
    """Do `work` and return the exit code; a `TrellisError` is printed to stderr."""

    def told() -> int:
        try:
            work()
        except TrellisError as error:
            for line in str(error).splitlines():
                print(f"{prog}: {line}", file=sys.stderr)
            return exit_code(error)
        return 0

    return printed(prog, told)
