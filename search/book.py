"""The study while it runs: what to train next, what came of it, when to stop. Knows no Ray.

All is written to the journal first; tables, best model and what to resume follow from it.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.epochs import trial_epochs
from search.errors import StudyFailed
from search.experiment import Experiment
from search.folder import StudyFolder
from search.fresh import FreshTable
from search.journal import StudyStorage, last_reported
from search.judge import Judge
from search.plan import Plan, is_listed, listed, trial_seed
from search.planned import trials_of
from search.pruners import make_pruner
from search.records import ROW_FIELDS, VERDICT, Record, best_of, epoch_key, record_of
from search.sampler import Proposer

# Without these a trial cannot be compared with others.
_FINITE = ("train_loss", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Assignment:
    """A trial to train: `keep_above` is the accuracy from which its weights are worth keeping.

    `told` are the rows of the epochs that the journal has already.
    """

    number: int
    config: dict[str, Any]
    seed: int
    keep_above: float
    told: tuple[dict[str, Any], ...] = ()


class Book:
    """Keeps one study: the only code that writes its journal."""

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        folder: StudyFolder,
        study: optuna.Study,
        storage: StudyStorage,
    ) -> None:
        """Read the journal, decide what a kill left undecided, and put the folder in order."""
        self.experiment = experiment
        self.plan = plan
        self.folder = folder
        # Trials in all: fewer than planned where there are not so many configurations.
        self.total = trials_of(experiment, plan.as_json(), experiment.defaults())
        self._study = study
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        pruner = make_pruner(plan.stopper, plan.rungs)
        self._judge = Judge(experiment, study, pruner, plan.compared)
        self._listed = listed(experiment, plan)
        self._proposer = Proposer(
            experiment.space(),
            plan.fixed,
            plan.sampler,
            plan.seed,
            plan.repeats,
            experiment.defaults(),
        )
        self.records: dict[int, Record] = {}
        self.table = FreshTable(folder, self.records)
        self._started: dict[int, tuple[float, float]] = {}  # clock, seconds trained before
        # Handed out by this driver alone, and once: their wall_s is of one piece.
        self.in_one_piece: set[int] = set()
        # Trial -> the last epoch that it did again, its checkpoint being lost.
        self.done_again: dict[int, int] = {}
        self._exhausted = False
        for trial in study.get_trials(deepcopy=False):
            self.records[trial.number] = self._checked(record_of(trial))
            self._proposer.add(trial)
        self._waiting = [n for n, record in self.records.items() if record.status == "running"]
        # The best trial so far, stopped ones included.
        self.best = best_of(list(self.records.values()))
        self._settle()
        self.done_before = self.done()

    def _checked(self, record: Record) -> Record:
        """Raise StudyFailed if a line is missing, so that later trials moved up by one."""
        if record.seed != trial_seed(self.plan, record.number):
            raise StudyFailed(
                f"{self.folder.journal} is damaged: trial {record.number} has the seed of another"
            )
        return record

    def _settle(self) -> None:
        """Take the decisions that were due when the driver was killed, before anything else.

        One that was taken stands: asked again, a rung would answer by what others reached later.
        """
        undecided = last_reported(self.folder.journal)
        for number in self._waiting:
            verdict = self._trial(number).user_attrs.get(VERDICT)
            if verdict is not None:
                self._tell(number, verdict["status"])
                self._close(number)
            elif len(self.records[number].rows) >= self.epochs_of(number):
                self.end(number, "completed")
            elif self._identifier(number) == undecided and self._stops(number):
                self.end(number, "stopped")
        self._waiting = [n for n in self._waiting if self.records[n].status == "running"]
        self.folder.tidy(list(self.records.values()))

    @property
    def unfinished(self) -> bool:
        """Whether trials are still running or to come."""
        open_trials = any(record.status == "running" for record in self.records.values())
        return open_trials or not (self._exhausted or len(self.records) >= self.total)

    def next(self) -> Assignment | None:
        """Return the next trial to train, or None when all have been handed out.

        Trials that an earlier driver left running come first, under their own numbers.
        """
        if self._waiting:
            self.in_one_piece.discard(self._waiting[0])
            return self._assign(self._waiting.pop(0))
        number = len(self.records)
        if self._exhausted or number >= self.plan.trials:
            return None
        given = self._listed[number] if number < len(self._listed) else None
        if given is None and is_listed(self.plan):
            self._exhausted = True
            return None
        proposal = self._proposer.propose(number, given)
        if proposal is None:
            self._exhausted = True
            return None
        proposal.user_attrs["seed"] = trial_seed(self.plan, number)
        self._study.add_trial(proposal)  # one line of the journal: asked for, or not
        self.records[number] = record_of(self._trial(number))
        self.in_one_piece.add(number)
        return self._assign(number)

    def _assign(self, number: int) -> Assignment:
        record = self.records[number]
        self._started[number] = (time.monotonic(), self._trained_s(number))
        self.table.changed()
        # Of trials that are repeated all weights are kept, for the test split to judge.
        keep_above = self.best.val_accuracy if self.best and not self.plan.repeats else -1.0
        told = tuple(dict(row) for row in record.rows)
        return Assignment(number, dict(record.config), record.seed, keep_above, told)

    def again(self, number: int) -> None:
        """Hand a running trial out once more, before all others: its worker was lost."""
        if self.records[number].status == "running" and number not in self._waiting:
            self._waiting.insert(0, number)

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take in one epoch's row; return whether the trial stops here.

        An epoch that the journal already has, done again after a kill, changes nothing. One with
        a number that is not finite ends the trial as infeasible, and is not kept.
        """
        record = self.records[number]
        if row["epoch"] <= len(record.rows) or record.status != "running":
            self.done_again[number] = row["epoch"]
            return record.status != "running"
        assert row["epoch"] == len(record.rows) + 1, f"trial {number} skipped an epoch"
        for name in _FINITE:
            if not math.isfinite(row[name]):
                what = f"diverged: epoch {row['epoch']}: {name} is {row[name]}"
                self.end(number, "infeasible", what)
                return True
        kept = {name: row[name] for name in ROW_FIELDS}
        identifier = self._identifier(number)
        with self._storage.together():
            self._storage.set_trial_user_attr(identifier, epoch_key(row["epoch"]), kept)
            self._storage.set_trial_intermediate_value(
                identifier, row["epoch"], float(row["val_accuracy"])
            )
        self.records[number] = record.with_row(kept)
        self.folder.append_curve(number, kept)
        self._judge.learn(self._trial(number))
        if self._stops(number):
            self.end(number, "stopped")
            return True
        return False

    def _stops(self, number: int) -> bool:
        """Ask the pruner; a trial that has done all its epochs is completed, not stopped."""
        epochs = len(self.records[number].rows)
        if not 0 < epochs < self.epochs_of(number):
            return False
        return self._judge.stops(self._trial(number))

    def done(self) -> tuple[int, float]:
        """Return how many trials have ended, and how many trials' work the running ones have done.

        What ended without an epoch, such as a trial that would not fit, took no work.
        """
        with_rows = [(number, each) for number, each in self.records.items() if each.rows]
        running = [(number, each) for number, each in with_rows if each.status == "running"]
        part = sum(len(each.rows) / self.epochs_of(number) for number, each in running)
        return len(with_rows) - len(running), part

    def epochs_of(self, number: int) -> int:
        """Return how many epochs a trial has if it is not stopped."""
        return trial_epochs(self.experiment, self.records[number].config, self.plan.max_epochs)

    def end(self, number: int, status: str, error: str = "") -> None:
        """Close a trial as completed, stopped, infeasible or failed; a closed one stays so."""
        if self.records[number].status != "running":
            return
        if status == "completed" and not self.records[number].rows:
            status, error = "failed", "it ended before its first epoch"
        verdict = {"status": status, "error": error, "wall_s": self._wall_s(number)}
        identifier, torn = self._identifier(number), epoch_key(len(self.records[number].rows) + 1)
        with self._storage.together():
            if self._trial(number).user_attrs.get(torn) is not None:
                # A kill came between an epoch's row and its value, and it was not done again.
                self._storage.set_trial_user_attr(identifier, torn, None)
            self._storage.set_trial_user_attr(identifier, VERDICT, verdict)
            self._tell(number, status)
        self._close(number)

    def _close(self, number: int) -> None:
        """Carry out the verdict in the journal: also what a kill kept an earlier driver from."""
        trial = self._trial(number)
        self.records[number] = record = record_of(trial)
        self._started.pop(number, None)
        self._proposer.add(trial)
        self._judge.learn(trial)
        self.best = best_of([*filter(None, [self.best]), record])
        self.table.changed()
        self.folder.conclude(record, self.best)

    def _tell(self, number: int, status: str) -> None:
        record = self.records[number]
        if status == "infeasible":
            self._constrain(number, 1.0)
            if self.plan.sampler == "gp":  # which learns from complete trials alone
                self._study.tell(number, 0.0)
                return
        elif self.plan.sampler == "gp":  # and wants to be told of all or of none
            self._constrain(number, -1.0)
        if status == "completed":
            self._study.tell(number, record.val_accuracy)
        elif status == "failed":
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, state=TrialState.PRUNED)

    def _constrain(self, number: int, excess: float) -> None:
        if not self._trial(number).constraints:  # a kill may have come right after this
            handle = optuna.Trial(self._study, self._identifier(number))
            handle.set_constraint("feasible", excess)

    def _wall_s(self, number: int) -> float:
        """Seconds from handing out to now, and the training seconds of earlier drivers."""
        begun, before = self._started.get(number, (time.monotonic(), self._trained_s(number)))
        return before + time.monotonic() - begun

    def _trained_s(self, number: int) -> float:
        return float(sum(row["epoch_s"] for row in self.records[number].rows))

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._identifier(number))

    def _identifier(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
