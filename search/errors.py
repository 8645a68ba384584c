"""How a command ends: the errors that carry an exit code, and their one-line messages."""

import sys
from collections.abc import Sequence

from trainables.errors import TrellisError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130


class UsageError(TrellisError):
    """Mistakes of one command line, all together: one line each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """Join the mistakes, a line each."""
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class StudyTaken(UsageError):
    """A study of that name exists already, or is being run. Another name may be free."""


def being_run(name: str) -> str:
    """Say that a study is taken by another process."""
    return f"study {name} is being run by another process"


class ResumeRefused(TrellisError):
    """The study on disk was made by another space, data or budget. Exit code 3."""


class StudyFailed(TrellisError):
    """The study could not do its job, such as no trial that finished. Exit code 1."""


def exit_code(error: TrellisError) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, ResumeRefused):
        return EXIT_REFUSED
    return EXIT_FAILED if isinstance(error, StudyFailed) else EXIT_USAGE


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out; torch, which says so in many ways, is not read for it."""
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from trainables import device

    return device.is_out_of_memory(error)


def how_to_install(extra: str) -> str:
    """Return the command that adds an extra of pyproject.toml, from this project's folder."""
    return f".venv/bin/python -m pip install --editable '.[{extra}]'"


def last_line(error: BaseException) -> str:
    """Return the last line of an error: of a traceback in text, that is the error itself."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
