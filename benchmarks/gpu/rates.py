"""Rates of training, and what they are compared with: the device, and its matrix rate."""

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.gpu.work import CannotRun


def rates(processes: Sequence[Sequence[float]], stages: Sequence[int]) -> list[float]:
    """Return epochs per second of every stage, those of all processes together.

    `processes` holds when each process ended each epoch, in seconds of one clock; `stages` the
    epochs of each stage. A stage is looked at from when all have ended its first epoch until one
    has ended its last: all are at work then. Of an epoch partly in that time, that part counts.

    Raises:
        CannotRun: there is no such time.
    """
    ends = np.cumsum(stages)
    return [
        _together([moments[end - count : end] for moments in processes])
        for count, end in zip(stages, ends, strict=True)
    ]


def _together(processes: Sequence[Sequence[float]]) -> float:
    begin = max(moments[0] for moments in processes)
    end = min(moments[-1] for moments in processes)
    if end <= begin:
        raise CannotRun("the trials were not at work at the same time: take more --epochs")
    done = [np.interp([begin, end], moments, range(len(moments))) for moments in processes]
    return float(sum(last - first for first, last in done) / (end - begin))


def trials_per_second(rates: Sequence[float], published: Sequence[int]) -> float:
    """Return how many trials of so many epochs in each stage end in a second."""
    return 1 / sum(count / rate for count, rate in zip(published, rates, strict=True))


def matrix_rate(side: int) -> float:
    """Return flop/s of a square matrix product in the precision that training has here."""
    import torch

    from trainables import device as machine
    from trainables.budget import Budget

    device = machine.choose_device(Budget(1))
    lower = machine.precision(Budget(1), device) == "bfloat16"
    kind = torch.bfloat16 if lower else torch.float32
    left = torch.randn(side, side, device=device, dtype=kind)
    product = torch.empty_like(left)
    # One takes a fifth of a millisecond there: launching it and waiting for it would count.
    times = 20 if device.type == "cuda" else 1
    best = float("inf")
    for _ in range(6):  # the first is slow
        _wait(device)
        began = time.perf_counter()
        for _ in range(times):
            torch.mm(left, left, out=product)
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 * times / best


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def device_name() -> str:
    """Return what the figures are taken on."""
    import torch

    from benchmarks.peers.machine import processor
    from trainables.cuda import can_compute

    if can_compute():
        return torch.cuda.get_device_name(0)
    return f"no GPU: the CPU, {processor()}, {os.cpu_count()} cores"
