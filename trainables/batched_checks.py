"""What may be trained in one batch: trials that are alike, on a machine that keeps them apart."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import TrellisError
from trainables.evaluation import Examples, evaluation_batch_size
from trainables.nets.stacked import side_by_side
from trainables.training import Stage


def check_alike(first: Stage, other: Stage, number: int) -> None:
    """Let only trials pass whose batches and weights have the shapes of trial 0.

    Raises:
        TrellisError: trial `number` differs in what it names, or has several stages' data.
    """
    for (what, one), (_, another) in zip(_traits(first), _traits(other), strict=True):
        if one != another:
            raise TrellisError(
                f"trial {number} cannot be trained in one batch with trial 0: {what} "
                f"{another} there, {one} in trial 0"
            )
    for split, one, another in (
        ("train", first.train, other.train),
        ("validation", first.validation, other.validation),
    ):
        if not _same(one, another):
            raise TrellisError(
                f"trial {number} cannot be trained in one batch with trial 0: other {split} images"
            )
    if other.copies:
        raise TrellisError(f"trial {number} has augmented copies: train it alone")


def _traits(stage: Stage) -> Iterator[tuple[str, Any]]:
    """Yield name and value of what has to be equal."""
    yield "network", type(stage.model).__name__
    yield "batch_size", stage.batch_size
    yield "epochs", stage.epochs
    yield "loss", getattr(stage.loss, "__name__", stage.loss)
    yield "inputs", [*stage.train.inputs.shape]
    yield "validation inputs", [*stage.validation.inputs.shape]
    yield "preparation", getattr(stage.prepare, "__name__", stage.prepare)
    weights = stage.model.named_parameters()
    yield "weights", {name: (*w.shape, w.requires_grad) for name, w in weights}


def _same(one: Examples, other: Examples) -> bool:
    pairs = ((one.inputs, other.inputs), (one.labels, other.labels))
    return all(a.data_ptr() == b.data_ptr() or torch.equal(a, b) for a, b in pairs)


def independent(
    network: nn.Module, stage: Stage, trials: int, lower: AbstractContextManager[object]
) -> bool:
    """Tell whether weights of trial 0 that are not finite leave the other trials' numbers finite.

    Tried out, with the shapes of training and evaluation: a kernel may take several groups of a
    convolution at once and multiply with zeros what does not belong together, and zero times
    infinity is not a number.
    """
    if trials == 1:
        return True
    first = [each.detach()[0] for each in network.parameters()]
    saved = [each.clone() for each in first]
    images = stage.prepare(stage.train.inputs[: stage.batch_size])
    size = max(1, evaluation_batch_size(stage.train.inputs[0].numel()) // trials)
    network.eval()  # without dropout
    try:
        for each in first:
            each.fill_(torch.nan)
        with lower:
            logits = network(side_by_side(images.repeat(trials, 1, 1, 1), trials))
        logits.float().sum().backward()
        found = [each.grad[1:] for each in network.parameters() if each.grad is not None]
        with torch.inference_mode(), lower:
            found += [logits[1:], network(stage.prepare(stage.validation.inputs[:size]))[1:]]
        assert not torch.isfinite(logits[0]).any()
        return all(_finite(each) for each in found)
    finally:
        for each, before in zip(first, saved, strict=True):
            each.copy_(before)
        network.zero_grad(set_to_none=True)


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
