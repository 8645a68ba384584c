"""Ray Tune's Searcher over the study: asks it what to train next, and tells it how trials end."""

from typing import Any

from ray.tune.search import Searcher

from search.book import Book

NUMBER = "number"


class StudySearcher(Searcher):
    """Hands out the book's trials under Ray's own trial names.

    The journal is the state: nothing of this object is saved, pickled or restored.
    """

    def __init__(self, book: Book, job: dict[str, Any], causes: dict[str, str]) -> None:
        """Give every trial `job` (what is the same for all) and its own assignment.

        `causes` tells, by Ray's name of a trial, what its worker last died of.
        """
        super().__init__(metric="val_accuracy", mode="max")
        self._book = book
        self._job = job
        self._causes = causes
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the worker's configuration of the next trial, or FINISHED."""
        assignment = self._book.next()
        if assignment is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = assignment.number
        return {
            "job": self._job,
            NUMBER: assignment.number,
            "config": assignment.config,
            "seed": assignment.seed,
            "keep_above": assignment.keep_above,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a trial whose worker died once too often; the stopper records the others."""
        if error:
            cause = self._causes.get(trial_id, "the worker was lost")
            self._book.end(self._numbers[trial_id], "failed", f"{cause}, retries included")

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal holds everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: a resumed study builds a new searcher from the journal."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles searchers when a Tuner is made."""
        return {}
