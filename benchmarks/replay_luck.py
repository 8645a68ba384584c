"""Do replayed curves mislead a search as much as recorded ones? How lucky the best one is.

Random configurations, one seed each, and ASHA. What search sees of the best lies above what other
seeds of it reach: of recorded runs by the other seeds recorded, of replayed ones by the truth of
benchmarks/replay.py. If replays are like the real thing, both columns agree.

python -m benchmarks.replay_luck --trials 24 50 100
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.curve_files import ACCURACY, Run, read_curves
from benchmarks.first_rung import asha
from benchmarks.record_curves import EXPERIMENT, configurations
from benchmarks.replay_answers import Answers, load
from benchmarks.rung_values import Floats, curves_parser, even_curves
from search.book import Assignment
from search.catalog import find
from search.command import ended, positive
from search.errors import EXIT_DONE, UsageError
from search.plan import Plan

PROG = "benchmarks.replay_luck"
_REPLAYED = 10_000  # configurations
# Draws curves [trials, epochs] and the truths [trials] of their configurations.
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def chosen(curves: Floats, truths: Floats, steps: Sequence[int]) -> tuple[float, float]:
    """Return the best accuracy that ASHA sees, and the truth of the configuration it is of."""
    seen, place = -1.0, 0
    for number, (_, best) in enumerate(asha(curves, steps)):
        if best > seen:
            seen, place = best, number
    return seen, float(truths[place])


def recorded(runs: Sequence[Run]) -> Draw:
    """Return what draws recorded configurations, one seed of each; others tell the truth.

    Raises:
        UsageError: not all configurations have the same number of whole runs, 2 or more.
    """
    curves = even_curves(
        runs, "configurations must be recorded with the same number of seeds, 2 or more"
    )
    best = curves.max(axis=2)  # [configurations, seeds]

    def draw(rng: np.random.Generator, trials: int) -> tuple[Floats, Floats]:
        places = rng.permutation(len(curves))[:trials]
        seeds = rng.integers(best.shape[1], size=len(places))
        own = best[places, seeds]
        return curves[places, seeds], (best[places].sum(axis=1) - own) / (best.shape[1] - 1)

    return draw


def replayed(answers: Answers, configs: Sequence[dict[str, object]]) -> Draw:
    """Return what draws some of `configs`, answered each with a seed of its own."""
    seeded = [Assignment(0, config, seed, -1.0) for seed, config in enumerate(configs)]
    curves = np.array([[row[ACCURACY] for row in answers.run(each).rows] for each in seeded])
    truths = -np.array([answers.regret(config) for config in configs]) + answers.best

    def draw(rng: np.random.Generator, trials: int) -> tuple[Floats, Floats]:
        places = rng.permutation(len(curves))[:trials]
        return curves[places], truths[places]

    return draw


def means(draw: Draw, trials: int, orders: int, epochs: int) -> tuple[float, float]:
    """Return what is seen of the best of so many trials, and its truth: means over `orders`."""
    rng, steps = np.random.default_rng(0), Plan(trials, epochs).rungs
    rows = [chosen(*draw(rng, trials), steps) for _ in range(orders)]
    seen, truth = np.mean(rows, axis=0)
    return float(seen), float(truth)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = curves_parser(PROG, __doc__)
    parser.add_argument("--trials", nargs="+", type=positive, default=[24, 50, 100, 200])
    parser.add_argument("--orders", type=positive, default=1000, help="%(default)s")
    options = parser.parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    runs, _ = read_curves(options.curves)
    known = {run.configuration for run in runs}
    if max(options.trials) > len(known):
        raise UsageError([f"--trials must be at most {len(known)}: no more were recorded"])
    draws = [recorded(runs)]
    answers, fixed = load(options.curves, "forest")
    others = configurations(find(EXPERIMENT), fixed, len(known) + _REPLAYED)[len(known) :]
    draws.append(replayed(answers, others))
    print("| trials | recorded: seen | true | luck | replayed: seen | true | luck |")
    print("|" + " --- |" * 7)
    for trials in options.trials:
        cells = []
        for draw in draws:
            seen, truth = means(draw, trials, options.orders, answers.epochs)
            cells += [f"{seen:.4f}", f"{truth:.4f}", f"{seen - truth:.4f}"]
        print(f"| {trials} | {' | '.join(cells)} |")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
