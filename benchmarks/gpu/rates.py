"""What figures are compared with: the device they are taken on, and its matrix rate."""

import os
import time
from collections.abc import Sequence
from typing import Any


def rate(moments: Sequence[float]) -> float:
    """Return epochs per second between the end of the first and of the last epoch."""
    return (len(moments) - 1) / (moments[-1] - moments[0])


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
