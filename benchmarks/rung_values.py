"""What a rung should compare: which number known at an epoch tells most of a run's best accuracy.

On recorded learning curves (benchmarks/curves): the accuracy of that epoch, the best accuracy or
the least loss so far, or both, all on validation. Printed are the rank correlation with the best
accuracy of the whole run, and what early stopping loses: of 24 runs drawn at random the best third
goes on, and the best of those lies so far below the best of the 24, on average over many draws.

python -m benchmarks.rung_values --epochs 2 6 18
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.curve_files import ACCURACY, LOSS, Run, by_configuration, read_curves
from benchmarks.record_curves import EXPERIMENT, FOLDER
from search.command import Parser, ended
from search.errors import EXIT_DONE, UsageError
from search.pruners import kept

PROG = "benchmarks.rung_values"
Floats = NDArray[np.float64]
_DRAWS = 4000
_TOGETHER = 24  # the default number of trials


def of_epoch(accuracies: Floats, losses: Floats) -> Floats:
    """Return the accuracy of the last epoch, [runs], of curves [runs, epochs]."""
    return accuracies[:, -1]


def best_so_far(accuracies: Floats, losses: Floats) -> Floats:
    """Return the highest accuracy, [runs], of curves [runs, epochs]."""
    return accuracies.max(axis=1)  # type: ignore[no-any-return]  # numpy's stubs


def least_loss(accuracies: Floats, losses: Floats) -> Floats:
    """Return the least loss, [runs], negated: higher is better here."""
    return -losses.min(axis=1)  # type: ignore[no-any-return]


def both(accuracies: Floats, losses: Floats) -> Floats:
    """Return the highest accuracy less the logarithm of the least loss, [runs]: see `merits`."""
    return accuracies.max(axis=1) - np.log(losses.min(axis=1))  # type: ignore[no-any-return]


VALUES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "accuracy of that epoch": of_epoch,
    "best accuracy so far": best_so_far,
    "least loss so far": least_loss,
    "both, as `search.compared` has it": both,
}


def whole(runs: Sequence[Run]) -> Floats:
    """Return EPOCH_FIELDS of the runs that trained to their end, [runs, epochs, fields]."""
    longest = max(len(run.rows) for run in runs)
    rows = np.array([run.rows for run in runs if len(run.rows) == longest])
    found: Floats = rows[np.isfinite(rows).all(axis=(1, 2))]  # not those that diverged at the end
    return found


def even_curves(runs: Sequence[Run], wanted: str) -> Floats:
    """Return accuracies [configurations, seeds, epochs] of runs, the same number of seeds of each.

    Raises:
        UsageError: `wanted`: not all have the same number of whole runs, 2 or more.
    """
    known = [whole(each)[:, :, ACCURACY] for each in by_configuration(runs).values()]
    if len({each.shape for each in known}) != 1 or len(known[0]) < 2:
        raise UsageError([wanted])
    return np.array(known)


def rank_correlation(values: Floats, truth: Floats) -> float:
    """Return Spearman's coefficient, in [-1, 1]."""
    from scipy.stats import spearmanr

    return float(spearmanr(values, truth).statistic)


def lost(values: Floats, truth: Floats, together: int, draws: int = _DRAWS) -> float:
    """Return how far the best that goes on lies below the best, on average; equals by chance."""
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(draws):
        chosen = rng.choice(len(values), together, replace=False)  # in random order
        order = chosen[np.argsort(-values[chosen], kind="stable")]
        losses.append(truth[chosen].max() - truth[order[: kept(together)]].max())
    return float(np.mean(losses))


def report(runs: Sequence[Run], epochs: Sequence[int]) -> None:
    """Print a row for each epoch and each number that is known then."""
    rows = whole(runs)
    accuracies, losses = rows[:, :, ACCURACY], rows[:, :, LOSS]
    truth = accuracies.max(axis=1)
    together = min(_TOGETHER, len(truth))
    print(f"{len(truth)} runs")
    print("| epoch | compared by | rank correlation with the best accuracy | lost by stopping |")
    print("| --- | --- | --- | --- |")
    for epoch in epochs:
        for name, value in VALUES.items():
            values = value(accuracies[:, :epoch], losses[:, :epoch])
            told = rank_correlation(values, truth), lost(values, truth, together)
            print(f"| {epoch} | {name} | {told[0]:.2f} | {told[1]:.4f} |")


def curves_parser(prog: str, description: str | None) -> Parser:
    """Return the parser of a command about recorded curves, which has --curves."""
    made = Parser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--curves", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = curves_parser(PROG, __doc__)
    parser.add_argument("--epochs", nargs="+", type=int, default=[2, 6, 18])
    options = parser.parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    runs, about = read_curves(options.curves)
    if not all(1 <= epoch <= about["epochs"] for epoch in options.epochs):
        raise UsageError([f"--epochs must lie in 1 to {about['epochs']}; got {options.epochs}"])
    report(runs, options.epochs)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
