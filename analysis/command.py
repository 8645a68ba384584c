"""What the analysis commands share: mistakes in one line, and the exit codes of `search`."""

from collections.abc import Callable

from search.command import RESULTS, Parser, ended, positive
from search.errors import EXIT_DONE

__all__ = ["RESULTS", "Parser", "positive", "run"]


def run(prog: str, work: Callable[[], None]) -> int:
    """Do `work` and return the exit code, as `search.command.ended` does."""

    def done() -> int:
        work()
        return EXIT_DONE

    return ended(prog, done)
