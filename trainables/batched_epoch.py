"""An epoch of several trials at once: their steps, gradients and evaluation in common batches."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.batched_checks import independent
from trainables.evaluation import evaluation_batch_size
from trainables.nets.stacked import Convolution, Dropout, side_by_side, stacked
from trainables.seeds import generator
from trainables.training import Stage


@dataclass(frozen=True)
class Batch:
    """Trials that are trained together. Row i of the network's parameters is stage i's model."""

    stages: Sequence[Stage]
    seeds: Sequence[int]
    network: nn.Module

    @classmethod
    def of(
        cls,
        stages: Sequence[Stage],
        seeds: Sequence[int],
        lower: AbstractContextManager[object],
        one_by_one: bool = False,
    ) -> "Batch":
        """Put trials together; where a grouped convolution mixes them, it is made one by one."""
        network = stacked([stage.model for stage in stages])
        if one_by_one or not independent(network, stages[0], len(stages), lower):
            for layer in network.modules():
                if isinstance(layer, Convolution):
                    layer.one_by_one = True
        return cls(stages, seeds, network)


def train_epoch(batch: Batch, epoch: int, lower: AbstractContextManager[object]) -> Tensor:
    """Return [2, trials]: mean loss without penalty and accuracy of one pass for each trial."""
    train = batch.stages[0].train
    device = train.labels.device
    batch.network.train()
    draws = [generator(seed, "augment", epoch, device=device) for seed in batch.seeds]
    # One generator per trial for all its dropouts, as in the plain loop.
    drops = [generator(seed, "dropout", epoch, device=device) for seed in batch.seeds]
    for layer in batch.network.modules():
        if isinstance(layer, Dropout):
            layer.draws = drops
    totals = torch.zeros(2, len(batch.stages), device=device, dtype=torch.float64)
    orders = (stage.batches(s, epoch) for stage, s in zip(batch.stages, batch.seeds, strict=True))
    for indices in zip(*orders, strict=True):
        totals += train_step(batch, torch.stack(indices), draws, lower)
    return totals / len(train.labels)


def train_step(
    batch: Batch,
    index: Tensor,
    draws: Sequence[torch.Generator],
    lower: AbstractContextManager[object],
) -> Tensor:
    """Change the weights once; `index` is [trials, n].

    Returns [2, trials]: sum of losses, images that were right.
    """
    labels = batch.stages[0].train.labels[index]
    images = _images(batch.stages, index, draws)
    with lower:
        logits = batch.network(images).float()
    losses = _losses(batch.stages[0], logits, labels).mean(1)
    objectives = losses
    if any(stage.penalty for stage in batch.stages):
        none = losses.new_zeros(())
        each = [stage.penalty() if stage.penalty else none for stage in batch.stages]
        objectives = losses + torch.stack(each)
    objectives.sum().backward()
    _hand_out_gradients(batch)
    for stage in batch.stages:
        stage.optimizer.step()
        stage.optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        seen = torch.where(torch.isfinite(objectives), losses, objectives)
        return torch.stack((seen * index.shape[1], (logits.argmax(2) == labels).sum(1)))


def _images(stages: Sequence[Stage], index: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
    """Return each trial's images of a step, augmented by its own rule, side by side."""
    first = stages[0]
    images = first.prepare(first.train.inputs[index.flatten()])
    parts = images.split(index.shape[1])
    if any(stage.augment for stage in stages):
        each = zip(stages, parts, draws, strict=True)
        images = torch.cat([s.augment(part, g) if s.augment else part for s, part, g in each])
    return side_by_side(images, len(stages))


def _losses(stage: Stage, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of every image of every trial, [trials, n]."""
    each = stage.loss(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.reshape(labels.shape)


def _hand_out_gradients(batch: Batch) -> None:
    """Give each model its row of the gradient; it has that of its penalty already."""
    for name, stack in batch.network.named_parameters():
        if stack.grad is None:
            continue
        for stage, row in zip(batch.stages, stack.grad, strict=True):
            parameter = stage.model.get_parameter(name)
            parameter.grad = row if parameter.grad is None else row.add_(parameter.grad)
        stack.grad = None


@torch.inference_mode()
def evaluate(batch: Batch, lower: AbstractContextManager[object]) -> Tensor:
    """Return [2, trials]: mean loss and accuracy over the validation split, without dropout."""
    first, trials = batch.stages[0], len(batch.stages)
    examples = first.validation
    batch.network.eval()
    size = max(1, evaluation_batch_size(examples.inputs[0].numel()) // trials)
    totals = torch.zeros(2, trials, device=examples.labels.device, dtype=torch.float64)
    each = zip(examples.inputs.split(size), examples.labels.split(size), strict=True)
    for inputs, labels in each:
        with lower:
            logits = batch.network(first.prepare(inputs)).float()
        wanted = labels.expand(trials, -1)
        right = (logits.argmax(2) == wanted).sum(1)
        totals += torch.stack((_losses(first, logits, wanted).sum(1), right))
    return totals / len(examples.labels)
