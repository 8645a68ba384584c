"""The space of mnist_cnn against the published row: defaults, ranges, what lies outside."""

import re
import warnings
from typing import Any

import optuna
import pytest
import torch

from spaces.mnist_cnn import DEFAULTS, space
from tests.spaces_tests.reference import published, ranges
from trainables.mnist_cnn import build


def given(**values: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a number out of its range Optuna only warns
        return space(optuna.trial.FixedTrial(DEFAULTS | values))


def test_defaults_are_the_published_configuration() -> None:
    (setting,) = {row["setting"] for row in published("mnist_cnn")} - {""}
    found = re.fullmatch(
        r"conv (\d+) and (\d+) (\d)x\3 pad 1, max pool 2 once, FC 12544-128-10, dropout ([\d.]+); "
        r"SGD ([\d.]+) momentum ([\d.]+); batch (\d+); 15 epochs; scaled to \[-1, 1\]",
        setting,
    )
    assert found is not None
    first, second, kernel, dropout, rate, momentum, batch = found.groups()
    expected = {
        "learning_rate": float(rate),
        "momentum": float(momentum),
        "batch_size": int(batch),
        "kernel_size": int(kernel),
        "filters": f"{first}/{second}",
        "dropout": float(dropout),
    }
    assert expected == DEFAULTS
    assert list(expected.values()) == [0.001, 0.9, 64, 3, "32/64", 0.5]


def test_defaults_build_the_published_shapes() -> None:
    with torch.device("meta"):
        model = build(DEFAULTS, classes=10)
    assert tuple(model.get_parameter("dense.weight").shape) == (128, 12544)
    assert tuple(model.get_parameter("output.weight").shape) == (10, 128)


def test_defaults_lie_in_the_space_and_name_all_of_it() -> None:
    assert given() == DEFAULTS
    assert list(given()) == list(DEFAULTS)


def test_the_ranges() -> None:
    assert ranges(space, DEFAULTS) == {
        "learning_rate": (1e-4, 1e-1, True, None),
        "momentum": (0.0, 0.95, False, 0.05),
        "batch_size": [4, 8, 16, 32, 64, 128, 256, 512],
        "kernel_size": [3, 5, 7],
        "filters": ["16/32", "32/64", "64/128"],
        "dropout": (0.0, 0.8, False, 0.1),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel_size", 4),
        ("filters", "1/2"),
        ("dropout", 0.9),
        ("learning_rate", 1.0),
        ("momentum", 0.99),
        ("batch_size", 2),
    ],
)
def test_a_value_outside_is_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, UserWarning), match=re.escape(str(value))):
        given(**{name: value})
