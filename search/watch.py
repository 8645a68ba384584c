"""Finds trials that hang: running, but for a long time without an epoch or any other progress."""

import time
from dataclasses import dataclass

from search.book import Book
from search.doing import what_it_does

# Longer between two looks, and it was the driver that stood still: Ctrl-Z, a suspended machine.
_OWN_PAUSE_S = 10.0


@dataclass
class _Sign:
    """What a trial had done when it last gave a sign of life, and when that was."""

    epochs: int  # with those that it did again
    doing: str
    since: float
    read: float  # when its own words were read last


class Watch:
    """Looks at the running trials again and again."""

    def __init__(self, book: Book, limit_s: float) -> None:
        """Call a trial hung after `limit_s` seconds without a sign."""
        self._book = book
        self.limit_s = limit_s
        self._signs: dict[str, _Sign] = {}
        self._looked = time.monotonic()

    def hung(self, running: dict[str, int]) -> list[str]:
        """Return which of the running trials hang: by Ray's names, with their numbers given.

        The time a trial waits for its place, and the driver's own pauses, do not count.
        """
        now = time.monotonic()
        pause = now - self._looked
        self._looked = now
        for sign in self._signs.values() if pause > _OWN_PAUSE_S else ():
            sign.since += pause
        self._signs = {name: sign for name, sign in self._signs.items() if name in running}
        return [name for name, number in running.items() if self._hangs(name, number, now)]

    def _hangs(self, name: str, number: int, now: float) -> bool:
        epochs = len(self._book.records[number].rows) + self._book.done_again.get(number, 0)
        sign = self._signs.setdefault(name, _Sign(epochs, "", now, now))
        if epochs != sign.epochs:
            sign.epochs, sign.since = epochs, now
        # Work before an epoch tells of itself in a file: no need to read it ten times a second.
        if now - sign.read > self.limit_s / 10:
            doing, sign.read = what_it_does(self._book.folder.trial(number)), now
            if doing != sign.doing:
                sign.doing, sign.since = doing, now
        return now - sign.since > self.limit_s
