"""The published numbers, row by row, and the configuration and study that belong to each.

`reference.csv` is as published; numbers that stand in its notes alone become rows of their own.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.catalog import EXPERIMENTS
from search.domains import configuration, domains
from search.epochs import trial_epochs
from search.experiment import Experiment

PATH = Path(__file__).with_name("reference.csv")
# Arms that say in words what they change; the others are written name=value, or change nothing.
_IN_WORDS: dict[tuple[str, str], dict[str, Any]] = {
    ("cifar10_net", "dropout"): {"dropout_1": 0.2, "dropout_2": 0.2, "dropout_3": 0.1},
}
_SEEDS = 3  # of what is told to run
# Numbers that a note says of the accuracy in its row: pattern -> metric.
_NOTED = {
    r"\bval (0\.\d+)": "val_accuracy",
    r"\btrain (0\.\d+)": "train_accuracy",
    r"\bbest epoch (0\.\d+)": "best_val_accuracy",
}


@dataclass(frozen=True)
class Reference:
    """One published number. `value` is None where the study has none; `note` then says why."""

    experiment: str
    arm: str
    setting: str
    metric: str
    value: float | None
    note: str


def read_reference() -> list[Reference]:
    """Return every row of the published numbers, each followed by those that its note adds."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return [found for row in csv.DictReader(file) for found in _rows(row)]


def _rows(row: Mapping[str, str]) -> Iterator[Reference]:
    value = float(row["value"]) if row["value"] else None
    given = Reference(
        row["experiment"], row["arm"], row["setting"], row["metric"], value, row["note"]
    )
    yield given
    if not given.metric.endswith("_accuracy"):
        return
    for pattern, metric in _NOTED.items():
        match = re.search(pattern, given.note)
        # Ours has a validation accuracy in any case: beside every one of the test split.
        if match or (given.metric, metric) == ("test_accuracy", "val_accuracy"):
            number = float(match[1]) if match else None
            yield replace(given, metric=metric, value=number, setting="", note="")


def changes(experiment: str, arm: str) -> dict[str, Any]:
    """Return what an arm changes in the published configuration: texts, as --fix takes them."""
    if (experiment, arm) in _IN_WORDS:
        return _IN_WORDS[experiment, arm]
    name, is_change, text = arm.partition("=")
    return {name: text} if is_change else {}


def arm_config(experiment: Experiment, arm: str) -> dict[str, Any]:
    """Return the configuration of an arm: the published one with what the arm changes.

    Raises:
        ValueError: the space has no such hyperparameter or value.
    """
    known = domains(experiment.space(), experiment.defaults(), experiment.readers())
    changed: dict[str, Any] = {}
    for name, value in changes(experiment.name, arm).items():
        if name not in known:
            raise ValueError(f"arm {arm!r}: {experiment.name} has no hyperparameter {name!r}")
        changed[name] = known[name].parse(value) if isinstance(value, str) else value
    return configuration(experiment.space(), {**experiment.defaults(), **changed})


def published_epochs(experiment: Experiment, config: Mapping[str, Any]) -> int:
    """Return the epochs of the published protocol, over all stages."""
    return trial_epochs(experiment, config, experiment.presets["standard"].max_epochs)


def arms(experiment: str) -> list[str]:
    """Return the arms of an experiment that are trials of ours, in the order of the rows."""
    if experiment not in EXPERIMENTS:
        return []
    rows = [row for row in read_reference() if row.experiment == experiment]
    return [arm for arm in dict.fromkeys(row.arm for row in rows) if arm != "source"]


@dataclass(frozen=True)
class Recipe:
    """What gives a number of ours: a study by name, with options of search.run.

    `confirm` are those of search.confirm; None where it is not needed.
    """

    study: str
    run: tuple[str, ...]
    confirm: tuple[str, ...] | None


def recipe(row: Reference) -> Recipe:
    """Return what gives a number of ours beside `row`, which is of an experiment.

    One sweep of every published value serves all rows of an experiment, the unchanged one too.
    """
    experiment = EXPERIMENTS[row.experiment]
    swept, changed = _sweeps(experiment), changes(experiment.name, row.arm)
    if swept and len(changed) <= 1:
        study, seeds = f"{experiment.name}-published", ("--seeds", str(_SEEDS))
        return Recipe(study, (*swept, *seeds), () if is_of_test(row.metric) else None)
    held = [word for name, value in changed.items() for word in ("--fix", f"{name}={value}")]
    study = f"{experiment.name}-{row.arm if changed else 'published'}"
    epochs = str(experiment.presets["standard"].max_epochs)
    run = ("--trials", "1", "--max-epochs", epochs, "--stopper", "none", *held)
    seeded = row.arm != "source" and not row.metric.endswith("_seconds")
    return Recipe(study, run, ("--top", "1", "--seeds", str(_SEEDS)) if seeded else None)


def is_of_test(metric: str) -> bool:
    """Tell whether a number is of the test split."""
    return metric.startswith(("test_", "f1_", "precision_", "recall_"))


def _sweeps(experiment: Experiment) -> list[str]:
    """Return the words of --sweep for all hyperparameters that published arms change alone."""
    values: dict[str, list[str]] = {}
    for arm in arms(experiment.name):
        for name, value in _single(changes(experiment.name, arm)):
            values.setdefault(name, []).append(value)
    known = domains(experiment.space(), experiment.defaults(), experiment.readers())
    found = []
    for name, given in values.items():
        every = {str(each) for each in known[name].sweep()}
        rest = every - {*given, str(experiment.defaults()[name])}
        found += ["--sweep", name + (f"={','.join(given)}" if rest else "")]
    return found


def _single(changed: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in changed.items()] if len(changed) == 1 else []
