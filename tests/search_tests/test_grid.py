from typing import Any

import pytest

from search.domains import domains
from search.grid import all_if_fewer, first_points, grid, grid_sample
from tests.search_tests.toy import DEFAULTS, space

# By hand: kind a, or b with depth 1, 2, 3: 4 ways; rate has 5 points, drop 4.
COUNT = 4 * 5 * 4


def wide(trial: Any) -> dict[str, Any]:
    """A grid of 5 ** 6 = 15,625 points: too many to be walked."""
    return {name: trial.suggest_float(name, 0.0, 1.0) for name in "uvwxyz"}


def tiny(trial: Any) -> dict[str, Any]:
    config = {"kind": trial.suggest_categorical("kind", ["a", "b"])}
    if config["kind"] == "b":
        config["depth"] = trial.suggest_int("depth", 1, 2)
    return config | {"last": trial.suggest_categorical("last", [0, 1])}


def test_every_combination_the_last_fastest() -> None:
    assert list(grid(tiny, {})) == [
        {"kind": "a", "last": 0},
        {"kind": "a", "last": 1},
        {"kind": "b", "depth": 1, "last": 0},
        {"kind": "b", "depth": 1, "last": 1},
        {"kind": "b", "depth": 2, "last": 0},
        {"kind": "b", "depth": 2, "last": 1},
    ]


def test_count_by_hand_and_every_point_inside() -> None:
    points = list(grid(space, {}))
    assert len(points) == len({repr(point) for point in points}) == COUNT
    known = domains(space, DEFAULTS)
    assert all(known[name].contains(v) for point in points for name, v in point.items())


@pytest.mark.parametrize(
    ("fixed", "count"),
    [({"kind": "a"}, 20), ({"kind": "b"}, 60), ({"kind": "b", "depth": 3}, 20), (DEFAULTS, 1)],
)
def test_held_names_leave_the_rest(fixed: dict[str, Any], count: int) -> None:
    points = list(grid(space, fixed))
    assert len(points) == count
    assert all(point[name] == fixed[name] for point in points for name in point.keys() & fixed)


def test_the_first_points_of_a_grid() -> None:
    every = list(grid(tiny, {}))
    assert first_points(tiny, {}, 4) == every[:4]
    assert first_points(tiny, {}, 100) == every
    assert all_if_fewer(tiny, {}, 7) == every
    assert all_if_fewer(tiny, {}, 6) is None
    assert first_points(wide, {}, 1) is None  # its ranges have more than their five points
    assert first_points(wide, dict.fromkeys("uvwxyz", 0.5), 2) == [dict.fromkeys("uvwxyz", 0.5)]


def test_sample_of_a_small_grid() -> None:
    every = [repr(point) for point in grid(space, {})]
    sample = [repr(point) for point in grid_sample(space, {}, 12, seed=3)]
    assert len(set(sample)) == 12
    assert set(sample) < set(every)
    assert sample != every[:12]
    assert sample == [repr(point) for point in grid_sample(space, {}, 12, seed=3)]
    assert sample != [repr(point) for point in grid_sample(space, {}, 12, seed=4)]


def test_a_sample_begins_like_a_longer_one() -> None:
    assert grid_sample(space, {}, 20, seed=1)[:5] == grid_sample(space, {}, 5, seed=1)


def test_sample_larger_than_the_grid_is_the_grid() -> None:
    sample = grid_sample(space, {}, 1000, seed=0)
    assert {repr(point) for point in sample} == {repr(point) for point in grid(space, {})}
    assert len(sample) == COUNT


def test_a_large_grid_may_be_asked_for_whole() -> None:
    sample = grid_sample(wide, {}, 20_000, seed=5)
    assert len(sample) == len({repr(point) for point in sample}) == 5**6
    assert sample[:50] == grid_sample(wide, {}, 50, seed=5)


def test_sample_of_a_large_grid_is_distinct_fair_and_repeatable() -> None:
    sample = grid_sample(wide, {}, 2000, seed=5)
    assert len({repr(point) for point in sample}) == 2000
    assert sample[:100] == grid_sample(wide, {}, 100, seed=5)
    known = domains(wide, {})
    assert all(known[name].contains(v) for point in sample for name, v in point.items())
    for name in "uvwxyz":  # 5 points: 400 of each expected, standard deviation 17
        counts = [sum(p[name] == value for p in sample) for value in (0, 0.25, 0.5, 0.75, 1)]
        assert sum(counts) == 2000
        assert min(counts) > 400 - 5 * 18
