"""Intervals, corrected paired tests, letters and the recommendation, on numbers worked by hand."""

import math
import statistics
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from search.groups import grouped, letters
from search.statistics import (
    p_values,
    pairwise_p,
    recommend,
    student_interval,
    wilson_interval,
)

# Student, The probable error of a mean, 1908: hours of sleep that ten patients gained by two
# drugs. R's t.test(extra ~ group, data = sleep, paired = TRUE) prints t = -4.0621, p = 0.002833,
# and the interval -2.4598858 to -0.7001142 of the mean difference -1.58.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# Seen against "low", "middle" moves a lot from seed to seed and "high" hardly: t is 101 for
# high - low, and 1.41 and 1.42 for the other two pairs.
CHAIN = {
    "low": [0.0, 0.0, 0.0, 0.0, 0.0],
    "middle": [-1.0, 0.0, 1.0, 2.0, 3.0],
    "high": [2.1, 2.0, 2.0, 2.0, 2.0],
}
SAME_COST = {"low": 1.0, "middle": 1.0, "high": 1.0}


def test_student_interval_of_three_values_by_hand() -> None:
    found = student_interval([1.0, 2.0, 3.0])
    half = 4.302652730 / math.sqrt(3)  # the t table's 97.5 % at 2 degrees of freedom, sd 1
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), abs=1e-8)


def test_student_interval_of_the_textbook() -> None:
    found = student_interval([a - b for a, b in zip(DRUG_1, DRUG_2, strict=True)])
    assert found.mean == pytest.approx(-1.58)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = student_interval([0.7])
    assert (found.mean, found.sd, found.low, found.high, found.n) == (0.7, None, None, None, 1)


@pytest.mark.parametrize(
    ("values", "has"),
    [
        ([0.75, 0.75], False),
        ([0.75] * 5, False),  # 2 of 2^5 signs: 0.0625
        ([0.75] * 6, True),  # 0.03125
        ([0.1 + 0.2, 0.3, 0.3], False),  # 4e-17 apart: rounding
        ([0.0, 1.1e-16, 0.0], False),  # differences that should be 0
        ([0.75, 0.75, 0.7501], True),
    ],
)
def test_few_values_that_are_one_number_have_no_interval(values: list[float], has: bool) -> None:
    found = student_interval(values)
    assert (found.low is not None, found.high is not None) == (has, has)
    assert found.n == len(values)
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-15)


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_the_literature(
    right: int, images: int, low: float, high: float
) -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3.
    assert wilson_interval(right, images) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_ends_at_one() -> None:
    low, high = wilson_interval(20, 20)
    assert (low, high) == pytest.approx((1 - 0.1611, 1), abs=5e-5)


def test_p_of_one_pair_is_the_textbook_one() -> None:
    assert p_values({1: DRUG_1, 2: DRUG_2}) == {(1, 2): pytest.approx(0.002833, abs=5e-7)}


def test_p_of_three_pairs_is_holms_by_hand() -> None:
    pairs = list(combinations(CHAIN, 2))
    raw = [stats.ttest_rel(CHAIN[a], CHAIN[b]).pvalue for a, b in pairs]
    low_middle, low_high, middle_high = (p_values(CHAIN)[pair] for pair in pairs)
    assert raw[1] < raw[0] < raw[2] < 2 * raw[0]
    assert low_high == pytest.approx(3 * raw[1])
    assert low_middle == pytest.approx(2 * raw[0])
    assert middle_high == pytest.approx(2 * raw[0])  # never less than that of a smaller one


@pytest.mark.parametrize("seed", range(5))
def test_p_of_many_pairs_is_that_of_scipy_and_statsmodels(seed: int) -> None:
    table = np.random.default_rng(seed).normal(np.arange(6)[:, None] / 2, 1.0, (6, 5))
    pairs = list(combinations(range(6), 2))
    raw = [stats.ttest_rel(table[a], table[b]).pvalue for a, b in pairs]
    wanted = multipletests(raw, method="holm")[1]
    found = p_values({i: row.tolist() for i, row in enumerate(table)})
    assert list(found) == pairs
    assert list(found.values()) == pytest.approx(wanted.tolist())


def test_many_studies_at_once_have_the_p_of_each_alone() -> None:
    table = np.random.default_rng(1).integers(0, 4, (2, 3, 4, 3)) / 32
    found = pairwise_p(table)
    assert found.shape == (2, 3, 6)
    for index in np.ndindex(2, 3):
        alone = p_values(dict(enumerate(table[index].tolist())))
        assert found[index].tolist() == list(alone.values())


def test_equal_values_are_certain_to_be_equal() -> None:
    assert p_values({1: [0.7, 0.8, 0.9], 2: [0.7, 0.8, 0.9]}) == {(1, 2): 1.0}


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_one_and_the_same_difference_at_all_seeds_is_no_certainty(seeds: int, p: float) -> None:
    # The sum of 0.1 and i / 3 is rounded, so the differences are equal but for their last digits.
    first = [i / 3 for i in range(seeds)]
    assert p_values({1: first, 2: [0.1 + value for value in first]}) == {(1, 2): p}


def test_one_seed_tells_nothing_apart() -> None:
    values = {"a": [0.9], "b": [0.1]}
    cost = {"a": 2.0, "b": 1.0}
    assert p_values(values) == {("a", "b"): 1.0}
    assert letters(values, cost) == {"a": "a", "b": "a"}
    assert recommend(values, cost) == "a"
    assert recommend({"a": [0.9], "b": [0.9]}, cost) == "b"


def test_a_configuration_between_two_others_shares_a_letter_with_each() -> None:
    assert letters(CHAIN, SAME_COST) == {"high": "a", "middle": "ab", "low": "b"}
    assert list(letters(CHAIN, SAME_COST)) == ["low", "middle", "high"]


def test_configurations_all_told_apart_have_a_letter_each_from_the_best() -> None:
    values = {
        name: [10 * i + 0.1 * (i + 1) ** s for s in range(4)] for i, name in enumerate("xyz")
    }
    values["x"] = [0.0, 0.1, 0.0, 0.1]
    assert letters(values, dict.fromkeys("xyz", 1.0)) == {"z": "a", "y": "b", "x": "c"}


def test_one_configuration_has_the_first_letter() -> None:
    assert letters({"only": [0.5, 0.6]}, {"only": 1.0}) == {"only": "a"}
    assert recommend({"only": [0.5, 0.6]}, {"only": 1.0}) == "only"


@pytest.mark.parametrize(("below", "chosen"), [(0.28, "cheap"), (0.29, "dear")])
def test_half_a_standard_error_below_the_best_mean_is_a_tie(below: float, chosen: str) -> None:
    # Both have the standard deviation 1 over 3 seeds, so half a standard error is 0.2887.
    values = {"dear": [2.0, 3.0, 1.0], "cheap": [1.0 - below, 2.0 - below, 3.0 - below]}
    assert recommend(values, {"dear": 2.0, "cheap": 1.0}) == chosen
    assert recommend(values, {"dear": 1.0, "cheap": 2.0}) == "dear"


def test_a_small_difference_that_every_seed_shows_is_no_tie() -> None:
    # Seeds differ by 1, so half a standard error is 0.29; but the pair's t is 0.1 / 0.001.
    values = {"dear": [1.1, 2.102, 3.101], "cheap": [1.0, 2.0, 3.0]}
    assert letters(values, {"dear": 2.0, "cheap": 1.0}) == {"dear": "a", "cheap": "b"}
    assert recommend(values, {"dear": 2.0, "cheap": 1.0}) == "dear"


def test_the_cheapest_of_several_ties_wins_and_of_equally_cheap_ones_the_best() -> None:
    values = {"best": [1.0, 2.0, 3.2], "next": [2.0, 3.0, 1.1], "last": [3.0, 1.0, 2.0]}
    assert recommend(values, {"best": 3.0, "next": 2.0, "last": 1.0}) == "last"
    assert recommend(values, {"best": 3.0, "next": 1.0, "last": 1.0}) == "next"
    assert recommend(values, {"best": 1.0, "next": 1.0, "last": 1.0}) == "best"


def test_what_cannot_be_told_apart_may_still_be_too_far_to_tie() -> None:
    assert recommend(CHAIN, {"high": 3.0, "middle": 2.0, "low": 1.0}) == "high"


def test_equal_means_go_to_the_cheaper_one() -> None:
    values = {"dear": [0.5, 0.7], "cheap": [0.7, 0.5]}
    cost = {"dear": 2.0, "cheap": 1.0}
    assert recommend(values, cost) == "cheap"


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a value of each seed, but got \{1: 2, 2: 3\} values"):
        p_values({1: [0.1, 0.2], 2: [0.1, 0.2, 0.3]})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite value"):
        student_interval([0.5, bad])
    with pytest.raises(ValueError, match="finite value"):
        letters({1: [0.5, bad], 2: [0.5, 0.5]}, {1: 1.0, 2: 1.0})


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="finite value"):
        student_interval([])
    for function in (letters, grouped, recommend):
        with pytest.raises(ValueError, match="at least one configuration"):
            function({}, {})


@pytest.mark.parametrize("cost", [{1: 1.0}, {1: 1.0, 2: math.nan}])
def test_a_missing_cost_is_refused(cost: dict[int, float]) -> None:
    for function in (letters, recommend):
        with pytest.raises(ValueError, match=r"a cost .* got none for \[2\]"):
            function({1: [0.1, 0.2], 2: [0.3, 0.5]}, cost)


@pytest.mark.parametrize(("right", "images"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(right: int, images: int) -> None:
    with pytest.raises(ValueError, match="0 <= successes <= trials"):
        wilson_interval(right, images)


@st.composite
def studies(draw: st.DrawFn) -> dict[int, list[float]]:
    """Accuracies on 32 images: few values, so ties and constant differences are common."""
    count, seeds = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    column = st.lists(st.integers(0, 3), min_size=seeds, max_size=seeds)
    levels = draw(st.lists(st.integers(0, 17), min_size=count, max_size=count))
    return {i: [(level + x) / 32 for x in draw(column)] for i, level in enumerate(levels)}


@settings(max_examples=150, deadline=None)
@given(studies())
def test_two_share_a_letter_exactly_when_they_are_not_told_apart(
    values: dict[int, list[float]],
) -> None:
    cost = {key: float(key % 3) for key in values}
    found = letters(values, cost)
    assert found is not None  # of 7 there are 12 largest sets at most: Moon and Moser, 1965
    for (first, second), p in p_values(values).items():
        assert bool(set(found[first]) & set(found[second])) == (p >= 0.05)
    groups = {
        each: {key for key in found if each in found[key]} for each in set("".join(found.values()))
    }
    assert not [1 for a, b in combinations(groups.values(), 2) if a <= b or b <= a]
    best = max(values, key=lambda key: (sum(values[key]) / len(values[key]), -cost[key]))
    chosen = recommend(values, cost)
    assert "a" in found[best]
    assert "a" in found[chosen]
    assert cost[chosen] <= cost[best]
