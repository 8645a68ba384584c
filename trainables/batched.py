"""Several trials of one shape trained together in one process: a batch holds one of each trial.

Every trial keeps its own weights, optimizer, penalty, seed, order of images and draws, so it ends
as it would alone, but for rounding; on a GPU small networks fill it better so.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from trainables import device as machine
from trainables.batched_checks import check_alike
from trainables.batched_epoch import Batch, evaluate, train_epoch
from trainables.budget import Budget, Diverged, EpochResult
from trainables.training import Stage, result_of

Outcome = EpochResult | Diverged


def run_batched(
    builders: Sequence[Callable[[torch.device], Stage]],
    seeds: Sequence[int],
    budget: Budget,
    one_by_one: bool = False,
) -> Iterator[list[Outcome]]:
    """Yield per epoch an outcome for each trial; one that diverged says so ever after.

    Batches go through the networks whole, and no checkpoint is kept. An epoch's seconds and
    memory are those of all trials together.

    Args:
        builders: One function per trial that returns its only stage; they may differ in weights,
            dropout rates, optimizer, penalty and augmentation, and have the same images.
        seeds: Of each trial; the budget's own is not used.
        budget: Epochs, device, precision, threads.
        one_by_one: Convolve trial by trial, not by one grouped convolution.

    Raises:
        TrellisError: the trials differ in more; it names what.
    """
    device = machine.set_up(budget)
    lower = machine.autocast(budget, device)
    stages: list[Stage] = []
    for build in builders:
        stage = build(device)
        first = stages[0] if stages else stage
        check_alike(first, stage, len(stages))
        stages.append(replace(stage, train=first.train, validation=first.validation))
    del stage  # with its own copy of the data
    running = list(range(len(stages)))
    told: dict[int, Outcome] = {}
    batch = Batch.of(stages, seeds, lower, one_by_one)
    for epoch in range(1, min(budget.epochs, stages[0].epochs) + 1):
        told |= zip(running, run_epoch(batch, epoch, lower), strict=True)
        yield [told[trial] for trial in range(len(stages))]
        left = [trial for trial in running if isinstance(told[trial], EpochResult)]
        if not left:
            return
        if left != running:
            running = left
            kept = [stages[trial] for trial in left], [seeds[trial] for trial in left]
            batch = Batch.of(*kept, lower, one_by_one)


def run_epoch(batch: Batch, epoch: int, lower: AbstractContextManager[object]) -> list[Outcome]:
    """Train and evaluate one epoch of every trial; return what came of each."""
    started = time.perf_counter()
    device = batch.stages[0].train.labels.device
    trained, validated = train_epoch(batch, epoch, lower), evaluate(batch, lower)
    every = torch.cat((trained, validated)).T.tolist()  # waits for a GPU
    seconds, peak = time.perf_counter() - started, machine.peak_memory_mb(device)
    outcomes: list[Outcome] = []
    for stage, told in zip(batch.stages, every, strict=True):
        try:
            outcomes.append(result_of(stage, epoch, told, seconds, peak))
        except Diverged as diverged:
            outcomes.append(diverged)
    return outcomes
