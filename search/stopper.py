"""Ray Tune's TrialScheduler over the study: reports every epoch to it and asks whether to stop."""

import re
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.book import Book
from search.errors import StudyFailed
from search.kills import Kills
from search.passed import NO_ROOM, NOTES, NUMBER, OUTCOME, OUTSIDE, RUNNING
from search.progress import say
from search.retries import Death

_NODE_LOST = Death("the node of its worker was lost", node=True)
# The second is what Ray says of a worker whose death it has not been told yet.
_DIED = re.compile(r"actor died|the actor \w+ is unavailable", re.IGNORECASE)


def death_of(text: str) -> Death:
    """Return the last failure in the text of a trial's error file."""
    lines = text.rpartition("Failure #")[2].strip().splitlines()[1:]
    if any("low on memory" in line or "Memory on the node" in line for line in lines):
        return Death("killed by Ray, since its node ran low on memory", memory=True)
    if any("its node has died" in line for line in lines):
        return _NODE_LOST
    if any(_DIED.search(line) for line in lines):
        return Death("the worker process died")
    return Death(lines[-1].strip()[:300] if lines else "the worker was lost")


class StudyStopper(FIFOScheduler):
    """Runs trials first come, first served; the study decides which go on."""

    # Ray would otherwise hand over several epochs at once, and stop a trial late.
    _supports_buffered_results = False

    def __init__(self, book: Book, deaths: dict[str, Death], kills: Kills) -> None:
        """Decide by `book`; write into `deaths` what workers die of, by Ray's names of trials."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's is unannotated
        self._book = book
        self._deaths = deaths
        self._kills = kills

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take in an epoch; answer CONTINUE or STOP."""
        self._say_notes(trial, result)
        stop = self._book.report(trial.config[NUMBER], result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Close a trial by what its last message says; stopped ones are closed already.

        Raises:
            StudyFailed: the worker has no room on its disk; the trial stays open.
        """
        outcome, error = result.get(OUTCOME, RUNNING), result.get("error", "")
        if outcome == RUNNING:
            return
        self._say_notes(trial, result)
        if outcome == NO_ROOM:
            raise StudyFailed(error)
        if outcome == OUTSIDE:  # the searcher decides, as if the worker had died
            self._deaths[trial.trial_id] = Death(error, outside=True)
            return
        self._book.end(trial.config[NUMBER], outcome, error)

    def _say_notes(self, trial: Trial, result: dict[str, Any]) -> None:
        for note in result.get(NOTES, ()):
            say(f"trial {trial.config[NUMBER]}: {note}")

    def on_trial_error(self, controller: Any, trial: Trial) -> None:
        """Note why a worker died; the searcher then decides on the trial."""
        known = self._deaths.get(trial.trial_id)
        if known is not None and known.hung:  # killed by us
            return
        path = Path(trial.error_file or "")  # Ray appends every failure of a trial to it
        death = death_of(path.read_text(encoding="utf-8") if path.is_file() else "")
        folder = self._book.folder.trial(trial.config[NUMBER])
        # A node that is gone answers nobody who asks for its counts.
        if not death.memory and death != _NODE_LOST and self._kills.explain(folder):
            death = Death("killed by the kernel, which had no memory left", memory=True)
        self._deaths[trial.trial_id] = death

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles schedulers when a Tuner is made."""
        return {}
