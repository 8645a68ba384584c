"""The space of cifar10_net against the published rows: defaults, ranges, the condition."""

import re
import warnings
from typing import Any

import optuna
import pytest
import torch

from spaces.cifar10_net import DEFAULTS, space
from tests.spaces_tests.reference import published, ranges
from trainables.augment import parse
from trainables.cifar10_net import build
from trainables.losses import LOSSES


def given(**values: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a number out of its range Optuna only warns
        return space(optuna.trial.FixedTrial(DEFAULTS | values))


def test_defaults_are_the_published_configuration_that_has_a_number() -> None:
    rows = {row["arm"]: row for row in published("cifar10_net")}
    assert (rows["plain"]["value"], rows["dropout"]["value"]) == ("0.8216", "")
    found = re.fullmatch(
        r"conv (\S+) (\d)x\2, max pool 2 after each, FC 1024-128-256-10; "
        r"flip \+ 4-pixel random crop; SGD ([\d.]+) momentum ([\d.]+); batch (\d+); 30 epochs",
        rows["plain"]["setting"],
    )
    assert found is not None
    filters, kernel, rate, momentum, batch = found.groups()
    expected = {
        "optimizer": "sgd",
        "learning_rate": float(rate),
        "momentum": float(momentum),
        "batch_size": int(batch),
        "kernel_size": int(kernel),
        "filters": filters,
        "dropout_1": 0.0,
        "dropout_2": 0.0,
        "dropout_3": 0.0,
        "loss": "cross_entropy",
        "augmentation": "mirror+crop",
    }
    assert expected == DEFAULTS
    assert (rate, momentum, batch, kernel, filters) == ("0.001", "0.9", "4", "3", "64/128/256")


def test_the_published_dropouts_lie_in_the_space() -> None:
    arms = {row["arm"]: row["setting"] for row in published("cifar10_net")}
    assert arms["dropout"] == "three dropout layers, two at 0.2 and one at 0.1"
    rates = {"dropout_1": 0.2, "dropout_2": 0.2, "dropout_3": 0.1}
    assert given(**rates) == DEFAULTS | rates


def test_defaults_build_the_published_shapes() -> None:
    with torch.device("meta"):
        model = build(DEFAULTS, classes=10)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if p.ndim == 2]
    assert shapes == [(128, 1024), (256, 128), (10, 256)]


def test_defaults_lie_in_the_space_and_name_all_of_it() -> None:
    assert given() == DEFAULTS
    assert list(given()) == list(DEFAULTS)


def test_momentum_only_with_sgd() -> None:
    assert "momentum" in given(optimizer="sgd")
    without = given(optimizer="adam")
    assert without == {k: v for k, v in DEFAULTS.items() if k != "momentum"} | {
        "optimizer": "adam"
    }


def test_the_ranges() -> None:
    dropout = (0.0, 0.5, False, 0.1)
    found = ranges(space, DEFAULTS)
    augmentations = found.pop("augmentation")
    assert found == {
        "optimizer": ["sgd", "adam"],
        "learning_rate": (1e-4, 1e-1, True, None),
        "momentum": (0.0, 0.95, False, 0.05),
        "batch_size": [4, 8, 16, 32, 64, 128, 256, 512],
        "kernel_size": [3, 5, 7],
        "filters": ["32/64/128", "64/128/256", "128/256/512"],
        "dropout_1": dropout,
        "dropout_2": dropout,
        "dropout_3": dropout,
        "loss": list(LOSSES),
    }
    assert augmentations[0] == "none"
    assert len({parse(name) for name in augmentations}) == len(augmentations) == 6
    assert not any("flip" in parse(name) for name in augmentations)  # nothing upside down


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "lion"),
        ("kernel_size", 4),
        ("filters", "1/2/3"),
        ("dropout_2", 0.6),
        ("learning_rate", 1.0),
        ("momentum", 0.99),
        ("batch_size", 1024),
        ("loss", "hinge"),
        ("augmentation", "flip"),
    ],
)
def test_a_value_outside_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, UserWarning), match=re.escape(str(value))):
        given(**{name: value})
