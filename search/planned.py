"""How many trials a study has when it ends: `--trials`, or all that its space or grid has."""

from collections.abc import Mapping
from typing import Any

from search.catalog import EXPERIMENTS
from search.domains import configuration
from search.grid import all_if_fewer, grid_sample


def trials_in_all(manifest: Mapping[str, Any]) -> int:
    """Return how many trials a study has when it ends.

    `manifest` is its study.json. A study draws no configuration twice, so one of few possible
    configurations ends when it has all of them.
    """
    budget = manifest["budget"]
    trials, fixed = int(budget["trials"]), budget.get("fixed", {})
    experiment = EXPERIMENTS.get(manifest["experiment"])  # another version may have had more
    if experiment is None or budget.get("sweep") or budget.get("configurations"):
        return trials
    space = experiment.space()
    if budget.get("sampler") == "grid":
        points: list[Any] | None = grid_sample(space, fixed, trials, budget["seed"])
    else:
        points = all_if_fewer(space, fixed, trials)
    if points is None:
        return trials
    first = configuration(space, {**manifest["defaults"], **fixed})
    begun = [first, *(each["config"] for each in budget.get("warm_start", ()))]
    return min(trials, len(points) + sum(each not in points for each in begun))
