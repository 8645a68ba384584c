"""How many images may go through the network at once, so that a trial fits into its memory."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from trainables import memory
from trainables.budget import Budget, TooLarge
from trainables.memory import META, Peak, StageBuilder
from trainables.roomy import fits_by_far
from trainables.training import Stage

_log = logging.getLogger(__name__)
_MIB = 2**20
# How much more than predicted the gaps of the heap may take: 15 % was seen, and another figure in
# every run (benchmarks/README.md).
_GAPS_VARY = 1.2


class Passes(NamedTuple):
    """How batches go through the network of every stage: see `micro_batches`."""

    sizes: list[int | None]
    tight: bool


def micro_batches(
    builders: Sequence[StageBuilder], budget: Budget, device: torch.device
) -> Passes:
    """Return the micro-batch of every stage with which it fits: None where none is needed.

    The largest that fits, of a batch in equal parts. `tight` tells that it fits for sure only with
    `trainables.device.map_large_blocks`: gaps in a CPU's memory may take more than predicted.

    Raises:
        TooLarge: a stage needs more than `budget.memory_mb` even image by image.
    """
    found = [_micro_batch(build(META), budget, device) for build in builders]
    return Passes([size for size, _ in found], any(tight for _, tight in found))


def _micro_batch(stage: Stage, budget: Budget, device: torch.device) -> tuple[int | None, bool]:
    """Return a stage's micro-batch, and whether memory is tight."""
    limit = budget.memory_mb
    if limit is None or _is_roomy(stage, limit, device):
        return None, False
    needs = _charged_mb(memory.peak(stage, device, budget), device)
    tight = device.type == "cpu" and needs * _GAPS_VARY > limit
    if needs <= limit and not tight:
        return None, False
    return _largest_that_fits(stage, budget, device, tight), tight


def _is_roomy(stage: Stage, limit_mb: float, device: torch.device) -> bool:
    """Tell whether a stage fits by far, so that its peak need not be known."""
    if device.type != "cpu":
        return False
    return fits_by_far(stage, limit_mb * _MIB - memory.base_bytes())


def _largest_that_fits(
    stage: Stage, budget: Budget, device: torch.device, tight: bool
) -> int | None:
    batch, limit, found = stage.batch_size, budget.memory_mb or 0.0, []
    least = _least(stage)
    # The whole batch; the same with evaluation in such batches; halves, thirds, ...
    sizes = sorted({-(-batch // parts) for parts in range(1, batch + 1)}, reverse=True)
    sizes = [size for size in sizes if size == batch or (batch % size or size) >= least]

    def fits(size: int | None) -> bool:
        found.append(memory.peak(replace(stage, micro_batch=size), device, budget, tight))
        return _charged_mb(found[-1], device) <= limit

    if tight and fits(None):  # else that is known
        return None
    if not fits(sizes[-1]):  # told at once, and not after all sizes between
        raise TooLarge(_too_large(found[-1], budget, device, sizes[-1]))
    # One after the other: gaps make a peak that now and then grows as batches shrink.
    taken = next((size for size in sizes if fits(size)), sizes[-1])
    if taken < batch:
        text = "stage %s: batches of %d go through the network %d images at a time: %.0f MiB"
        _log.warning(text, stage.name, batch, taken, limit)
    return taken


def _least(stage: Stage) -> int:
    """Return the fewest images that the network takes at once; batch norm that learns: two."""
    modules = stage.model.train().modules()
    return 1 + any(isinstance(each, _BatchNorm) and each.training for each in modules)


def _charged_mb(found: Peak, device: torch.device) -> float:
    return found.own_mb if device.type == "cpu" else found.mb


def _too_large(found: Peak, budget: Budget, device: torch.device, at_once: int) -> str:
    parts = {k: v for k, v in found.parts.items() if k != "data" or device.type != "cpu"}
    name, size = max(parts.items(), key=lambda item: item[1])
    need = _charged_mb(found, device)
    images = "one image" if at_once == 1 else f"{at_once} images"
    return (
        f"needs about {need:,.0f} MiB with {images} at a time in stage {found.stage}, "
        f"has {budget.memory_mb:,.0f} MiB; largest: {name}, {size / _MIB:,.0f} MiB"
    )
