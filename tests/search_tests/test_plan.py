import json
from dataclasses import replace
from typing import Any

import pytest

from search.catalog import EXPERIMENTS
from search.names import ACCURACY, BOTH
from search.plan import Plan, image_sizes, listed, not_as_published, published, trial_seed
from tests.search_tests.toy import EXPERIMENT, Toy

LENET = EXPERIMENTS["lenet_beans"]
PLAN = Plan(trials=6, max_epochs=20, seed=3)


@pytest.mark.parametrize(
    ("max_epochs", "stopper", "rungs"),
    [
        (4, "asha", (1, 3)),
        (5, "asha", (1, 3)),
        (6, "asha", (2,)),
        (8, "asha", (2, 6)),
        (20, "asha", (2, 6, 18)),
        (40, "hyperband", (2, 6, 18)),
        (1, "asha", ()),
        (20, "none", ()),
    ],
)
def test_rungs_by_hand(max_epochs: int, stopper: str, rungs: tuple[int, ...]) -> None:
    assert Plan(1, max_epochs, stopper=stopper).rungs == rungs


@pytest.mark.parametrize(
    ("max_epochs", "first", "rungs"),
    [(20, 1, (1, 3, 9)), (20, 4, (4, 12)), (4, 2, (2,)), (27, 9, (9,)), (4, 4, ())],
)
def test_rungs_from_a_given_one_on(max_epochs: int, first: int, rungs: tuple[int, ...]) -> None:
    assert Plan(1, max_epochs, first_rung=first).rungs == rungs
    assert Plan(1, max_epochs, stopper="none", first_rung=first).rungs == ()


@pytest.mark.parametrize(
    ("trials", "compared", "first", "rungs"),
    [
        (100, BOTH, None, (1, 3, 9)),
        (99, BOTH, None, (2, 6, 18)),
        (100, ACCURACY, None, (2, 6, 18)),
        (100, BOTH, 4, (4, 12)),
    ],
)
def test_rungs_of_many_trials_by_hand(
    trials: int, compared: str, first: int | None, rungs: tuple[int, ...]
) -> None:
    assert Plan(trials, 20, first_rung=first, compared=compared).rungs == rungs


def test_study_json_says_what_rungs_compare_only_where_it_is_not_accuracy_alone() -> None:
    assert "compared" not in PLAN.as_json()
    assert replace(PLAN, compared=BOTH).as_json()["compared"] == "accuracy and loss"


def test_study_json_says_of_a_first_rung_only_where_one_is_given() -> None:
    assert "first_rung" not in PLAN.as_json()
    content = replace(PLAN, first_rung=4).as_json()
    assert (content["first_rung"], content["rungs"]) == (4, [4, 12])


def test_as_json_is_plain() -> None:
    plan = replace(PLAN, fixed={"drop": 0.2}, sweep=("kind",))
    content = plan.as_json()
    assert json.loads(json.dumps(content)) == content
    assert content["sweep"] == ["kind"]
    assert content["rungs"] == [2, 6, 18]


def test_published_takes_what_is_held() -> None:
    assert published(EXPERIMENT, PLAN) == {"kind": "a", "rate": 1e-3, "drop": 0.0}
    held = replace(PLAN, fixed={"kind": "b", "drop": 0.4})
    assert published(EXPERIMENT, held) == {"kind": "b", "depth": 2, "rate": 1e-3, "drop": 0.4}


@pytest.mark.parametrize(
    ("fixed", "names"),
    [
        ({}, []),
        ({"drop": 0.0, "rate": 1e-3}, []),  # as published
        ({"drop": 0.4}, ["drop"]),
        ({"kind": "b", "drop": 0.4}, ["kind", "drop", "depth"]),  # a depth goes with b alone
    ],
)
def test_what_is_held_otherwise_than_published(fixed: dict[str, object], names: list[str]) -> None:
    assert not_as_published(EXPERIMENT, replace(PLAN, fixed=fixed)) == names


class OfB(Toy):
    def defaults(self) -> dict[str, Any]:
        return {**super().defaults(), "kind": "b"}


def test_what_was_published_and_is_not_there_where_another_value_is_held() -> None:
    held = replace(PLAN, fixed={"kind": "a"})
    assert not_as_published(OfB(**vars(EXPERIMENT)), held) == ["kind", "depth"]


def test_published_lenet_is_the_published_configuration() -> None:
    assert published(LENET, PLAN) == {
        "regularizer": "none",
        "dropout": 0.0,
        "kernel_size": 5,
        "filters": "6/16/120",
        "learning_rate": 1e-3,
        "batch_size": 64,
        "augmentation": "none",
        "image_size": 299,
    }


def test_a_sampler_is_given_the_published_configuration_alone() -> None:
    assert listed(EXPERIMENT, PLAN) == [published(EXPERIMENT, PLAN)]


def test_a_sweep_lists_every_value_with_the_rest_held() -> None:
    plan = replace(PLAN, sweep=("drop", "kind"), fixed={"rate": 0.01})
    assert [(c["kind"], c["drop"]) for c in listed(EXPERIMENT, plan)] == [
        *(("a", 0.0), ("a", 0.2), ("a", 0.4), ("a", 0.6), ("b", 0.0))
    ]
    assert all(c["rate"] == 0.01 for c in listed(EXPERIMENT, plan))


@pytest.mark.parametrize("trials", [1, 6, 80, 200])
def test_a_grid_lists_the_published_configuration_and_points_of_the_grid(trials: int) -> None:
    plan = replace(PLAN, sampler="grid", trials=trials)
    configs = listed(EXPERIMENT, plan)
    assert configs[0] == published(EXPERIMENT, plan)
    # The published rate 1e-3 is no point of the grid (1e-4, 5.6e-4, ...), which has 80.
    assert len(configs) == len({repr(c) for c in configs}) == min(trials, 81)
    assert configs == listed(EXPERIMENT, plan)


def test_a_grid_with_the_published_point_has_it_once() -> None:
    plan = replace(PLAN, sampler="grid", trials=80, fixed={"rate": 1e-3})
    configs = listed(EXPERIMENT, plan)
    assert len(configs) == len({repr(c) for c in configs}) == 16  # 4 kinds, 4 drops
    assert configs[0] == published(EXPERIMENT, plan)


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, (64, 128, 192, 299)),
        ({"fixed": {"image_size": 128}}, (128,)),
        ({"trials": 1}, (299,)),
        ({"sweep": ("kernel_size",)}, (299,)),
        ({"sweep": ("image_size",)}, (64, 128, 192, 299)),
        ({"sweep": ("kernel_size",), "fixed": {"image_size": 64}}, (64,)),
        ({"sampler": "grid", "trials": 1}, (299,)),
        ({"sampler": "grid", "trials": 60}, (64, 128, 192, 299)),
    ],
)
def test_image_sizes(changes: dict[str, object], sizes: tuple[int, ...]) -> None:
    assert image_sizes(LENET, replace(PLAN, **changes)) == sizes  # type: ignore[arg-type]


def test_image_size_where_the_space_has_none() -> None:
    assert image_sizes(EXPERIMENT, PLAN) == (None,)
    assert image_sizes(replace(EXPERIMENT, image_size=32), PLAN) == (32,)


def test_trial_seeds_depend_on_the_study_seed_and_the_number_alone() -> None:
    seeds = [trial_seed(replace(PLAN, seed=s), n) for s in range(4) for n in range(50)]
    assert len(set(seeds)) == 200
    other = Plan(1, 1, seed=2, sampler="gp", fixed={"kind": "b"})
    assert trial_seed(other, 5) == trial_seed(replace(PLAN, seed=2), 5)
    assert all(0 <= seed < 2**31 for seed in seeds)
