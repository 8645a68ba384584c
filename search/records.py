"""A trial as the journal tells it: status, configuration, one row per epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search.errors import StudyFailed

if TYPE_CHECKING:  # workers import this file, and not Optuna
    from optuna.trial import FrozenTrial

# Of a row, in the order of curves.csv (after the trial's number).
CURVE_FIELDS = (
    "epoch",
    "stage",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "epoch_s",
)
ROW_FIELDS = (
    *CURVE_FIELDS,
    "peak_memory_mb",
    "parameters",
    "trainable_parameters",
    "frozen_images",
    "prepared_s",
)
# The user attribute that says how a trial ended: its status, error and wall_s, in one line of the
# journal, written before the trial is told to Optuna.
VERDICT = "verdict"
EPOCH = "epoch:"  # what the names of the user attributes that hold an epoch's row begin with
# How a trial stands. The first may be compared: they ended with a validation accuracy.
FINISHED = ("completed", "stopped")
ENDED = (*FINISHED, "infeasible", "failed")
STATUSES = (*ENDED, "running")


@dataclass(frozen=True)
class Record:
    """One trial. `rows` holds `ROW_FIELDS` per epoch, epoch 1 first, without gaps."""

    number: int
    status: str
    config: Mapping[str, Any]
    seed: int
    rows: tuple[Mapping[str, Any], ...] = field(default=())
    wall_s: float = math.nan
    error: str = ""

    @property
    def best_row(self) -> Mapping[str, Any] | None:
        """The row with the highest validation accuracy, the earliest of equals."""
        if not self.rows:
            return None
        return max(self.rows, key=lambda row: (row["val_accuracy"], -row["epoch"]))

    @property
    def val_accuracy(self) -> float:
        """Validation accuracy at the best epoch, in [0, 1]; NaN before the first."""
        return self.best_row["val_accuracy"] if self.best_row else math.nan

    @property
    def trainable_parameters(self) -> int:
        """Trained in any of its stages: the last one of Inception trains the most."""
        return max((row["trainable_parameters"] for row in self.rows), default=0)

    @property
    def counts(self) -> bool:
        """Whether it may be the best: trained as planned or stopped on the way."""
        return self.status in FINISHED and bool(self.rows)

    def with_row(self, row: Mapping[str, Any]) -> "Record":
        """Return the record with one more epoch."""
        return replace(self, rows=(*self.rows, row))


def epoch_key(epoch: int) -> str:
    """Return the name of the user attribute that holds an epoch's row."""
    return f"{EPOCH}{epoch}"


def status_of(trial: "FrozenTrial") -> str:
    """Return the trial's status, one of `STATUSES`."""
    if any(value > 0 for value in trial.constraints.values()):
        return "infeasible" if trial.state.is_finished() else "running"
    return {"COMPLETE": "completed", "PRUNED": "stopped", "FAIL": "failed"}.get(
        trial.state.name, "running"
    )


def record_of(trial: "FrozenTrial") -> Record:
    """Return the record of a journal's trial. An epoch counts once its value is reported too.

    Raises:
        StudyFailed: something was taken out of the journal, or put into it.
    """
    attributes = trial.user_attrs
    ended = trial.state.is_finished()
    verdict = attributes.get(VERDICT, {}) if ended else {}
    steps = sorted(trial.intermediate_values)
    if steps != list(range(1, len(steps) + 1)):
        raise _damaged(trial, f"has epochs {steps} only")
    status = status_of(trial)
    if ended and verdict.get("status") != status:
        raise _damaged(trial, f"has ended as {status}, its verdict is {verdict.get('status')}")
    if ended and attributes.get(epoch_key(len(steps) + 1)) is not None:
        raise _damaged(trial, f"lacks the value of epoch {len(steps) + 1}")
    missing = {"config", "seed", *map(epoch_key, steps)} - attributes.keys()
    if missing:
        raise _damaged(trial, f"lacks {', '.join(sorted(missing))}")
    return Record(
        number=trial.number,
        status=status,
        config=attributes["config"],
        seed=attributes["seed"],
        rows=tuple(attributes[epoch_key(step)] for step in steps),
        wall_s=verdict.get("wall_s", math.nan),
        error=verdict.get("error", ""),
    )


def _damaged(trial: "FrozenTrial", what: str) -> StudyFailed:
    return StudyFailed(
        f"journal.log is damaged: trial {trial.number} {what} (trials.csv and curves.csv still "
        "hold what was finished)"
    )


def best_of(records: list[Record]) -> Record | None:
    """Return the trial with the highest validation accuracy, the lowest number of equals."""
    counting = [record for record in records if record.counts]
    return max(counting, key=lambda r: (r.val_accuracy, -r.number)) if counting else None
