"""Trials per hour and share of the machine's matrix rate, for 1 to 16 trials at once on one GPU.

python -m benchmarks.gpu --experiments lenet_beans mnist_cnn --at-once 1 4 16

Published configurations on drawn images, so no data is needed: times are those of real images of
that size, accuracies mean nothing. Each trial is a process of its own with its share of the
GPU's memory. Useful operations are those of the forward and backward pass as torch counts them;
the matrix rate is that of one large product in the same precision. Without a GPU all of it runs
on the CPU, and says so. Inception has random weights and is timed in its fine-tuning.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.catalog import find
from search.command import Parser
from search.progress import say

PROG = "benchmarks.gpu"
# Side in pixels (LeNet's is a hyperparameter), channels, classes, images to train on.
SHAPES = {
    "lenet_beans": (299, 3, 3, 1034),
    "inception_beans": (299, 3, 3, 1034),
    "mnist_cnn": (28, 1, 10, 54_000),
    "cifar10_net": (32, 3, 10, 45_000),
}
HEAD = ("experiment", "trials at once", "trials/h", "useful Tflop/s", "share of matrix rate")


@dataclass(frozen=True)
class Work:
    """What a worker trains: plain values, sent as JSON. `images` None: as many as published."""

    experiment: str
    epochs: int
    seed: int = 0
    images: int | None = None
    image_size: int | None = None
    share: float = 1.0

    @property
    def config(self) -> dict[str, Any]:
        """The published configuration; Inception with one epoch of the head before."""
        changes: dict[str, Any] = {}
        if self.experiment == "lenet_beans" and self.image_size:
            changes = {"image_size": self.image_size}
        if self.experiment == "inception_beans":
            changes = {"head_epochs": 1, "finetune_epochs": self.epochs - 1}
        return {**find(self.experiment).defaults(), **changes}


def drawn(work: Work) -> Any:
    """Return data of drawn images, as many as the work trains on and a tenth to validate."""
    from trainables.data import Data, DataSpec, Split

    side, channels, classes, count = SHAPES[work.experiment]
    count = work.images or count
    counts = {"train": count, "validation": max(classes, count // 10)}

    class Drawn(Data):
        def split(self, name: str, size: int | None) -> Split:
            pixels, draws = size or side, np.random.default_rng(0)
            shape = (counts[name], pixels, pixels, channels)
            images = draws.integers(0, 256, shape, dtype=np.uint8)
            return Split(images, np.arange(counts[name]) % classes)

    names = tuple(f"class {number}" for number in range(classes))
    spec = DataSpec(find(work.experiment).dataset, "embedded")
    return Drawn(spec, names, f"drawn-{work.experiment}-{count}", counts, ())


def budget_of(work: Work) -> Any:
    """Return the trial's budget: its share of the GPU's memory, one thread on a CPU."""
    import torch

    from trainables.budget import Budget
    from trainables.weights import RANDOM

    memory_mb = None
    if torch.cuda.is_available():
        memory_mb = torch.cuda.get_device_properties(0).total_memory / 2**20 * 0.9 * work.share
    threads = 0 if torch.cuda.is_available() else 1
    return Budget(work.epochs, work.seed, threads, weights=RANDOM, memory_mb=memory_mb)


def ends(work: Work) -> Iterator[float]:
    """Train, and yield the time at the end of every epoch."""
    module = importlib.import_module(f"trainables.{work.experiment}")
    for _ in module.epochs(work.config, drawn(work), budget_of(work)):
        yield time.perf_counter()


def epoch_operations(work: Work) -> int:
    """Return floating-point operations of one epoch of training: 2 per multiply-add.

    Counted on one batch of the last stage, on the CPU in float32; evaluation is left out.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    one = replace(work, images=work.config["batch_size"])
    module = importlib.import_module(f"trainables.{work.experiment}")
    budget = replace(budget_of(one), device="cpu", precision="float32", memory_mb=None)
    for build in module.stages(one.config, drawn(one), budget):
        stage = build(torch.device("cpu"))
    stage.model.train()
    with FlopCounterMode(display=False) as counter:
        logits = stage.model(stage.prepare(stage.train.inputs))
        stage.loss(logits, stage.train.labels).backward()
    images = work.images or SHAPES[work.experiment][3]
    batch: int = one.config["batch_size"]
    counted: int = counter.get_total_flops()
    return round(counted * images / batch)


def matrix_rate(side: int) -> float:
    """Return flop/s of a square matrix product in the precision that training has here."""
    import torch

    from trainables import device as machine
    from trainables.budget import Budget

    device = machine.choose_device(Budget(1))
    lower = machine.precision(Budget(1), device) == "bfloat16"
    kind = torch.bfloat16 if lower else torch.float32
    left = torch.randn(side, side, device=device, dtype=kind)
    best = float("inf")
    for _ in range(6):  # the first is slow
        _wait(device)
        began = time.perf_counter()
        left @ left
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def device_name() -> str:
    """Return what the figures are taken on."""
    import torch

    from benchmarks.peers.machine import processor

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return f"no GPU: the CPU, {processor()}, {os.cpu_count()} cores"


def epochs_per_second(works: Sequence[Work]) -> float:
    """Return the sum over trials at once, each in its process; the first epoch does not count."""
    words = [sys.executable, "-m", "benchmarks.gpu", "--worker"]
    running = [
        subprocess.Popen([*words, json.dumps(vars(work))], stdout=subprocess.PIPE, text=True)
        for work in works
    ]
    told = [process.communicate()[0] for process in running]
    if failed := [process.returncode for process in running if process.returncode]:
        raise SystemExit(f"{PROG}: {len(failed)} of {len(works)} trials at once failed")
    return sum(rate(json.loads(each.splitlines()[-1])) for each in told)


def rate(moments: Sequence[float]) -> float:
    """Return epochs per second between the end of the first and of the last epoch."""
    return (len(moments) - 1) / (moments[-1] - moments[0])


def row(work: Work, at_once: int, per_second: float, operations: int, most: float) -> list[str]:
    """Return a row of the table: a trial has as many epochs as published."""
    published = find(work.experiment).presets["standard"].max_epochs
    achieved = per_second * operations
    return [
        work.experiment,
        str(at_once),
        f"{3600 * per_second / published:.1f}",
        f"{achieved / 1e12:.3f}",
        f"{achieved / most:.1%}",
    ]


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--experiments", nargs="+", choices=SHAPES, default=list(SHAPES))
    made.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    made.add_argument("--epochs", type=int, default=4, help="of each trial, at least 3 (4)")
    made.add_argument("--images", type=int, help="to train on; default: as many as published")
    made.add_argument("--image-size", type=int, help="side of LeNet's images (299)")
    made.add_argument("--matrix", type=int, default=4096, help="side of the product (4096)")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    made = parser()
    options = made.parse_args(arguments)
    if options.worker:
        print(json.dumps(list(ends(Work(**json.loads(options.worker))))))
        return 0
    if options.epochs < 3:
        made.error(f"--epochs must be at least 3, but got {options.epochs}")
    most = matrix_rate(options.matrix)
    print(f"taken on {device_name()}; matrix rate {most / 1e12:.2f} Tflop/s\n")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRELLIS_CACHE"] = cache  # stored activations of drawn images are of no use
        for experiment in options.experiments:
            size = options.image_size
            work = Work(experiment, options.epochs, 0, options.images, size)
            operations = epoch_operations(work)
            for count in options.at_once:
                say(f"{experiment}: {count} at once")
                each = [replace(work, seed=seed, share=1 / count) for seed in range(count)]
                cells = row(work, count, epochs_per_second(each), operations, most)
                print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
