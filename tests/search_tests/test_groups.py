"""Letters where they are many: as many as the alphabet has, and beyond that another kind."""

import numpy as np
import pytest

from search.groups import LETTERS, LIKE_BEST, grouped, letters


def apart(count: int) -> dict[int, list[float]]:
    """So many that are all told apart; the higher the number, the better."""
    noise = np.random.default_rng(0).normal(0, 1e-3, (count, 12))
    return {i: (i + noise[i]).tolist() for i in range(count)}


def test_the_alphabet_is_used_to_its_end() -> None:
    values = apart(26)
    kind, found = grouped(values, dict.fromkeys(values, 1.0))
    assert kind == LETTERS
    assert (found[25], found[24], found[0]) == ("a", "b", "z")
    assert len(set(found.values())) == 26


def test_more_than_the_alphabet_has_are_those_like_the_best_and_the_others() -> None:
    values = apart(27)
    # As the best but for one seed, 0.5 lower: t is about 1 on 11 degrees of freedom.
    values[99] = [values[26][0] - 0.5, *values[26][1:]]
    cost = dict.fromkeys(values, 1.0)
    assert letters(values, cost) is None
    kind, found = grouped(values, cost)
    assert kind == LIKE_BEST
    assert {key for key, group in found.items() if group == "a"} == {26, 99}
    assert {group for key, group in found.items() if key < 26} == {""}


def sweep(count: int, seeds: int) -> dict[int, list[float]]:
    """One value after the other of a network for CIFAR-10: the worse, the more seeds differ."""
    draws = np.random.default_rng(0)
    mean = np.clip(0.72 - draws.gamma(1.0, 0.05, (count, 1)), 0.1, None)
    spread = 0.004 + 0.05 * (0.72 - mean)
    common = draws.normal(0, 0.003, (1, seeds))
    whole = mean + common + draws.normal(0, 1, (count, seeds)) * spread
    return dict(enumerate((np.round(whole.clip(0, 1) * 10_000) / 10_000).tolist()))


@pytest.mark.parametrize(("count", "seeds"), [(58, 5), (58, 10), (200, 5)])
def test_a_sweep_of_tens_of_configurations_has_groups(count: int, seeds: int) -> None:
    """All of its pairs would take hundreds of letters, and minutes to find them."""
    values = sweep(count, seeds)
    kind, found = grouped(values, dict.fromkeys(values, 1.0))
    assert kind == LIKE_BEST
    best = max(values, key=lambda key: sum(values[key]))
    assert found[best] == "a"
    assert set(found.values()) == {"a", ""}


def test_two_clusters_of_many_take_two_letters() -> None:
    """Many pairs that are told apart are no reason to give up."""
    draws = np.random.default_rng(1)
    drawn = draws.normal(0, 0.001, (100, 6))
    values = {i: (0.5 * (i < 50) + drawn[i]).tolist() for i in range(100)}
    kind, found = grouped(values, dict.fromkeys(values, 1.0))
    assert kind == LETTERS
    assert found == {i: "a" if i < 50 else "b" for i in range(100)}
