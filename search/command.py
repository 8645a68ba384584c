"""What all commands share: a command line that is told its mistakes in one line."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from search.errors import EXIT_FAILED, EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """An argument parser that tells a mistake in one line; argparse prints its usage first.

    Options are written out: an abbreviation such as --trial may mean another one tomorrow.
    """

    def __init__(self, **settings: Any) -> None:
        """Take the settings of `argparse.ArgumentParser`."""
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit with 2; what could break the line is escaped."""
        self.exit(EXIT_USAGE, f"{self.prog}: {one_line(message)} (see --help)\n")


def one_line(text: str) -> str:
    """Return text with what could break a line or move the cursor escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def printed(prog: str, work: Callable[[], int]) -> int:
    """Do `work`, which prints to stdout, and return its exit code.

    Where not all of it can be written, as on a full disk, that is told in one line, and the exit
    code is 1. A reader that has had enough (`| head`) is no mistake.
    """
    try:
        code = work()
        sys.stdout.flush()
    except OSError as error:
        if not _on_stdout():
            raise
        if isinstance(error, BrokenPipeError):
            return EXIT_FAILED
        print(f"{prog}: cannot write to stdout: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    return code


def _on_stdout() -> bool:
    """Tell whether stdout is what failed; if so, throw away what it still holds.

    Python would try once more when it ends, and tell of it in lines of its own.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return True
    return False
