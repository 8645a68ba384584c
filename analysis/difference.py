"""How far two studies are apart, with what interval their seeds allow."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.statistics import SIGNIFICANCE, Summary, one_number, student_interval

if TYPE_CHECKING:
    from analysis.comparison import Side


@dataclass(frozen=True)
class Difference:
    """Mean accuracy of `other` minus that of `first`; `summary` has the interval, if any.

    `how` is paired (same seeds), Welch (other seeds) or single (a side has one seed). Without an
    interval a single one, and where few seeds gave one number. The interval is of 1 - 0.05 / n for
    a comparison of n differences, `of_all`: so wide, all of them hold with 95 % (Bonferroni).
    """

    first: str
    other: str
    summary: Summary
    how: str
    of_all: int = 1

    @property
    def level(self) -> float:
        """How often the interval holds the true difference."""
        return 1 - SIGNIFICANCE / self.of_all


def difference(first: "Side", other: "Side", of_all: int = 1) -> Difference:
    """Return the difference of two accuracies, one of `of_all` that are told together."""
    summary, how = _summary(first, other, SIGNIFICANCE / of_all)
    return Difference(first.name, other.name, summary, how, of_all)


def _summary(first: "Side", other: "Side", significance: float) -> tuple[Summary, str]:
    seeds = sorted(set(first.accuracy) & set(other.accuracy))
    if len(seeds) > 1 and len(seeds) == len(first.accuracy) == len(other.accuracy):
        paired = [other.accuracy[seed] - first.accuracy[seed] for seed in seeds]
        return student_interval(paired, significance), "paired"
    one, two = (np.array(list(side.accuracy.values())) for side in (first, other))
    mean = float(two.mean() - one.mean())
    n = min(len(one), len(two))
    if n < 2:
        return Summary(mean, None, None, None, 1), "single"
    if one_number(one) and one_number(two):  # no noise to compare the difference with
        # There is an interval where so many do not agree by chance.
        return student_interval([mean] * n, significance), "Welch"
    half = _welch(one, two, significance)
    return Summary(mean, None, mean - half, mean + half, n), "Welch"


def _welch(one: NDArray[np.float64], two: NDArray[np.float64], significance: float) -> float:
    """Return half of the interval of a difference of means, for two values or more on each side.

    Welch, The generalization of Student's problem when several different population variances are
    involved, 1947. scipy's own warns on stderr where one side's values are all one number.
    """
    from scipy.stats import t

    parts = np.array([side.var(ddof=1) / len(side) for side in (one, two)])
    freedom = parts.sum() ** 2 / (parts**2 / [len(one) - 1, len(two) - 1]).sum()
    return float(t.ppf(1 - significance / 2, freedom) * math.sqrt(parts.sum()))
