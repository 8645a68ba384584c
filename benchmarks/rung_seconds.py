"""Should trials be compared after as many epochs, or after as many seconds?

ASHA over recorded learning curves, one seed of each configuration in random order, one trial after
the other. A trial meets the rung of 2 epochs after 2 (m / s)^p, where an epoch of it takes s
seconds, and m on average over all configurations: with power 0 after as many epochs as any other,
with 1 after as many seconds. Printed are, when so many mean epochs' time has gone, the best
accuracy found and what other seeds of that configuration reach, on average over many orders.

python -m benchmarks.rung_seconds --powers 0 0.5 1
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.curve_files import EPOCH_FIELDS, Run, by_configuration, read_curves
from benchmarks.first_rung import epochs_trained
from benchmarks.rung_values import Floats, curves_parser, even_curves
from search.command import ended
from search.errors import EXIT_DONE, UsageError
from search.plan import Plan

PROG = "benchmarks.rung_seconds"
_CPU_S = EPOCH_FIELDS.index("cpu_s")


@dataclass(frozen=True)
class Recorded:
    """Validation accuracies [configurations, seeds, epochs], and seconds of an epoch of each."""

    curves: Floats
    seconds: Floats

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Recorded":
        """Take the runs of all configurations; CPU seconds are those of the first run's precision.

        Raises:
            UsageError: not all configurations have the same number of whole runs, 2 or more, one
                of them in that precision.
        """
        wanted = (
            "configurations must be recorded with the same number of seeds, 2 or more, and one of "
            f"them in {runs[0].precision}"
        )
        curves = even_curves(runs, wanted)
        timed = by_configuration(run for run in runs if run.precision == runs[0].precision)
        if len(timed) < len(curves):
            raise UsageError([wanted])
        seconds = [np.median([row[_CPU_S] for run in each for row in run.rows])
                   for each in timed.values()]  # fmt: skip
        return cls(curves, np.array(seconds))


def steps_of(seconds: Floats, rungs: Sequence[int], power: float) -> list[list[int]]:
    """Return after how many epochs, 1 or more, each configuration meets the rungs."""
    shares = (seconds.mean() / seconds) ** power
    met: list[list[int]] = np.rint(np.outer(shares, rungs)).clip(1).astype(int).tolist()
    return met


def found(
    recorded: Recorded, steps: Sequence[Sequence[int]], limits: Sequence[float], orders: int
) -> Floats:
    """Return after each of `limits` seconds the best accuracy and its truth, [limits, 2].

    Means over `orders`; 0 where the first trial alone takes longer.
    """
    draws = np.random.default_rng(0)
    best = recorded.curves.max(axis=2)  # [configurations, seeds]
    told = []
    for _ in range(orders):
        order = draws.permutation(len(best))
        seeds = draws.integers(best.shape[1], size=len(best))
        curves = recorded.curves[order, seeds]
        epochs = list(epochs_trained(curves, [steps[place] for place in order]))
        spent = np.cumsum(recorded.seconds[order] * epochs)
        seen = np.array([curve[:end].max() for curve, end in zip(curves, epochs, strict=True)])
        others = (best[order].sum(axis=1) - best[order, seeds]) / (best.shape[1] - 1)
        told.append([_best_until(limit, spent, seen, others) for limit in limits])
    means: Floats = np.mean(told, axis=0)
    return means


def _best_until(limit: float, spent: Floats, seen: Floats, others: Floats) -> tuple[float, float]:
    """Return what is seen of the best trial that has ended by then, and its truth."""
    if not (count := int(np.searchsorted(spent, limit, side="right"))):
        return 0.0, 0.0
    place = int(seen[:count].argmax())
    return float(seen[place]), float(others[place])


def report(recorded: Recorded, powers: Sequence[float], spent: Sequence[int], orders: int) -> None:
    """Print a row for each power."""
    rungs = Plan(len(recorded.curves), recorded.curves.shape[2]).rungs
    mean = float(recorded.seconds.mean())
    cells = [f"after {each}: seen | true" for each in spent]
    print(f"{len(recorded.curves)} configurations, {orders} orders, rungs {rungs}; "
          f"an epoch takes {mean:.2f} s on average")  # fmt: skip
    print(f"| power | {' | '.join(cells)} |")
    print("|" + " --- |" * (2 * len(spent) + 1))
    for power in powers:
        steps = steps_of(recorded.seconds, rungs, power)
        rows = found(recorded, steps, [each * mean for each in spent], orders)
        print(f"| {power:g} | {' | '.join(f'{cell:.4f}' for cell in rows.flat)} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = curves_parser(PROG, __doc__)
    add = parser.add_argument
    add("--powers", nargs="+", type=float, default=[0.0, 0.5, 1.0], help="0 to 1 (0 0.5 1)")
    add("--spent", nargs="+", type=int, default=[60, 120, 240, 480], help="mean epochs")
    add("--orders", type=int, default=1000, help="%(default)s")
    options = parser.parse_args(arguments)

    def tell() -> int:
        if min(*options.spent, options.orders) < 1 or not all(0 <= p <= 1 for p in options.powers):
            raise UsageError(
                ["--spent and --orders must be at least 1, --powers must lie in 0 to 1"]
            )
        runs, _ = read_curves(options.curves)
        report(Recorded.of(runs), options.powers, options.spent, options.orders)
        return EXIT_DONE

    return ended(PROG, tell)


if __name__ == "__main__":
    sys.exit(main())
