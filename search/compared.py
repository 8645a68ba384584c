"""What early stopping compares: the accuracy of trials alone, or with their loss.

A loss is finer than an accuracy: on 133 images an accuracy has steps of 0.0075, and after one
epoch of a small data set most trials stand within a few of them. On recorded curves rungs that
compare both find more for the same time if they begin at epoch 1, where accuracies alone find
nothing more by it. Of few trials they find no more (benchmarks/README.md, "Which search").
"""

import math
from collections.abc import Mapping

from search.domains import configuration, domains
from search.experiment import Experiment
from search.names import ACCURACY, BOTH
from search.plan import MANY_TRIALS, Plan, is_listed, listed

# The hyperparameter that changes what `val_loss` measures, where an experiment has one.
_LOSS = "loss"
# By ASHA and its brackets both was tried; the median goes by accuracy.
_BY_BOTH = ("asha", "hyperband")
# Below every loss that says something: logits in bfloat16 may be right without any doubt.
_LEAST = 1e-12


def merits(accuracies: Mapping[int, float], losses: Mapping[int, float]) -> dict[int, float]:
    """Return by epoch the best accuracy so far less the logarithm of the least loss so far.

    Args:
        accuracies: On validation, by epoch, in [0, 1].
        losses: On validation, in nats, of the same epochs.
    """
    found: dict[int, float] = {}
    best, least = -math.inf, math.inf
    for epoch in sorted(accuracies):
        best, least = max(best, accuracies[epoch]), min(least, losses[epoch])
        found[epoch] = best - math.log(max(least, _LEAST))
    return found


def what_to_compare(experiment: Experiment, plan: Plan) -> str:
    """Return BOTH of many trials whose losses are all of one kind, else ACCURACY."""
    wanted = plan.stopper in _BY_BOTH and plan.trials >= MANY_TRIALS
    return BOTH if wanted and _of_one_kind(experiment, plan) else ACCURACY


def _of_one_kind(experiment: Experiment, plan: Plan) -> bool:
    """Tell whether no trial has another loss than others, none of its own among them."""
    if is_listed(plan):
        return len({config.get(_LOSS) for config in listed(experiment, plan)}) <= 1
    space, values = experiment.space(), {**experiment.defaults(), **plan.fixed}
    known = domains(space, values, held=plan.fixed)
    if _LOSS not in known:
        return True
    changes = [
        {name: choice}
        for name, domain in known.items()
        if name not in plan.fixed
        for choice in domain.choices
    ]
    always = all(_LOSS in configuration(space, values | change) for change in [{}, *changes])
    return always and (_LOSS in plan.fixed or len(known[_LOSS].choices) == 1)
