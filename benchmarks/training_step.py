"""How near a training step comes to what the CPU can do, and how far it is ahead of a plain loop.

One thread and CPU seconds, since a trial has one core; drawn images. Ours and the matrix rate are
in what a trial would take here: bfloat16 where the CPU multiplies it in hardware, else float32.
The plain loop is PyTorch as its tutorials have it: DataLoader, float32, images one after the
other, ReLU before pooling. Beside it, by turns in one process, our step with torch's own
fused optimizer, and of cifar10_net convolutions (LeNet's first one stays folded).

python -m benchmarks.training_step --cases lenet_beans-299 mnist_cnn --rounds 3
"""

import argparse
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers import networks, stock
from search.names import PRECISIONS
from search.progress import say
from trainables import device as machine
from trainables.budget import Budget
from trainables.cpu import resolve_precision
from trainables.data import Data, DataSpec, Split
from trainables.data.source import Progress, silent
from trainables.nets.products import ProductConv2d
from trainables.trace import trace
from trainables.training import Stage, train_epoch

PROG = "python -m benchmarks.training_step"
_PLAIN = {"augmentation": "none"}
_WIDE = {"filters": "128/256/512"}
# name -> (experiment, what differs from its published configuration, (side, channels), classes,
# images per epoch here)
CASES: dict[str, tuple[str, dict[str, Any], tuple[int, int], int, int]] = {
    "lenet_beans-299": ("lenet_beans", {}, (299, 3), 3, 128),
    "lenet_beans-299-dropout": ("lenet_beans", {"dropout": 0.2}, (299, 3), 3, 128),
    "lenet_beans-64-16": ("lenet_beans", {"image_size": 64, "batch_size": 16}, (64, 3), 3, 512),
    "mnist_cnn": ("mnist_cnn", {}, (28, 1), 10, 1280),
    "cifar10_net-4": ("cifar10_net", _PLAIN, (32, 3), 10, 600),
    "cifar10_net-64": ("cifar10_net", {"batch_size": 64} | _PLAIN, (32, 3), 10, 640),
    "cifar10_net-wide-4": ("cifar10_net", _WIDE | _PLAIN, (32, 3), 10, 240),
    "cifar10_net-wide-64": ("cifar10_net", {"batch_size": 64} | _WIDE | _PLAIN, (32, 3), 10, 256),
    "cifar10_net-widest-4": ("cifar10_net", {"kernel_size": 7} | _WIDE | _PLAIN, (32, 3), 10, 80),
}
# What a dense layer's weight costs in a step beside the optimizer, in bytes: read as float32,
# written and twice read as bfloat16; its gradient written and read as bfloat16, then written as
# float32.
_PASS_BYTES = 4 + 2 + 2 * 2 + 2 + 2 + 4
_MATRIX = 2048


class Images(Dataset[Any]):
    """Images one by one as torchvision's ToTensor gives them."""

    def __init__(self, split: Split) -> None:
        """Take uint8 images, channels last."""
        self.split = split

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.split.labels)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        """Return [channels, height, width] float32 in [0, 1], and the class."""
        image = torch.from_numpy(self.split.images[place]).permute(2, 0, 1)
        return image.float().div(255).contiguous(), int(self.split.labels[place])


def drawn(side: int, channels: int, classes: int, images: int) -> Data:
    """Return data whose splits are the same drawn images."""
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (images, side, side, channels), dtype=np.uint8)
    split = Split(pixels, draws.integers(0, classes, images))

    class Drawn(Data):
        def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
            return split

    names = tuple(str(each) for each in range(classes))
    counts = {"train": images, "validation": images}
    return Drawn(DataSpec("beans", "embedded"), names, "drawn", counts, ())


def given(name: str) -> tuple[str, dict[str, Any], Data]:
    """Return a case's experiment, configuration and data."""
    experiment, changes, (side, channels), classes, images = CASES[name]
    defaults = importlib.import_module(f"spaces.{experiment}").DEFAULTS
    return experiment, defaults | changes, drawn(side, channels, classes, images)


def plain_epoch(name: str) -> float:
    """Return the CPU seconds of the plain loop's second epoch."""
    torch.set_num_threads(1)
    experiment, config, data = given(name)
    split = data.split("train", None)
    height, width, channels = split.images.shape[1:]
    shape = (channels, height, width)
    network = networks.build(experiment, config, shape, len(data.classes))
    optimizer = stock.optimizer_of(experiment, config, list(network.parameters()))
    loader = DataLoader(Images(split), config["batch_size"], shuffle=True)
    for _ in range(2):
        seconds = cpu_seconds(lambda: stock.train_epoch(network, loader, optimizer, config))
    return seconds


def plain_process(name: str) -> float:
    """Return the same from a process of its own: ours keeps freed memory, which helps any loop."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--plain", name]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def matrix_rate(precision: str) -> float:
    """Return multiply-adds per CPU second of a large square product in bfloat16 or float32."""
    left = torch.randn(_MATRIX, _MATRIX).to(getattr(torch, precision))
    return _MATRIX**3 / statistics.median(cpu_seconds(lambda: left @ left) for _ in range(5))


def dense_bytes(stage: Stage) -> int:
    """Return the bytes that a step moves for the weights of the largest dense layer."""
    dense = [m.weight.numel() for m in stage.model.modules() if isinstance(m, nn.Linear)]
    states = 2 if isinstance(stage.optimizer, torch.optim.Adam) else 1  # SGD has momentum here
    # Weight and states are read and written, the gradient is read.
    return max(dense) * (_PASS_BYTES + 4 * (2 * (1 + states) + 1))


def our_stage(name: str, device: torch.device, budget: Budget) -> Stage:
    """Return the case's stage as a trial has it."""
    experiment, config, data = given(name)
    module = importlib.import_module(f"trainables.{experiment}")
    return module.stages(config, data, budget)[0](device)  # type: ignore[no-any-return]


def as_torch_has_it(stage: Stage) -> Stage:
    """Return a stage with torch's convolutions and fused optimizer instead of ours."""
    for layer in stage.model.modules():
        if isinstance(layer, ProductConv2d):
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]  # no attributes of its own
    group = stage.optimizer.param_groups[0]
    options: dict[str, Any] = {"lr": group["lr"], "fused": True}
    if isinstance(stage.optimizer, torch.optim.Adam):
        adam = torch.optim.Adam(group["params"], eps=group["eps"], **options)
        return replace(stage, optimizer=adam)
    sgd = torch.optim.SGD(group["params"], momentum=group["momentum"], **options)
    return replace(stage, optimizer=sgd)


def multiply_adds(name: str) -> tuple[int, int]:
    """Return those of one image on the way forward, and of a training step.

    The way back costs twice the way forward, but for the first layer, whose input needs no
    gradient.
    """
    side, channels = CASES[name][2]
    model = our_stage(name, torch.device("meta"), Budget(1)).model
    adds = [layer.multiply_adds for layer in trace(model, (channels, side, side))]
    return sum(adds), 3 * sum(adds) - next(count for count in adds if count)


def epoch_seconds(stage: Stage, lower: AbstractContextManager[object], epoch: int) -> float:
    """Return the CPU seconds of an epoch of ours."""
    return cpu_seconds(lambda: train_epoch(stage, 0, epoch, lower))


def measure(name: str, rounds: int, precision: str) -> str:
    """Return the row of a case; ours and the matrix rate are in `precision`."""
    images = CASES[name][-1]
    budget = Budget(1, threads=1, device="cpu", precision=precision)
    device = machine.set_up(budget)
    stage, lower = our_stage(name, device, budget), machine.autocast(budget, device)
    adds, in_a_step = multiply_adds(name)
    other = as_torch_has_it(our_stage(name, device, budget))
    plain: list[float] = []
    ours: list[float] = []
    torchs: list[float] = []
    rates: list[float] = []
    for epoch in range(rounds + 1):  # the first one warms up
        say(f"{name}: {'warming up' if epoch == 0 else f'round {epoch} of {rounds}'}")
        rates.append(matrix_rate(precision))
        pair = ((stage, ours), (other, torchs))
        for each, seconds in pair if epoch % 2 else pair[::-1]:  # who is first finds cold caches
            seconds.append(epoch_seconds(each, lower, epoch) / images)
        plain.append(plain_process(name) / images)
    every = (rates, ours, torchs, plain)
    rate, mine, mixed, theirs = (statistics.median(each[1:]) for each in every)
    batch = stage.batch_size
    cells = (
        f"{adds / 1e6:,.1f} M",
        f"{in_a_step * batch / 1e9:,.2f} G",
        f"{dense_bytes(stage) / 1e6:,.1f} MB",
        f"{rate / 1e9:,.0f} G/s",
        f"{mine * batch * 1e3:,.1f} ms",
        f"{in_a_step / mine / rate:.0%}",
        f"{mixed * batch * 1e3:,.1f} ms",
        f"{mixed / mine:.2f}",
        f"{theirs * batch * 1e3:,.1f} ms",
        f"{theirs / mine:.2f}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__, epilog=f"example: {PROG} --cases mnist_cnn --rounds 3"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--plain", choices=CASES, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.plain:
        print(plain_epoch(parsed.plain))
        return
    precision = resolve_precision(parsed.precision, on_this_cpu=True)
    print(
        "| case | multiply-adds an image, forward | a step | bytes a step, "
        f"largest dense layer | {precision} matrix rate | our step | share of the rate "
        "| with torch's optimizer, and convolutions of cifar10_net | ratio | plain step | ratio |"
    )
    print("|" + " --- |" * 11)
    for name in parsed.cases:
        print(measure(name, parsed.rounds, precision), flush=True)


if __name__ == "__main__":
    main()
