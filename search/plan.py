"""What a study is to do, apart from where it runs: written to study.json, compared on resume.

"budget" in study.json is this Plan; a single trial's share of it is `trainables.budget.Budget`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from search.domains import Domain, configuration, domains, one_at_a_time
from search.experiment import Experiment
from search.grid import grid_sample
from search.names import ACCURACY, BOTH
from search.pruners import rungs
from search.warm import Inherited
from trainables.seeds import derive

# Under so many epochs rungs begin with the first; in studies of so many trials, too, where losses
# are compared: with few trials later rungs find more, and that they take longer matters less.
_FEW_EPOCHS = 6
MANY_TRIALS = 100


def repeats(budget: Mapping[str, Any]) -> bool:
    """Tell whether trials are for `search.confirm` to judge, which wants the weights of all.

    `budget` is what study.json says of the plan; older studies say nothing of this, and are not.
    """
    return budget.get("seeds", 1) > 1 or bool(budget.get("configurations"))


@dataclass(frozen=True)
class Plan:
    """The budget of a study and everything else that its results depend on.

    `trials` and `max_epochs` count trials and epochs at most; `fixed` holds hyperparameters;
    `sweep` names those that vary one at a time, each with its values if not all are wanted
    ("dropout=0.2,0.4"), or is empty. `warm_start` holds configurations of earlier studies that
    come right after the published one. `configurations` are to be trained instead of all of
    that, if there are any. With more `seeds` than one a sweep or list is trained so often: all of
    it with the first seed, then all of it with the second, so that differences are paired
    whenever it ends. No trial is stopped before epoch `first_rung`, of its last stage where it
    has several; None leaves that to `rungs`. What rungs compare is `compared`: see
    `search.compared`, which chooses it.
    """

    trials: int
    max_epochs: int
    seed: int = 0
    # On recorded curves `prior` found more than TPE, and no other sampler did; no stopper found
    # more than ASHA: benchmarks/README.md, "Which search".
    sampler: str = "prior"
    stopper: str = "asha"
    precision: str = "auto"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[str, ...] = ()
    warm_start: tuple[Inherited, ...] = ()
    seeds: int = 1
    configurations: tuple[Mapping[str, Any], ...] = ()
    first_rung: int | None = None
    compared: str = ACCURACY

    @property
    def repeats(self) -> bool:
        """Whether trials are for `search.confirm` to judge: their weights are all kept."""
        return repeats({"seeds": self.seeds, "configurations": self.configurations})

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which trials are compared: 2, 6, 18, ... or 1, 3, 9, ...

        From `first_rung` on where that is given, three times as many each time. Else from 1 on in
        studies under 6 epochs, and in those of many trials that compare losses, too.

        After one epoch of 17 steps LeNet's accuracy is mostly chance: six of twelve trials on the
        embedded leaves stood at exactly one third. The loss says more by then. For the same time
        earlier rungs that compare both find more, for the same number of trials later ones:
        benchmarks/README.md, "Which search".
        """
        if self.stopper == "none":
            return ()
        early = self.max_epochs < _FEW_EPOCHS or (
            self.compared == BOTH and self.trials >= MANY_TRIALS
        )
        return rungs(self.max_epochs, self.first_rung or (1 if early else 2))

    def as_json(self) -> dict[str, Any]:
        """Return plain values for study.json; of what older ones had not only what is given."""
        lists = {"sweep": list(self.sweep), "configurations": list(self.configurations)}
        content = {**asdict(self), **lists, "rungs": list(self.rungs)}
        warm_start, first_rung = content.pop("warm_start"), content.pop("first_rung")
        compared = content.pop("compared")
        newer = {
            "warm_start": list(warm_start),
            "first_rung": first_rung,
            "compared": compared if compared != ACCURACY else None,
        }
        return content | {name: value for name, value in newer.items() if value}


def published(experiment: Experiment, plan: Plan) -> dict[str, Any]:
    """Return the published configuration, with what the plan holds fixed."""
    return configuration(experiment.space(), {**experiment.defaults(), **plan.fixed})


def not_as_published(experiment: Experiment, plan: Plan) -> list[str]:
    """Return the hyperparameters by which `published` differs from what was published."""
    whole = configuration(experiment.space(), experiment.defaults())
    first = published(experiment, plan)
    missing = object()
    return [n for n in {**whole, **first} if whole.get(n, missing) != first.get(n, missing)]


def rungs_in_reach(experiment: Experiment, plan: Plan) -> tuple[int, ...]:
    """Return the rungs that some trial goes beyond: where there are stages, in its last one."""
    most = most_compared(experiment, plan)
    return tuple(rung for rung in plan.rungs if rung < most)


def most_compared(experiment: Experiment, plan: Plan) -> int:
    """Return how many epochs a trial has at most: where there are stages, of its last one."""
    *earlier, last = experiment.stage_epochs or ("",)
    return _most_of_last(experiment, plan, earlier, last) if last else plan.max_epochs


def _most_of_last(experiment: Experiment, plan: Plan, earlier: Sequence[str], last: str) -> int:
    """Return how many epochs of the last stage a trial trains at most; 0 where none has it."""
    most: int
    if is_listed(plan):
        configs = listed(experiment, plan)
        left = [plan.max_epochs - sum(each.get(name, 0) for name in earlier) for each in configs]
        most = max(min(each.get(last, 0), n) for each, n in zip(configs, left, strict=True))
        return most
    known = domains(experiment.space(), experiment.defaults())
    if last not in published(experiment, plan):  # held back by --fix, of depth 0 for one
        return 0
    before = sum(min(_held_or_all(plan, known[name])) for name in earlier)
    most = min(max(_held_or_all(plan, known[last])), plan.max_epochs - before)
    return most


def most_epochs(experiment: Experiment, plan: Plan) -> int:
    """Return how many epochs a configuration may ask for by its stages; 0 without stages."""
    *earlier, last = experiment.stage_epochs or ("",)
    known = domains(experiment.space(), experiment.defaults())
    stages = [*earlier, last] if last in published(experiment, plan) else earlier
    return sum(max(_held_or_all(plan, known[name])) for name in stages)


def _held_or_all(plan: Plan, domain: Domain) -> list[Any]:
    return [plan.fixed[domain.name]] if domain.name in plan.fixed else domain.sweep()


def listed(experiment: Experiment, plan: Plan) -> list[dict[str, Any]]:
    """Return the configurations that are set beforehand, in order: the first is the published one.

    Then those of earlier studies. All of them for a list, a sweep or a grid; otherwise the
    sampler draws the rest.
    """
    return _once(experiment, plan) * plan.seeds


def _once(experiment: Experiment, plan: Plan) -> list[dict[str, Any]]:
    space, values = experiment.space(), {**experiment.defaults(), **plan.fixed}
    if plan.configurations:
        return [configuration(space, each) for each in plan.configurations]
    first = published(experiment, plan)
    if plan.sweep:
        return list(one_at_a_time(space, values, domains(space, values), plan.sweep))
    begun = [first, *(dict(each.config) for each in plan.warm_start)]
    if plan.sampler == "grid":
        points = grid_sample(space, plan.fixed, plan.trials, plan.seed)
        return [*begun, *(point for point in points if point not in begun)][: plan.trials]
    return begun


def is_listed(plan: Plan) -> bool:
    """Tell whether all trials are set beforehand, so that no sampler draws any."""
    return bool(plan.sweep or plan.configurations or plan.sampler == "grid")


def names_in_force(experiment: Experiment, plan: Plan) -> set[str]:
    """Return the hyperparameters that some trial of the plan has."""
    if is_listed(plan):
        return {name for config in listed(experiment, plan) for name in config}
    values = {**experiment.defaults(), **plan.fixed}
    return set(domains(experiment.space(), values, held=plan.fixed))


def possible_values(experiment: Experiment, plan: Plan, name: str) -> tuple[Any, ...]:
    """Return the values of a hyperparameter with choices that the plan's trials may take."""
    space, values = experiment.space(), {**experiment.defaults(), **plan.fixed}
    beforehand = listed(experiment, plan)
    all_listed = is_listed(plan) or plan.trials <= len(beforehand)
    if all_listed or name in plan.fixed:
        return tuple(sorted({config[name] for config in beforehand if name in config}))
    return tuple(sorted(domains(space, values)[name].choices))


def all_possible(experiment: Experiment, plan: Plan) -> dict[str, tuple[Any, ...]]:
    """Return the `possible_values` of every hyperparameter."""
    return {name: possible_values(experiment, plan, name) for name in experiment.defaults()}


def image_sizes(experiment: Experiment, plan: Plan) -> tuple[int | None, ...]:
    """Return the image sizes, in pixels, that the plan's trials may use."""
    if "image_size" not in experiment.defaults():
        return (experiment.image_size,)
    return possible_values(experiment, plan, "image_size")


def trial_seed(plan: Plan, number: int) -> int:
    """Return the seed of a trial: a pure function of the study's seed and the trial's number.

    Where trials are repeated, of the number of the repeat: so configurations are compared on the
    same seeds, and those are fresh ones, that a search did not use. All studies with repeats and
    one seed have the same: a confirmation has those of a sweep over seeds.
    """
    if plan.repeats:
        return derive(plan.seed, "repeat", number // max(1, plan.trials // plan.seeds))
    return derive(plan.seed, "trial", number)
