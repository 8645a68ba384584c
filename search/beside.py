"""What follows a study beside the driver's loop: TensorBoard files, MLflow runs. None may end it.

A follower looks at the book again and again and passes on what is new; it decides nothing.
"""

import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from search.book import Book
from search.errors import how_to_install
from search.records import Record

_EVERY_S = 1.0


class Beside(Protocol):
    """A follower of a study."""

    def update(self) -> None:
        """Pass on what is new if it is time; called many times a second, and quick."""

    def close(self) -> None:
        """Pass on the rest; the study has ended, or this run of it."""


class News:
    """What a follower has not passed on yet: new epochs of a trial, and how it ended."""

    def __init__(self, book: Book, begun: Mapping[int, int], ended: Iterable[int] = ()) -> None:
        """Begin where an earlier run stopped.

        Args:
            book: The study.
            begun: Epochs that were passed on before, by trial.
            ended: Trials that were passed on to their end.
        """
        self._book = book
        self._epochs = dict(begun)
        self._ended = set(ended)

    def __iter__(self) -> Iterator[tuple[Record, list[Mapping[str, Any]]]]:
        """Yield each trial of which something is new, with its new rows, by number.

        What was yielded counts as passed on once the next one is asked for: an error in between
        leaves it new.
        """
        for number, record in list(self._book.records.items()):
            if number in self._ended:
                continue
            before, over = self._epochs.get(number), record.status != "running"
            rows = list(record.rows[before or 0 :])
            if before is None or rows or over:
                yield record, rows
                self._epochs[number] = len(record.rows)
                if over:
                    self._ended.add(number)

    def correct(self, number: int, had: tuple[int, bool] | None) -> None:
        """Take what was passed on of a trial from where it went, as after an error.

        `had` is how many epochs, and whether its end; None: nothing at all.
        """
        self._epochs.pop(number, None)
        self._ended.discard(number)
        if had is not None:
            self._epochs[number], over = had
            if over:
                self._ended.add(number)


def is_ahead(record: Record | None, epochs: int, over: bool) -> bool:
    """Tell whether more was passed on of a trial than the journal has of it.

    Then the journal has lost that trial, and has another under its number, or will have.

    Args:
        record: The trial of that number now; None without one.
        epochs: How many of them were passed on.
        over: Whether its end was.
    """
    if record is None:
        return True
    return epochs > len(record.rows) or (over and record.status == "running")


class Pace:
    """Says when it is time to look again: a follower need not look at every step."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        """Be due at once, then every so many seconds."""
        self._every_s = every_s
        self._next = 0.0

    def due(self) -> bool:
        """Tell whether it is time, and count from now if so."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every_s
        return True


def mistakes(tensorboard: bool, mlflow: str | None) -> list[str]:
    """Return what is wrong with --tensorboard and --mlflow, told before a study begins."""
    wrong = []
    for word, asked in (("tensorboard", tensorboard), ("mlflow", mlflow is not None)):
        if asked and importlib.util.find_spec(word) is None:
            wrong.append(f"--{word}: the package is missing: {how_to_install(word)}")
    if mlflow is not None:
        from search.mlflow_runs import uri_mistake

        mistake = uri_mistake(mlflow)
        if mistake:
            wrong.append(f"--mlflow: {mistake}")
    return wrong


def started(
    book: Book, tensorboard: bool, mlflow: str | None, say: Callable[[str], None]
) -> list[Beside]:
    """Return the followers that were asked for; what goes wrong with them is told by `say`."""
    found: list[Beside] = []
    if tensorboard:
        from search.tensorboard_files import EventFiles

        found.append(EventFiles(book, say))
    if mlflow is not None:
        from search.mlflow_runs import Runs

        found.append(Runs(book, mlflow, say))
    return found
