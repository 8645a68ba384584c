"""What all commands share: a command line that is told its mistakes in one line."""

import argparse
from typing import Any, NoReturn

from search.errors import EXIT_USAGE


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
