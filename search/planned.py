"""How many trials a study has when it ends: `--trials`, or all that its space or grid has."""

from collections.abc import Mapping
from typing import Any

from search.catalog import EXPERIMENTS
from search.domains import configuration
from search.experiment import Experiment
from search.grid import all_if_fewer, grid_sample


def trials_in_all(manifest: Mapping[str, Any]) -> int:
    """Return how many trials the study of a study.json has when it ends."""
    budget = manifest["budget"]
    experiment = EXPERIMENTS.get(manifest["experiment"])  # another version may have had more
    if experiment is None:
        return int(budget["trials"])
    return trials_of(experiment, budget, manifest["defaults"])


def trials_of(
    experiment: Experiment, budget: Mapping[str, Any], defaults: Mapping[str, Any]
) -> int:
    """Return how many trials a study has when it ends.

    It draws no configuration twice, so one of few possible configurations ends when it has all.

    Args:
        experiment: Whose space is searched.
        budget: The plan as study.json holds it.
        defaults: The published configuration.
    """
    trials, fixed = int(budget["trials"]), budget.get("fixed", {})
    if budget.get("sweep") or budget.get("configurations"):
        return trials
    space = experiment.space()
    if budget.get("sampler") == "grid":
        points: list[Any] | None = grid_sample(space, fixed, trials, budget["seed"])
    else:
        points = all_if_fewer(space, fixed, trials)
    if points is None:
        return trials
    first = configuration(space, {**defaults, **fixed})
    begun = [first, *(each["config"] for each in budget.get("warm_start", ()))]
    return min(trials, len(points) + sum(each not in points for each in begun))
