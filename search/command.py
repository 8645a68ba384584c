"""What all commands share: a command line that is told its mistakes in one line."""

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from search.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UsageError,
    exit_code,
    is_out_of_memory,
)
from search.interrupts import EndEarly, how_it_ended, interrupted_by_all
from search.places import place
from search.progress import say
from trainables.errors import TrellisError, one_line

RESULTS = Path("results")  # where studies lie, if nothing else is said
_OUT_OF_MEMORY = "out of memory: end what else uses it"
_OF_A_GPU = re.compile("CUDA|CUDNN|CUBLAS")
_ON_A_GPU = "; with CUDA_VISIBLE_DEVICES= before the command it takes that of the CPU"


class Parser(argparse.ArgumentParser):
    """An argument parser that tells a mistake in one line; argparse prints its usage first.

    Options are written out: an abbreviation such as --trial may mean another one tomorrow.
    """

    def __init__(self, **settings: Any) -> None:
        """Take the settings of `argparse.ArgumentParser`."""
        super().__init__(allow_abbrev=False, **settings)

    def add_results_dir(self, stores: bool = True) -> None:
        """Add --results-dir of a command that reads studies: a Path, or the URI of a store.

        Without `stores` a URI is still read, for the command to say that it takes none.
        """
        about = "where studies are looked for by name (default: results)"
        self.add_argument(
            "--results-dir",
            metavar="DIR|URI" if stores else "DIR",
            type=_place,
            default=RESULTS,
            help=about + (", or s3://bucket/folder" if stores else ""),
        )

    def add_data_dir(self) -> None:
        """Add --data-dir of a command that reads a study with its data: a Path or None."""
        self.add_argument(
            "--data-dir",
            metavar="DIR",
            type=Path,
            help="where the data lies (default: where the study found it)",
        )

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit with 2; what could break the line is escaped."""
        self.exit(EXIT_USAGE, f"{self.prog}: {one_line(message)} (see --help)\n")


def positive(text: str) -> int:
    """Return the whole number `text`, 1 or more; for `add_argument(type=...)`."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, but got {text!r}")
    return int(text)


def _place(text: str) -> Path | str:
    """Read a place of studies; a mistake is told without the text, which may hold a secret."""
    try:
        return place(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def ended(prog: str, work: Callable[[], int]) -> int:
    """Do the work of a command, and return its exit code.

    What ends it early is told in a line, or a line for each mistake: a `TrellisError`, a file that
    cannot be read or written, memory that runs out, Ctrl-C, or a stdout that cannot be written to.
    SIGTERM and a closed terminal end it as Ctrl-C does, where the work has no handlers of its own.
    """

    def told() -> int:
        try:
            return work()
        except TrellisError as error:
            lines = error.mistakes if isinstance(error, UsageError) else str(error).splitlines()
            for text in lines:
                say(f"{prog}: {text}")
            return exit_code(error)
        except _NotPrinted:
            raise
        except OSError as error:  # a file in the way, a disk that is full
            say(f"{prog}: {one_line(str(error))}")
            return EXIT_FAILED
        except (EndEarly, KeyboardInterrupt) as end:
            reason, code = how_it_ended(end)
            say(f"\n{prog}: {reason}")
            return code
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            on_gpu = _ON_A_GPU if _OF_A_GPU.search(str(error)) else ""
            say(f"{prog}: {_OUT_OF_MEMORY}{on_gpu}")
            return EXIT_FAILED

    with interrupted_by_all():
        return printed(prog, told)


_DUE: list[int] = []


def code_due() -> int:
    """Return the exit code that `leave` was called with, for what ends this process after it."""
    return _DUE[-1] if _DUE else EXIT_FAILED


def leave(code: int) -> NoReturn:
    """Exit with `code`, whatever signal still comes: all is done, and the user told."""
    _DUE.append(code)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def printed(prog: str, work: Callable[[], int]) -> int:
    """Do `work`, which prints to stdout, and return its exit code.

    Where not all of it can be written, as on a full disk, that is told in one line, and the exit
    code is 1. A reader that has had enough (`| head`) is not told of.
    """
    _open_closed()
    stream = sys.stdout
    # The name of a folder may be in any letters.
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")
    sys.stdout = _Watched(stream)
    code = EXIT_FAILED
    try:
        code = work()
        sys.stdout.flush()
    except _NotPrinted as error:
        _throw_away(stream)
        if code == EXIT_INTERRUPTED:  # by the end of the terminal, for one
            return code
        if not isinstance(error.__cause__, BrokenPipeError):
            say(f"{prog}: cannot write to stdout: {error.strerror}")
        return EXIT_FAILED
    finally:
        sys.stdout = stream
    return code


def _open_closed() -> None:
    """Put os.devnull in the place of a stream that the caller has closed, as `>&-` does.

    In this order they get their own numbers, which a file that is opened later would have.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


class _NotPrinted(OSError):
    """Something could not be written to stdout, rather than to another file."""


class _Watched:
    """A stream whose own errors can be told from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return int(self._do(self._stream.write, text))

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, call: Callable[..., Any], *given: str) -> Any:
        try:
            return call(*given)
        except OSError as error:
            raise _NotPrinted(error.errno, error.strerror) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _throw_away(stream: TextIO) -> None:
    """Drop what a stream still holds: Python would try again at its end, and tell of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
