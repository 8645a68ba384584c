"""The space of cifar10_transfer against the published rows, and the reader of class lists."""

import warnings
from typing import Any

import optuna
import pytest

from spaces.cifar10_transfer import DEFAULTS, READERS, check, read_classes, space
from tests.spaces_tests.reference import published, ranges


def given(**values: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a number out of its range Optuna only warns
        return space(optuna.trial.FixedTrial(DEFAULTS | values))


def test_defaults_are_the_published_configuration() -> None:
    source, target = (
        next(row["setting"] for row in published("cifar10_transfer") if row["arm"] == arm)
        for arm in ("source", "target")
    )
    assert source.startswith("classes 0-4: conv 32 4x4, pool 2, conv 32 4x4, pool 2, dense 256, ")
    assert "Adam; 200 steps of 100; 10 epochs" in source
    assert target.startswith("classes 5-9: the convolution part frozen, new dense 128 and dense 1")
    expected = {
        "source_classes": "0,1,2,3,4",
        "target_classes": "5,6,7,8,9",
        "source_learning_rate": 0.001,
        "frozen_layers": 2,
        "dense_width": 128,
        "dropout": 0.0,
        "target_learning_rate": 0.001,
        "batch_size": 100,
    }
    assert expected == DEFAULTS


def test_defaults_lie_in_the_space_and_name_all_of_it() -> None:
    assert given() == DEFAULTS
    assert list(given()) == list(DEFAULTS)


def test_the_ranges() -> None:
    assert ranges(space, DEFAULTS) == {
        "source_classes": ["0,1,2,3,4"],
        "target_classes": ["5,6,7,8,9"],
        "source_learning_rate": [3e-4, 1e-3, 3e-3],
        "frozen_layers": [1, 2],
        "dense_width": (64, 512, False, 64),
        "dropout": (0.0, 0.5, False, 0.1),
        "target_learning_rate": (1e-4, 1e-2, True, None),
        "batch_size": [25, 50, 100, 200, 400],
    }


@pytest.mark.parametrize(
    ("text", "read"),
    [("0,1,2,3,4", "0,1,2,3,4"), ("9,0", "0,9"), (" 3, 1 ,07", "1,3,7"), ("5,6,7", "5,6,7")],
)
def test_class_lists_have_one_spelling(text: str, read: str) -> None:
    assert read_classes(text) == read
    assert {name: reader(text) for name, reader in READERS.items()} == {
        "source_classes": read,
        "target_classes": read,
    }


@pytest.mark.parametrize(
    "text", ["", "3", "3,3", "1,2,1", "0,10", "0,-1", "0,x", "0,,1", "0,1,", "0-4", "0,²", "1.0,2"]
)
def test_class_lists_that_are_none(text: str) -> None:
    said = r"^must be at least two different class numbers from 0 to 9 .* got '"
    with pytest.raises(ValueError, match=said):
        read_classes(text)


def test_a_class_belongs_to_one_side_and_to_the_data() -> None:
    check(DEFAULTS)
    check(DEFAULTS | {"source_classes": "0,1", "target_classes": "2,3"}, classes=4)
    with pytest.raises(
        ValueError, match=r"^source_classes and .* not share a class: 5, 6; hold the"
    ):
        check(DEFAULTS | {"source_classes": "0,5,6"})
    with pytest.raises(ValueError, match=r"^class 9 is not in the data, .* the classes 0 to 3; "):
        check(DEFAULTS, classes=4)
