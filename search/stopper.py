"""Ray Tune's TrialScheduler over the study: reports every epoch to it and asks whether to stop."""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.book import Book
from search.searcher import NUMBER

OUTCOME = "outcome"
RUNNING = "running"


def cause_of_death(text: str) -> str:
    """Return the last failure in the text of a trial's error file, in one line."""
    lines = text.rpartition("Failure #")[2].strip().splitlines()[1:]
    if any("actor died" in line.lower() for line in lines):
        return "the worker process died"
    return lines[-1].strip()[:300] if lines else "the worker was lost"


class StudyStopper(FIFOScheduler):
    """Runs trials first come, first served; the study decides which go on."""

    # Ray would otherwise hand over several epochs at once, and stop a trial late.
    _supports_buffered_results = False

    def __init__(self, book: Book, causes: dict[str, str]) -> None:
        """Decide by `book`; write into `causes` what workers die of, by Ray's names of trials."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's is unannotated
        self._book = book
        self._causes = causes

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take in an epoch; answer CONTINUE or STOP."""
        stop = self._book.report(trial.config[NUMBER], result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Close a trial by what its last message says; stopped ones are closed already."""
        outcome = result.get(OUTCOME, RUNNING)
        if outcome != RUNNING:
            self._book.end(trial.config[NUMBER], outcome, result.get("error", ""))

    def on_trial_error(self, controller: Any, trial: Trial) -> None:
        """Note why a worker died; Ray tries again, or lets the searcher close the trial."""
        path = Path(trial.error_file or "")  # Ray appends every failure of a trial to it
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        self._causes[trial.trial_id] = cause_of_death(text)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles schedulers when a Tuner is made."""
        return {}
