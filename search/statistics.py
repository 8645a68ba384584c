"""What a few seeds say of configurations: intervals, who is told apart, and which to choose.

scipy computes; it is imported where it is needed, so that help is fast.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)

SIGNIFICANCE = 0.05
_CONFIDENCE = 1 - SIGNIFICANCE  # how often an interval holds the true mean
_TIE = 0.5  # standard errors
_ROUNDING = 1e-9  # of the largest value; differences closer than this are the same number


@dataclass(frozen=True)
class Summary:
    """Mean of `n` values, their standard deviation (n - 1), and the interval of the mean.

    `sd`, `low` and `high` are None for one value: it tells nothing of its own spread. `low` and
    `high` are None, too, where few values are all one number (see `student_interval`).
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


def student_interval(values: Sequence[float], significance: float = SIGNIFICANCE) -> Summary:
    """Return mean, standard deviation and Student's t interval of independent values.

    Of values that are all one number the interval would have no width. Accuracies are counts of
    images, so few seeds agree by chance: there is no interval then, as `pairwise_p` has no p below
    2 of 2^n. From 6 seeds on that agree there is one of 95 %.

    Args:
        values: One per seed, at least one, finite.
        significance: How often the interval misses the true mean, in (0, 1): 5 %.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    given = _finite(values)
    mean, n = float(given.mean()), len(given)
    if n < 2:
        return Summary(mean, None, None, None, n)
    sd = float(given.std(ddof=1))
    if 2.0 ** (1 - n) >= significance and one_number(given):
        return Summary(mean, sd, None, None, n)
    low, high = student_bounds(given, significance)
    return Summary(mean, sd, float(low), float(high), n)


def one_number(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Tell whether all values, one or more, are the same but for rounding."""
    # Differences of accuracies that should be 0 are 1e-16: nothing is told apart below 1e-12.
    given = np.asarray(values, dtype=np.float64)
    return bool(np.isclose(given, given[0], rtol=_ROUNDING, atol=1e-12).all())


def student_bounds(
    values: NDArray[np.float64], significance: float = SIGNIFICANCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Student's t interval of each row of values, [..., n] with n >= 2.

    It misses the true mean with a probability of `significance`.
    """
    from scipy.stats import t

    n = values.shape[-1]
    half = t.ppf(1 - significance / 2, n - 1) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    mean = values.mean(axis=-1)
    return mean - half, mean + half


def few_seeds(counts: Mapping[K, int]) -> set[K]:
    """Return what has fewer than half of the seeds that another one has: too few to compare.

    A mean over those is of their luck, and the seeds that all have would be as few for everybody.
    """
    most = max(counts.values(), default=0)
    return {key for key, count in counts.items() if 2 * count < most}


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, such as of images that are classified right.

    It is what the finite number of images leaves open for one network, whatever the seeds say.
    Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    Raises:
        ValueError: successes outside 0 to trials, or trials < 1.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"0 <= successes <= trials and trials >= 1 must hold, but got {successes} of {trials}"
        )
    from scipy.stats import binomtest

    found = binomtest(successes, trials).proportion_ci(_CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def p_values(values: Mapping[K, Sequence[float]]) -> dict[tuple[K, K], float]:
    """Return the p of every pair of configurations, as `pairwise_p` computes it.

    Args:
        values: One per seed for each configuration; position i of all belongs to one seed.

    Raises:
        ValueError: no configuration, other numbers of seeds, a value that is not finite.
    """
    found = pairwise_p(_paired(values))
    return dict(zip(combinations(values, 2), found.tolist(), strict=True))


def pairwise_p(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Holm-corrected p of every pair's paired t test over seeds, two-sided.

    Where all differences of a pair are one number, its t test has no noise to compare with and
    would say 0 (or nothing, where that number is 0). Accuracies are counts of images, so with few
    seeds such pairs come by chance. Equal values have p = 1; a constant other difference has the p
    of the sign-flip test, 2 of the 2^n ways to give n differences their signs. With one seed no
    test is possible and every p is 1.

    Args:
        table: [..., configurations, seeds], finite.

    Returns:
        [..., pairs] in the order of `itertools.combinations`; corrected inside each last row.
    """
    first, second = np.triu_indices(table.shape[-2], k=1)
    return _holm(_uncorrected(table[..., first, :], table[..., second, :]))


def different(values: Mapping[K, Sequence[float]]) -> list[tuple[K, K]]:
    """Return the pairs that are told apart: p < 0.05, see `p_values`."""
    return [pair for pair, p in p_values(values).items() if p < SIGNIFICANCE]


def apart_from(values: Mapping[K, Sequence[float]], one: K) -> set[K]:
    """Return the configurations that are told apart from `one`."""
    return {key for pair in different(values) if one in pair for key in pair if key != one}


def ranking(values: Mapping[K, Sequence[float]], cost: Mapping[K, float]) -> list[K]:
    """Return the configurations from the best mean down; equal means from the cheaper.

    Args:
        values: As `p_values` takes them; more is better.
        cost: Of each configuration, such as its parameters; less is better.

    Raises:
        ValueError: a value that is not finite; a cost that is missing or not a number.
    """
    means = {key: float(_finite(given).mean()) for key, given in values.items()}
    wrong = [key for key in values if math.isnan(cost.get(key, math.nan))]
    if wrong:
        raise ValueError(
            f"every configuration needs a cost that is a number, but got none for {wrong}"
        )
    return sorted(values, key=lambda key: (-means[key], cost[key]))


def recommend(values: Mapping[K, Sequence[float]], cost: Mapping[K, float]) -> K:
    """Return the best mean; of those that tie with it the cheapest, then the best.

    A tie cannot be told apart from the best mean and lies at most half a standard error below it
    (standard deviation over seeds, pooled over configurations, over the root of their number; with
    one seed only equal means tie). Not to be told apart is not to be equal: with 5 seeds the
    cheapest that shares a letter was 1.6 to 8 times as far from the best as a choice by one seed,
    while half a standard error costs hardly more than no ties (benchmarks/confirm_regret.py).

    Arguments and errors are those of `ranking`, and of `p_values`.
    """
    order, table = ranking(values, cost), _paired(values)
    told_apart = apart_from(values, order[0])
    seeds = table.shape[1]
    spread = math.sqrt(table.var(axis=1, ddof=1).mean() / seeds) if seeds > 1 else 0.0
    margin = max(_TIE * spread, _ROUNDING * float(np.abs(table).max()))
    means = dict(zip(values, table.mean(axis=1).tolist(), strict=True))
    ties = [key for key in order if means[key] >= means[order[0]] - margin]
    left = [key for key in ties if key not in told_apart]
    return min(left, key=lambda key: cost[key])  # min keeps the first of equals: the best mean


def _uncorrected(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p of each pair of rows of two arrays of [..., seeds]."""
    differences, seeds = first - second, first.shape[-1]
    if seeds < 2:
        return np.ones(differences.shape[:-1])
    scale = _ROUNDING * np.maximum(np.abs(first), np.abs(second)).max(axis=-1)
    equal = np.abs(differences).max(axis=-1) <= scale
    p = np.where(equal, 1.0, 2.0 ** (1 - seeds))
    varied = np.ptp(differences, axis=-1) > scale
    if varied.any():
        from scipy.stats import ttest_1samp

        p[varied] = ttest_1samp(differences[varied], 0.0, axis=-1).pvalue
    return p


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each last row of p corrected for that many tests. Holm, 1979.

    Computes what statsmodels.stats.multitest.multipletests does, which collects garbage for 35 ms.
    """
    order = np.argsort(p, axis=-1)
    weighted = np.take_along_axis(p, order, axis=-1) * np.arange(p.shape[-1], 0, -1)
    corrected = np.empty_like(p)
    steps = np.maximum.accumulate(weighted, axis=-1)
    np.put_along_axis(corrected, order, np.minimum(steps, 1.0), axis=-1)
    return corrected


def _paired(values: Mapping[K, Sequence[float]]) -> NDArray[np.float64]:
    """Return the values as [configurations, seeds]."""
    if not values:
        raise ValueError("at least one configuration is needed, but got none")
    counts = {key: len(given) for key, given in values.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"every configuration needs a value of each seed, but got {counts} values"
        )
    return np.stack([_finite(given) for given in values.values()])


def _finite(values: Sequence[float]) -> NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    if not given.size or not np.isfinite(given).all():
        raise ValueError(f"one finite value or more is needed, but got {list(values)}")
    return given
