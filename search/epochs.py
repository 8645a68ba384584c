"""A trial's own epochs: how many it has, and which of them early stopping judges.

ASHA must compare like with like. Where a trial has stages (`Experiment.stage_epochs`), rungs count
epochs of the last stage alone. Within an earlier one, the head stage of Inception, nothing that
the later choices differ in has happened yet: unfreeze depth and fine-tuning rate would be judged
by their head's luck. And trials come to the last stage after different numbers of epochs, so the
same epoch number would compare one epoch of fine-tuning with ten. Judging there alone costs next
to nothing, since the epochs before it run on stored features: 20 take as long as one of
fine-tuning. For that reason, too, a trial without the last stage (depth 0) is never judged.
Sharing identical head stages would save those seconds, but tie the trials' seeds together.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.compared import merits
from search.experiment import Experiment
from search.names import ACCURACY
from search.records import VERDICT, epoch_key


def trial_epochs(experiment: Experiment, config: Mapping[str, Any], max_epochs: int) -> int:
    """Return how many epochs a trial has if it is not stopped."""
    own = [config[name] for name in experiment.stage_epochs if name in config]
    return min(max_epochs, sum(own)) if own else max_epochs


def judged_after(experiment: Experiment, config: Mapping[str, Any]) -> int | None:
    """Return the epoch after which rungs begin to count; None if the trial is never judged."""
    *earlier, last = experiment.stage_epochs or ("",)
    if not last:
        return 0
    return sum(config.get(name, 0) for name in earlier) if last in config else None


class JudgedStudy:
    """A study as pruners see it: every trial with the epochs of its last stage as 1, 2, ..."""

    def __init__(self, experiment: Experiment, study: Study, compared: str = ACCURACY) -> None:
        """Look at `study`, whose trials hold their configuration under "config".

        Their values are what is `compared`: see `search.compared`.
        """
        self._experiment = experiment
        self._compared = compared
        self._study = study
        self.study_name = study.study_name
        self.direction: StudyDirection = study.direction

    def get_trials(
        self, deepcopy: bool = False, states: Iterable[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials, each a copy where its epochs are counted anew."""
        wanted = tuple(TrialState) if states is None else tuple(states)
        every = [self.judged(trial) for trial in self._study.get_trials(deepcopy=deepcopy)]
        return [trial for trial in every if trial.state in wanted]

    def judged(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial with the values that count, by the epoch of the stage that counts.

        An infeasible one is no complete one, as which the GP sampler wants to be told of it.
        """
        after = judged_after(self._experiment, trial.user_attrs["config"])
        told = trial.user_attrs.get(VERDICT, {}).get("status")
        infeasible = trial.state == TrialState.COMPLETE and told == "infeasible"
        if after == 0 and not infeasible and self._compared == ACCURACY:
            return trial
        counted = copy.copy(trial)
        if infeasible:
            counted.state = TrialState.PRUNED
        counted.intermediate_values = {} if after is None else self._values(trial, after)
        return counted

    def _values(self, trial: FrozenTrial, after: int) -> dict[int, float]:
        reported = trial.intermediate_values.items()
        values = {step - after: value for step, value in reported if step > after}
        if self._compared == ACCURACY:
            return values
        rows = {step: trial.user_attrs[epoch_key(step + after)] for step in values}
        return merits(values, {step: row["val_loss"] for step, row in rows.items()})
