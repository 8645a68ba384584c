"""What becomes of a trial whose worker died: tried again, failed, or infeasible. Knows no Ray.

A worker that dies is replaced twice, and the trial goes on from its checkpoint. A death for memory
is another matter. To try the same size again and again is a waste, and the sampler must learn of
it; but of several trials at once another may have taken the memory. So such a trial is tried once
more with no other beside it, and is infeasible if it dies of memory when alone. The price is that
other trials wait meanwhile, on a cluster on all nodes: memory is predicted before a trial begins,
so that this is rare. A trial that hangs is not tried again: it would hang for as long. The loss of
a node, as of spot machines, does not count against a trial that had come further on it. A trial
whose GPU other programs fill, or whose machine lacks what it needs, is tried again like one whose
worker died; in the end the study ends, since that machine, which is free at once, would take one
trial after the other, with nothing wrong with any.
"""

from collections import Counter
from dataclasses import dataclass

from search.book import Book
from search.errors import StudyFailed

RETRIES = 2


@dataclass(frozen=True)
class Death:
    """Why a worker died, in one line; whether for memory, as one that hung, or with its node.

    Or why it lives and its trial is to be tried again: the fault lies outside both.
    """

    cause: str
    memory: bool = False
    hung: bool = False
    node: bool = False
    outside: bool = False


class Retries:
    """Decides on the trials of one driver's run."""

    def __init__(self, book: Book) -> None:
        """Begin without any death."""
        self._book = book
        self._deaths: Counter[int] = Counter()
        self._reached: dict[int, int] = {}  # the epoch at a trial's last death
        self._for_memory: set[int] = set()

    @property
    def alone(self) -> bool:
        """Whether a trial is to run, or runs, with no other beside it."""
        return bool(self._for_memory)

    def died(self, number: int, death: Death, others: int) -> str | None:
        """End the trial, or put it in front of all others; return a note for the user if so.

        `others` is how many trials ran beside it.

        Raises:
            StudyFailed: what is wrong lies outside it, retries included; the trial stays open.
        """
        if death.hung:
            self._book.end(number, "failed", death.cause)
        elif death.memory and self._was_alone(number, others):
            self._book.end(number, "infeasible", f"out of memory: {death.cause}")
        elif death.memory:
            self._for_memory.add(number)
            self._book.again(number)
            return f"trial {number}: {death.cause}; it is tried once more with no other beside it"
        else:
            return self._once_more(number, death)
        self.ended(number)
        return None

    def _was_alone(self, number: int, others: int) -> bool:
        """Tell whether no other trial took memory: none beside it, nor one that died just before.

        One that is tried for the second time for that has had nobody beside it.
        """
        return not others and (number in self._for_memory or not self._for_memory)

    def _once_more(self, number: int, death: Death) -> str | None:
        epochs = len(self._book.records[number].rows)
        further = epochs > self._reached.get(number, 0)
        self._reached[number] = epochs
        if death.node and further:
            self._book.again(number)
            return f"trial {number}: {death.cause}; it goes on from its last checkpoint"
        self._deaths[number] += 1
        if self._deaths[number] > RETRIES:
            if death.outside:
                raise StudyFailed(f"trial {number}: {death.cause}")
            self._book.end(number, "failed", f"{death.cause}, retries included")
            self.ended(number)
            return None
        self._book.again(number)
        way = "goes on from its last checkpoint" if epochs else "begins again"
        retry = f"retry {self._deaths[number]} of {RETRIES}"
        return f"trial {number}: {death.cause}; it {way} ({retry})"

    def ended(self, number: int) -> None:
        """Forget what was kept of a trial that has ended."""
        self._for_memory.discard(number)
