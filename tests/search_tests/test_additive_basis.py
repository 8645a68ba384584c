"""Columns of the additive model: what is smooth, what is free, what only some choices bring."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.additive_basis import Basis, Condition, conditions
from search.domains import config_key, configuration
from search.grid import grid
from spaces import inception_beans, lenet_beans
from tests.search_tests.toy import space

RNG = np.random.default_rng(0)
ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = """
from search.additive_basis import conditions
from spaces import inception_beans
print(*conditions(inception_beans.space, {}))
"""


def nested(trial: Any) -> dict[str, Any]:
    """What a choice brings has a choice that brings something itself."""
    config: dict[str, Any] = {"outer": trial.suggest_categorical("outer", ["x", "y", "z"])}
    if config["outer"] != "x":
        config["inner"] = trial.suggest_categorical("inner", ["p", "q"])
        if config["inner"] == "q":
            config["depth"] = trial.suggest_int("depth", 1, 4)
    return config


def choices(trial: Any) -> dict[str, Any]:
    return {
        "size": trial.suggest_categorical("size", [16, 32, 64, 128]),
        "word": trial.suggest_categorical("word", ["a", "b", "c"]),
    }


def test_what_only_some_choices_bring_has_its_condition() -> None:
    assert conditions(space, {}) == {"depth": Condition("kind", ("b",))}
    assert conditions(space, {"kind": "b"}) == {}  # always in force
    assert conditions(space, {"depth": 2}) == {}
    assert conditions(lenet_beans.space, {"image_size": 64}) == {
        "strength": Condition("regularizer", ("l1", "l2"))
    }
    assert conditions(nested, {}) == {
        "inner": Condition("outer", ("y", "z")),
        "depth": Condition("inner", ("q",)),
    }


def test_conditions_stand_in_the_order_of_the_space() -> None:
    found = conditions(inception_beans.space, {})
    assert list(found) == ["finetune_learning_rate", "finetune_epochs"]
    assert set(found.values()) == {Condition("unfreeze_blocks", (2, 3, 6))}


@pytest.mark.parametrize("seed", ["0", "1"])
def test_their_order_is_that_of_every_process(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONDITIONS],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["finetune_learning_rate", "finetune_epochs"]


def test_columns_of_a_configuration_by_hand() -> None:
    basis = Basis(choices, {})
    # Six knots of a smooth function, three words, the constant.
    assert basis.width == 6 + 3 + 1
    row = basis.row({"size": 32, "word": "b"})
    assert row[6:].tolist() == [0, 1, 0, 1]
    # Equally spaced by order, whatever the numbers are: 16, 32, 64, 128 at 0, 1/3, 2/3, 1.
    rows = np.array([basis.row({"size": size, "word": "b"})[:6] for size in (16, 32, 64, 128)])
    steps = rows @ rows.T
    assert steps[0, 1] == pytest.approx(steps[1, 2], abs=0.01)
    # The prior covariance is exp(-d^2 / (2 * 0.3^2)): at a distance of 1/3, 0.539.
    assert steps[0, 1] == pytest.approx(0.539, abs=0.01)
    assert np.diag(steps) == pytest.approx(1, abs=0.01)


def test_a_condition_shares_one_curve_and_has_its_own() -> None:
    basis = Basis(lenet_beans.space, {"image_size": 64})
    base = configuration(lenet_beans.space, {**lenet_beans.DEFAULTS, "image_size": 64})
    strong = {kind: {"regularizer": kind, "strength": 1e-3} for kind in ("l1", "l2")}
    rows = {kind: basis.row(base | change) for kind, change in strong.items()}
    without = basis.row(base)
    in_force = {kind: np.flatnonzero(row) for kind, row in rows.items()}
    both = set(in_force["l1"]) & set(in_force["l2"])
    only = {kind: set(places) - both for kind, places in in_force.items()}
    # The word itself and the knots of its strength.
    assert len(only["l1"]) == len(only["l2"]) == 1 + 6
    assert len(both - set(np.flatnonzero(without))) == 6


def test_a_held_hyperparameter_has_no_column() -> None:
    free = Basis(choices, {}).width
    assert Basis(choices, {"word": "a"}).width == free - 3
    assert Basis(choices, {"size": 32, "word": "a"}).width == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("made", [space, nested, choices])
def test_the_highest_is_that_of_all_configurations(made: Any, seed: int) -> None:
    held = {"rate": 1e-3} if made is space else {}
    basis = Basis(made, held)
    weights = np.random.default_rng(seed).normal(size=basis.width)
    every = list(grid(made, held))
    sums = [basis.row(config) @ weights for config in every]
    found = basis.highest(weights, RNG)
    assert config_key(found) == config_key(every[int(np.argmax(sums))])


def test_a_number_is_looked_for_in_all_of_its_range() -> None:
    basis = Basis(space, {"kind": "a", "drop": 0.0})
    target = basis.row({"rate": 1e-2})  # the function that is highest about there
    target[-1] = 0.0
    found = [basis.highest(target, np.random.default_rng(n))["rate"] for n in range(20)]
    assert len(set(found)) == 20
    assert np.log10(found) == pytest.approx(-2, abs=0.25)
