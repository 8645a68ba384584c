"""The space of lenet_beans: the published configuration, the condition, and that all builds."""

import csv
import itertools
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from spaces.lenet_beans import DEFAULTS, space
from trainables.augment import parse
from trainables.lenet_beans import build

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "regularizer",
    "strength",
    "dropout",
    "kernel_size",
    "filters",
    "learning_rate",
    "batch_size",
    "augmentation",
    "image_size",
]


def drawn(n: int) -> list[tuple[dict[str, Any], optuna.Trial]]:
    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in range(n)]
    return [(space(trial), trial) for trial in trials]


def given(**values: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a number out of its range Optuna only warns
        return space(optuna.trial.FixedTrial(DEFAULTS | values))


def choices() -> dict[str, Any]:
    """What each name can be, over both branches of the condition."""
    trial = optuna.trial.FixedTrial(DEFAULTS | {"regularizer": "l1"})
    space(trial)
    return dict(trial.distributions)


# --- the published configuration


def published() -> list[dict[str, str]]:
    with (ROOT / "analysis" / "reference.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["experiment"] == "lenet_beans"]
    assert len(rows) > 10
    return rows


def test_defaults_are_the_published_configuration() -> None:
    setting = next(row["setting"] for row in published() if row["arm"] == "baseline")
    numbers = re.fullmatch(
        r"filters (\S+), kernel (\d), no regularizer, 20 epochs, batch (\d+), (\d+)x\4", setting
    )
    assert numbers is not None
    filters, kernel, batch, size = numbers.groups()
    expected = {
        "regularizer": "none",
        "strength": 0.01,
        "dropout": 0.0,  # published as an arm of its own
        "kernel_size": int(kernel),
        "filters": filters,
        "learning_rate": 0.001,  # Keras's default for Adam
        "batch_size": int(batch),
        "augmentation": "none",
        "image_size": int(size),
    }
    assert expected == DEFAULTS
    assert (filters, kernel, batch, size) == ("6/16/120", "5", "64", "299")


def test_defaults_have_the_published_number_of_parameters() -> None:
    rows = [row for row in published() if row["metric"] == "parameters"]
    assert len(rows) == 1
    with torch.device("meta"):
        model = build(DEFAULTS, classes=3)
    assert sum(p.numel() for p in model.parameters()) == int(rows[0]["value"]) == 26985195


def test_every_published_arm_lies_in_the_space() -> None:
    """The one-at-a-time tables: an arm is a name and a value, the rest at DEFAULTS."""
    arms = {row["arm"] for row in published() if "=" in row["arm"]}
    assert len(arms) == 9
    for arm in arms:
        name, text = arm.split("=")
        value = type(DEFAULTS[name])(text)
        assert given(**{name: value})[name] == value, arm
    strengths = {row["setting"] for row in published() if row["arm"].startswith("regularizer")}
    assert strengths == {f"strength {DEFAULTS['strength']} on the convolution kernels"}


# --- its shape


def test_defaults_lie_in_the_space_and_name_all_of_it() -> None:
    assert list(DEFAULTS) == NAMES
    assert given() == {k: v for k, v in DEFAULTS.items() if k != "strength"}
    assert given(regularizer="l1") == DEFAULTS | {"regularizer": "l1"}
    assert list(choices()) == NAMES


@pytest.mark.parametrize("kind", ["none", "l1", "l2"])
def test_strength_only_with_a_regularizer(kind: str) -> None:
    assert ("strength" in given(regularizer=kind)) is (kind != "none")


def test_the_ranges() -> None:
    found = choices()
    floats = {
        name: (each.low, each.high, each.log, each.step)
        for name, each in found.items()
        if isinstance(each, FloatDistribution)
    }
    assert floats == {
        "strength": (1e-5, 1e-1, True, None),
        "dropout": (0.0, 0.6, False, 0.1),
        "learning_rate": (5e-5, 5e-3, True, None),
    }
    lists = {
        name: list(each.choices)
        for name, each in found.items()
        if isinstance(each, CategoricalDistribution) and name != "augmentation"
    }
    assert lists == {
        "regularizer": ["none", "l1", "l2"],
        "kernel_size": [3, 5, 7],
        "filters": ["3/8/60", "6/16/120", "12/32/240"],
        "batch_size": [16, 32, 64, 128],
        "image_size": [64, 128, 192, 299],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_size", 4),
        ("filters", "1/2/3"),
        ("dropout", 0.7),
        ("learning_rate", 1.0),
        ("batch_size", 65),
        ("image_size", 300),
        ("augmentation", "spin"),
        ("regularizer", "l3"),
    ],
)
def test_a_value_outside_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, UserWarning), match=re.escape(str(value))):
        given(**{name: value})


# --- all of it can be trained


def test_fifty_random_configurations_build() -> None:
    trials = drawn(50)
    seen: dict[str, set[Any]] = {name: set() for name in NAMES}
    for config, trial in trials:
        assert config == trial.params
        assert set(config) == set(NAMES) - ({"strength"} if "strength" not in config else set())
        assert ("strength" in config) is (config["regularizer"] != "none")
        with torch.device("meta"):
            model = build(config, classes=3)
            size = config["image_size"]
            assert model(torch.empty(2, 3, size, size)).shape == (2, 3)
        parse(config["augmentation"])
        for name, value in config.items():
            seen[name].add(value)
    assert len(trials) == 50
    assert seen["regularizer"] == {"none", "l1", "l2"}
    assert {len(seen[name]) for name in ("kernel_size", "filters")} == {3}
    assert len(seen["learning_rate"]) == 50


def test_every_size_kernel_and_filters_build_together() -> None:
    found = choices()
    names = ("image_size", "kernel_size", "filters")
    corners = list(itertools.product(*(found[name].choices for name in names)))
    assert len(corners) == 4 * 3 * 3
    for corner in corners:
        config = DEFAULTS | dict(zip(names, corner, strict=True))
        with torch.device("meta"):
            size = config["image_size"]
            assert build(config, classes=3)(torch.empty(1, 3, size, size)).shape == (1, 3)


def test_every_augmentation_exists() -> None:
    names = choices()["augmentation"].choices
    assert names[0] == "none"
    assert len({parse(name) for name in names}) == len(names) > 10


def test_the_space_is_plain_values_that_need_no_library() -> None:
    assert {type(value) for value in DEFAULTS.values()} == {str, float, int}
    code = (
        "import sys, spaces.lenet_beans; "
        "print({'torch', 'ray', 'optuna', 'trainables'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
