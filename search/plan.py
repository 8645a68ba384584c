"""What a study is to do, apart from where it runs: written to study.json, compared on resume.

"budget" in study.json is this Plan; a single trial's share of it is `trainables.budget.Budget`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search.domains import configuration, domains, one_at_a_time
from search.experiment import Experiment
from search.grid import grid_sample
from search.pruners import rungs
from search.warm import Inherited
from trainables.seeds import derive


@dataclass(frozen=True)
class Plan:
    """The budget of a study and everything else that its results depend on.

    `trials` and `max_epochs` count trials and epochs at most; `fixed` holds hyperparameters;
    `sweep` names those that vary one at a time, or is empty. `warm_start` holds configurations of
    earlier studies that come right after the published one.
    """

    trials: int
    max_epochs: int
    seed: int = 0
    sampler: str = "tpe"
    stopper: str = "asha"
    precision: str = "auto"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[str, ...] = ()
    warm_start: tuple[Inherited, ...] = ()

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials are compared: 2, 6, 18, ...; 1, 3 in studies under 6 epochs.

        After one epoch of 17 steps LeNet's accuracy is mostly chance: six of twelve trials on the
        embedded leaves stood at exactly one third.
        """
        if self.stopper == "none":
            return ()
        return rungs(self.max_epochs, 2 if self.max_epochs >= 6 else 1)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for study.json; without warm start, as before there was any."""
        content = {**asdict(self), "sweep": list(self.sweep), "rungs": list(self.rungs)}
        warm_start = list(content.pop("warm_start"))
        return content | ({"warm_start": warm_start} if warm_start else {})


def published(experiment: Experiment, plan: Plan) -> dict[str, Any]:
    """Return the published configuration, with what the plan holds fixed."""
    return configuration(experiment.space(), {**experiment.defaults(), **plan.fixed})


def listed(experiment: Experiment, plan: Plan) -> list[dict[str, Any]]:
    """Return the configurations that are set beforehand, in order: the first is the published one.

    Then those of earlier studies. All of them for a sweep or a grid; otherwise the sampler draws
    the rest.
    """
    space, values = experiment.space(), {**experiment.defaults(), **plan.fixed}
    first = published(experiment, plan)
    if plan.sweep:
        return list(one_at_a_time(space, values, domains(space, values), plan.sweep))
    begun = [first, *(dict(each.config) for each in plan.warm_start)]
    if plan.sampler == "grid":
        points = grid_sample(space, plan.fixed, plan.trials, plan.seed)
        return [*begun, *(point for point in points if point not in begun)][: plan.trials]
    return begun


def possible_values(experiment: Experiment, plan: Plan, name: str) -> tuple[Any, ...]:
    """Return the values of a hyperparameter with choices that the plan's trials may take."""
    space, values = experiment.space(), {**experiment.defaults(), **plan.fixed}
    beforehand = listed(experiment, plan)
    all_listed = plan.sweep or plan.sampler == "grid" or plan.trials <= len(beforehand)
    if all_listed or name in plan.fixed:
        return tuple(sorted({config[name] for config in beforehand if name in config}))
    return tuple(sorted(domains(space, values)[name].choices))


def image_sizes(experiment: Experiment, plan: Plan) -> tuple[int | None, ...]:
    """Return the image sizes, in pixels, that the plan's trials may use."""
    if "image_size" not in experiment.defaults():
        return (experiment.image_size,)
    return possible_values(experiment, plan, "image_size")


def trial_seed(plan: Plan, number: int) -> int:
    """Return the seed of a trial: a pure function of the study's seed and the trial's number."""
    return derive(plan.seed, "trial", number)
