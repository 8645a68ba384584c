"""Trials per hour and share of the machine's matrix rate, for 1 to 16 trials at once on one GPU.

python -m benchmarks.gpu --experiments lenet_beans mnist_cnn --at-once 1 4 16

Published configurations on drawn images, so no data is needed: times are those of real images of
that size, accuracies mean nothing. Ways: `ray_tune`, stock, one trial on the GPU, whose images
are PNG files that it decodes every epoch; `processes`, one per trial, each with its share of the
GPU's memory; `batched`, all trials in one process and one batch; `one_by_one`, the same with a
call of each convolution per trial. The last column is trials per hour over those of Ray Tune.
A trial has as many epochs as published. Useful operations are those of the forward and backward
pass as torch counts them; the matrix rate is that of one large product in the same precision. The
first epoch, and all before it, does not count; `processes` keep best weights and checkpoints as a
study does, and wait for no driver. Without a GPU all of it runs on the CPU, and says so. Inception
has random weights and is not batched. Both of its stages are timed, without the first epoch of
each, so without our one pass of its frozen layers, which all trials share; the share of the matrix
rate is that of fine-tuning.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks.gpu.rates import device_name, matrix_rate, trials_per_second
from benchmarks.gpu.work import SHAPES, CannotRun, DoesNotFit, Work, epoch_operations
from search.command import Parser, ended, positive
from search.interrupts import interrupt_by_all
from search.progress import say

PROG = "benchmarks.gpu"
NAMES = ("ray_tune", "processes", "batched", "one_by_one")
HEAD = (
    "experiment",
    "way",
    "trials at once",
    "trials/h",
    "useful Tflop/s",
    "share of matrix rate",
    "times Ray Tune",
)


def row(
    work: Work,
    way: str,
    at_once: int,
    rates: Sequence[float],
    operations: int,
    most: float,
    peer: float | None,
) -> list[str]:
    """Return a row of the table; `rates` are epochs per second by stage, `peer` trials."""
    per_second = trials_per_second(rates, work.published)
    achieved = rates[-1] * operations
    return [
        work.experiment,
        way,
        str(at_once),
        f"{3600 * per_second:.1f}",
        f"{achieved / 1e12:.3f}",
        f"{achieved / most:.1%}",
        "" if peer is None else f"{per_second / peer:.1f}",
    ]


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--experiments", nargs="+", choices=SHAPES, default=list(SHAPES))
    made.add_argument("--ways", nargs="+", choices=NAMES, default=list(NAMES))
    made.add_argument("--at-once", type=positive, nargs="+", default=[1, 2, 4, 8, 16])
    made.add_argument("--epochs", type=int, default=4, help="of each stage, at least 3 (4)")
    made.add_argument("--images", type=positive, help="to train on; default: as many as published")
    made.add_argument("--image-size", type=positive, help="side of LeNet's images (299)")
    made.add_argument("--matrix", type=positive, default=4096, help="side of the product (4096)")
    return made


def ways_of(experiment: str, asked: Sequence[str]) -> list[str]:
    """Return the ways that there are for an experiment, Ray Tune first."""
    without = ("batched", "one_by_one") if experiment == "inception_beans" else ()
    return [way for way in NAMES if way in asked and way not in without]


def measure(work: Work, ways: Sequence[str], at_once: Sequence[int], most: float) -> bool:
    """Print the rows of an experiment; tell whether none failed. What does not fit is left out."""
    from benchmarks.gpu.ways import WAYS

    operations, peer, whole = epoch_operations(work), None, True
    for way in ways:
        for count in [1] if way == "ray_tune" else at_once:
            say(f"{work.experiment}: {way}, {count} at once")
            try:
                rates = WAYS[way](work, count)
            except DoesNotFit as error:
                say(f"{work.experiment}: {way}, {count} at once is left out: {error}")
                continue
            except CannotRun as error:
                whole = False
                say(f"{PROG}: {work.experiment}, {way}, {count} at once: {error}")
                continue
            peer = trials_per_second(rates, work.published) if way == "ray_tune" else peer
            cells = row(work, way, count, rates, operations, most, peer)
            print(f"| {' | '.join(cells)} |", flush=True)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a row is missing because its way failed."""
    made = parser()
    options = made.parse_args(arguments)
    if options.epochs < 3:
        made.error(f"--epochs must be at least 3, but got {options.epochs}")
    interrupt_by_all()  # so that no process is left on the GPU
    return ended(PROG, lambda: print_table(options))


def print_table(options: argparse.Namespace) -> int:
    """Print a row as each is measured; 1 where one is missing because its way failed."""
    most = matrix_rate(options.matrix)
    print(f"taken on {device_name()}; matrix rate {most / 1e12:.2f} Tflop/s\n")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    whole = True
    for experiment in options.experiments:
        work = Work(experiment, options.epochs, 0, options.images, options.image_size)
        whole &= measure(work, ways_of(experiment, options.ways), options.at_once, most)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
