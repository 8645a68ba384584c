"""Early stopping as a pure function of the journal: asking twice gives the same answer.

Optuna's own SuccessiveHalvingPruner writes its rungs into the study as it answers; a kill between
that and the verdict loses the decision. These derive the rungs from the reported values.
"""

import math
import zlib
from collections.abc import Sequence
from typing import Protocol

from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.names import STOPPERS

REDUCTION_FACTOR = 3


def rungs(max_epochs: int, first: int) -> tuple[int, ...]:
    """Return the rungs first, 3 first, 9 first, ... below `max_epochs`, in epochs."""
    steps = []
    while first < max_epochs:
        steps.append(first)
        first *= REDUCTION_FACTOR
    return tuple(steps)


def kept(compared: int) -> int:
    """Return how many of so many trials go on: the best third, one at least."""
    return max(1, compared // REDUCTION_FACTOR)


def falls(better: int, compared: int) -> bool:
    """Tell whether a trial with `better` ones above it is not among the best third of `compared`.

    It is itself one of those compared.
    """
    return better >= kept(compared)


def best_until(trial: FrozenTrial, step: int) -> float:
    """Return a trial's highest value in the epochs until `step`, which it has reached.

    A trial is worth its best epoch, so that is what rungs compare. After an epoch like any other
    it may stand low by chance: on recorded curves (benchmarks/README.md, "Which search") the best
    accuracy until epoch 6 tells more of the final one than the accuracy at epoch 6 does. Values
    that take the loss in (`search.compared`) never fall.
    """
    return max(value for epoch, value in trial.intermediate_values.items() if epoch <= step)


class Named(Protocol):
    """What brackets ask of a study."""

    study_name: str


class AshaPruner(BasePruner):
    """Asynchronous successive halving, the stopping variant.

    A trial that reaches a rung goes on if it is among the best third (at least one) of all trials
    that have reached it, itself included; equals go on. Each counts by its best value until that
    rung. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020, section 3.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        """Compare at the epochs `steps`."""
        self.steps = tuple(steps)

    def bracket(self, study: Named, number: int) -> int:
        """Return how many of the lowest rungs a trial leaves out: none."""
        return 0

    def peers(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the trials to compare with, `trial` itself aside."""
        return [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether the trial stops at its latest epoch. Higher values are better."""
        step = trial.last_step
        if step not in self.steps:
            return False
        value = best_until(trial, step)
        known = [
            best_until(t, step)
            for t in self.peers(study, trial)
            if step in t.intermediate_values and t.state != TrialState.FAIL
        ]
        return falls(sum(other > value for other in known), len(known) + 1)


class HyperbandPruner(AshaPruner):
    """ASHA in brackets: bracket b leaves out the b lowest rungs. Li et al., Hyperband, 2018.

    The bracket is a hash of the study's name and the trial's number, weighted as Optuna's
    HyperbandPruner weights it, so that every bracket gets about the same number of epochs.
    """

    def bracket(self, study: Named, number: int) -> int:
        """Return the bracket of a trial, 0 (all rungs) to len(steps) (none)."""
        count = len(self.steps) + 1
        weights = [math.ceil(count * REDUCTION_FACTOR**s / (s + 1)) for s in range(count)][::-1]
        place = zlib.crc32(f"{study.study_name}-{number}".encode()) % sum(weights)
        for index, weight in enumerate(weights):
            place -= weight
            if place < 0:
                return index
        raise AssertionError("the weights sum to more than the place")

    def peers(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the trials of the same bracket."""
        mine = self.bracket(study, trial.number)
        others = super().peers(study, trial)
        return [t for t in others if self.bracket(study, t.number) == mine]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether the trial stops; never below its bracket's first rung."""
        if trial.last_step not in self.steps[self.bracket(study, trial.number) :]:
            return False
        return super().prune(study, trial)


def make_pruner(name: str, steps: Sequence[int]) -> BasePruner:
    """Return the pruner of that name.

    Raises:
        ValueError: unknown name.
    """
    if name == "asha":
        return AshaPruner(steps)
    if name == "hyperband":
        return HyperbandPruner(steps)
    if name == "median":
        # Five finished trials before it judges (Optuna's default), not before the first rung.
        return MedianPruner(n_startup_trials=5, n_warmup_steps=steps[0] if steps else 0)
    if name == "none":
        return NopPruner()
    raise ValueError(f"stopper must be one of {', '.join(STOPPERS)}, but got {name!r}")
