"""Which configurations `search.confirm` judges: the best of a search, and the published one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.domains import config_key, configuration, outside
from search.errors import ResumeRefused
from search.experiment import Experiment
from search.manifest import space_changes
from search.past import ranked
from search.plan import Plan
from search.records import Record


@dataclass(frozen=True)
class Contender:
    """A configuration to judge. `searched` is its validation accuracy in the search, if any."""

    number: int
    config: Mapping[str, Any]
    published: bool
    searched: float | None


def best_contenders(
    experiment: Experiment, fixed: Mapping[str, Any], records: Sequence[Record], top: int
) -> list[Contender]:
    """Return the `top` best distinct configurations and the published one, the best first.

    Args:
        experiment: Of the search.
        fixed: What the search held: the published configuration holds it, too.
        records: Its trials.
        top: How many, 1 or more; fewer if the search has fewer.
    """
    first = configuration(experiment.space(), {**experiment.defaults(), **fixed})
    published = config_key(first)
    best: dict[str, Record] = {}
    for record in ranked(list(records)):
        best.setdefault(config_key(record.config), record)
    chosen = list(best)[:top]
    chosen += [] if published in chosen else [published]
    return [
        Contender(
            number,
            dict(sorted((best[each].config if each in best else first).items())),
            each == published,
            best[each].val_accuracy if each in best else None,
        )
        for number, each in enumerate(chosen, 1)
    ]


def check_known(
    name: str, experiment: Experiment, manifest: Mapping[str, Any], chosen: Sequence[Contender]
) -> None:
    """Make sure that the configurations can be trained as they are, in today's space.

    Args:
        name: The study's.
        experiment: Of the study.
        manifest: Its study.json.
        chosen: What is to be trained.

    Raises:
        ResumeRefused: the space is another by now, and lacks one of them.
    """
    space, held = experiment.space(), manifest["budget"]["fixed"]
    for each in chosen:
        same = configuration(space, each.config) == each.config
        if not same or outside(space, each.config, held):
            lines = [f"study {name} was made with another space:"]
            raise ResumeRefused("\n".join(lines + space_changes(manifest, experiment)))


def training_plan(budget: Mapping[str, Any], chosen: Sequence[Contender], seeds: int) -> Plan:
    """Return the plan of their training: every contender on so many seeds, at full budget.

    `budget` is that of the search, as in study.json.
    """
    return Plan(
        trials=len(chosen) * seeds,
        max_epochs=budget["max_epochs"],
        seed=budget["seed"],
        stopper="none",
        precision=budget["precision"],
        fixed=budget["fixed"],
        seeds=seeds,
        configurations=tuple(dict(each.config) for each in chosen),
    )


def listed_contenders(
    experiment: Experiment, fixed: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]
) -> list[Contender]:
    """Return the configurations of a sweep in their order: nothing was searched there."""
    published = config_key(configuration(experiment.space(), {**experiment.defaults(), **fixed}))
    distinct = {config_key(config): config for config in configs}
    return [
        Contender(number, config, text == published, None)
        for number, (text, config) in enumerate(distinct.items(), 1)
    ]
