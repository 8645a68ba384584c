"""Ray Tune's Searcher over the study: asks it what to train next, and tells it how trials end."""

from typing import Any

from ray.tune.search import Searcher

from search.book import Book
from search.passed import GPUS, MEMORY, NUMBER
from search.progress import say
from search.retries import Death, Retries
from search.shares import Shares


class StudySearcher(Searcher):
    """Hands out the book's trials under Ray's own trial names.

    The journal is the state: nothing of this object is saved, pickled or restored. A trial that is
    tried again gets a new name of Ray's, which keeps no count of its own.
    """

    def __init__(
        self, book: Book, job: dict[str, Any], deaths: dict[str, Death], shares: Shares
    ) -> None:
        """Give every trial `job` (what is the same for all), its own assignment and its share.

        `deaths` tells, by Ray's name of a trial, what its worker died of.
        """
        super().__init__(metric="val_accuracy", mode="max")
        self._book = book
        self._job = job
        self._shares = shares
        self._deaths = deaths
        self._retries = Retries(book)
        self._out: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the worker's configuration of the next trial, None for later, or FINISHED."""
        if self._out and self._retries.alone:
            return None
        assignment = self._book.next()
        if assignment is None:
            # Ray asks no more after FINISHED, and one that runs may have to be tried again.
            return None if self._out else Searcher.FINISHED
        self._out[trial_id] = assignment.number
        share = self._shares.of(assignment.config)
        return {
            "job": self._job,
            NUMBER: assignment.number,
            "config": assignment.config,
            "seed": assignment.seed,
            "keep_above": assignment.keep_above,
            "told": list(assignment.told),
            GPUS: share.gpus,
            MEMORY: share.memory_mb,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Decide on a trial that is to be tried again; the stopper has recorded the others."""
        number = self._out.pop(trial_id)
        death = self._deaths.pop(trial_id, Death("the worker was lost") if error else None)
        if death is None:
            self._retries.ended(number)
            return
        told = self._retries.died(number, death, others=len(self._out))
        if told:
            say(told)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal holds everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a resumed study builds a new searcher from the journal."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles searchers when a Tuner is made."""
        return {}
