"""A line now and then about a study that runs where nobody sees its live table."""

import time
from itertools import islice

from search.book import Book
from search.progress import clock
from search.records import Record

QUIET_S = 30.0
# Of a long study: the log of a day needs no line every half minute, but more than one an hour.
_SHARE = 0.05
_MOST_S = 300.0
_TRIALS = 4


class Pulse:
    """Tells when a line is due: half a minute after the last, later a twentieth of the time.

    After five minutes in any case.
    """

    def __init__(self) -> None:
        """Begin to count now."""
        self._began = self._last = time.monotonic()

    def said(self) -> None:
        """Count anew: the user has just been told something."""
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether nothing was said for so long that the user may wonder."""
        now = time.monotonic()
        return now - self._last >= max(QUIET_S, min(_MOST_S, _SHARE * (now - self._began)))


def pulse(book: Book, elapsed_s: float) -> str:
    """Return in one line how far a study is, and what some of its running trials do."""
    records = book.records.values()
    running = [record for record in records if record.status == "running"]
    text = f"{clock(elapsed_s)}: {len(records) - len(running)} of {book.total} trials ended"
    if (best := book.best) is not None:
        text += f", best {best.val_accuracy:.4f} (trial {best.number})"
    if (left := remaining_s(book, elapsed_s)) is not None:
        text += f", about {clock(left)} left"
    shown = [_epochs(record, book) for record in islice(running, _TRIALS)]
    if len(running) > _TRIALS:
        shown.append(f"{len(running) - _TRIALS} more")
    return "; ".join([text, ", ".join(shown)]) if shown else text


def remaining_s(book: Book, elapsed_s: float) -> float | None:
    """Return the seconds still to go if trials go on costing what they did.

    None before a trial has ended here: most are stopped long before their last epoch.
    """
    (ended, part), (ended_before, part_before) = book.done(), book.done_before
    if ended <= ended_before:
        return None
    to_come = book.total - sum(record.status != "running" for record in book.records.values())
    return elapsed_s / (ended + part - ended_before - part_before) * (to_come - part)


def _epochs(record: Record, book: Book) -> str:
    text = f"trial {record.number} epoch {len(record.rows)} of {book.epochs_of(record.number)}"
    return f"{text} {record.rows[-1]['val_accuracy']:.4f}" if record.rows else text
