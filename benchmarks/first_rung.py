"""From which epoch on trials should be compared: ASHA over recorded curves in random order.

One trial after the other, each compared by its best accuracy so far, with --by loss by its least
validation loss so far, or with --by both as `search.compared` has it. Printed is the best
validation accuracy found, on average over many orders: of so many epochs trained in all, and of
24 trials, with the epochs that they took.

python -m benchmarks.first_rung --max-epochs 4 --first 1 2
python -m benchmarks.first_rung --max-epochs 20 --first 1 2 4 6 --spent 60 120 240 480 --by loss
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.curve_files import ACCURACY, LOSS, read_curves
from benchmarks.rung_values import Floats, curves_parser, whole
from search.command import ended
from search.errors import EXIT_DONE, UsageError
from search.pruners import falls, rungs

PROG = "benchmarks.first_rung"
_TRIALS = 24  # the default number
_ORDERS = 1000


def both_so_far(accuracies: Floats, losses: Floats) -> Floats:
    """Return for every run and epoch what `search.compared.merits` gives."""
    best = np.maximum.accumulate(accuracies, axis=1)
    found: Floats = best - np.log(np.minimum.accumulate(losses, axis=1))
    return found


_COMPARED: dict[str, Callable[[Floats, Floats], Floats]] = {
    "accuracy": lambda accuracies, _: accuracies,
    "loss": lambda _, losses: -losses,
    "both": both_so_far,
}


def asha(
    curves: Floats, steps: Sequence[int], compared: Floats | None = None
) -> Iterator[tuple[int, float]]:
    """Yield after every trial the epochs trained so far and the best accuracy among them.

    Args:
        curves: Accuracies [trials, epochs], in the order in which they are trained.
        steps: The rungs, in epochs.
        compared: What rungs compare, the highest so far; None for the accuracies.
    """
    spent, best = 0, 0.0
    trained = epochs_trained(curves if compared is None else compared, [steps] * len(curves))
    for curve, epochs in zip(curves, trained, strict=True):
        spent, best = spent + epochs, max(best, float(curve[:epochs].max()))
        yield spent, best


def epochs_trained(compared: Floats, steps: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield for every trial how many epochs ASHA lets it train.

    Args:
        compared: What rungs compare, the highest so far [trials, epochs].
        steps: Of each trial the epochs after which it meets the rungs; one that lies at its
            last epoch or beyond it does not meet.
    """
    reached: dict[int, list[float]] = defaultdict(list)
    for own, met in zip(compared, steps, strict=True):
        epochs = len(own)
        for rung, step in enumerate(met):
            if step >= len(own):
                break
            values, mine = reached[rung], float(own[:step].max())
            values.append(mine)
            if falls(sum(value > mine for value in values), len(values)):
                epochs = step
                break
        yield epochs


def found(
    curves: Floats, compared: Floats, steps: Sequence[int], spent: Sequence[int], orders: int
) -> tuple[list[float], float, float]:
    """Return means over `orders`: best after `spent` epochs each; epochs, and best, of 24 trials.

    Where the first trial alone takes more epochs, the best is 0.
    """
    draws = np.random.default_rng(0)
    rows = []
    for _ in range(orders):
        order = draws.permutation(len(curves))
        trace = list(asha(curves[order], steps, compared[order]))
        best = [max((b for at, b in trace if at <= limit), default=0.0) for limit in spent]
        rows.append([*best, *trace[min(_TRIALS, len(trace)) - 1]])
    *best, epochs, last = np.mean(rows, axis=0)
    return [float(each) for each in best], float(epochs), float(last)


def report(curves: Floats, compared: Floats, options: argparse.Namespace) -> None:
    """Print a row for each first rung, and one without stopping."""
    print(
        f"{len(curves)} runs, {options.max_epochs} epochs at most, {options.orders} orders, "
        f"compared by {options.by}"
    )
    heads = [f"after {spent} epochs" for spent in options.spent]
    print(f"| rungs | {' | '.join(heads)} | {_TRIALS} trials | their epochs |")
    print("|" + " --- |" * (len(heads) + 3))
    for first in [*options.first, options.max_epochs]:
        steps = rungs(options.max_epochs, first)
        best, epochs, last = found(curves, compared, steps, options.spent, options.orders)
        cells = " | ".join(f"{each:.4f}" for each in best)
        print(f"| {', '.join(map(str, steps)) or 'none'} | {cells} | {last:.4f} | {epochs:.0f} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = curves_parser(PROG, __doc__)
    add = parser.add_argument
    add("--max-epochs", type=int, default=20, help="of a trial (20)")
    add("--first", nargs="+", type=int, default=[1, 2, 4, 6], help="first rungs")
    add("--spent", nargs="+", type=int, default=[60, 120, 240, 480], help="epochs")
    add("--by", choices=tuple(_COMPARED), default="accuracy", help="what rungs compare")
    add("--orders", type=int, default=_ORDERS, help="%(default)s")
    options = parser.parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    runs, about = read_curves(options.curves)
    if not 2 <= options.max_epochs <= about["epochs"]:
        raise UsageError([f"--max-epochs must lie in 2 to {about['epochs']}"])
    if min(*options.first, *options.spent, options.orders) < 1:
        raise UsageError(["--first, --spent and --orders must be at least 1"])
    known = whole(runs)[:, : options.max_epochs]
    accuracies, losses = known[:, :, ACCURACY], known[:, :, LOSS]
    report(accuracies, _COMPARED[options.by](accuracies, losses), options)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
