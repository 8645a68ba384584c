"""Labelled images on a device, and a network's loss and accuracy on them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.data import Split
from trainables.losses import Loss

# Input values per evaluation batch: 64 images at 299x299x3. More would make evaluation, and not
# the configuration, set a trial's peak of memory (1.7 GB at batches of 256, whatever is trained).
_EVALUATION_VALUES = 64 * 299 * 299 * 3


@dataclass(frozen=True)
class Examples:
    """A split on the device."""

    inputs: Tensor  # [n, height, width, channels] uint8, or stored activations [n, ...] bfloat16
    labels: Tensor  # [n] int64

    @classmethod
    def of(cls, split: Split, device: torch.device) -> "Examples":
        """Move a split to the device; on a CPU this copies nothing."""
        return cls(
            torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device)
        )


def images_to_floats(batch: Tensor) -> Tensor:
    """uint8 [n, height, width, channels] -> float32 [n, channels, height, width] in [0, 1].

    The result is channels_last in memory without a copy of its own.
    """
    return batch.permute(0, 3, 1, 2).float().div_(255)


def evaluation_batch_size(values: int) -> int:
    """Return how many examples of `values` input values each are evaluated at once."""
    return max(16, min(1024, _EVALUATION_VALUES // values))


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    examples: Examples,
    prepare: Callable[[Tensor], Tensor],
    lower: AbstractContextManager[object],
    loss: Loss = functional.cross_entropy,
    most: int | None = None,
) -> tuple[float, float]:
    """Return (mean loss, accuracy) over a whole split, without dropout, `most` images at once."""
    model.eval()
    size = evaluation_batch_size(examples.inputs[0].numel())
    size = size if most is None else min(size, most)
    totals = torch.zeros(2, device=examples.labels.device, dtype=torch.float64)
    for inputs, labels in zip(
        examples.inputs.split(size),
        examples.labels.split(size),
        strict=True,
    ):
        totals += evaluate_batch(model, inputs, labels, prepare, lower, loss)
    mean, correct = (totals / len(examples.labels)).tolist()
    return mean, correct


def evaluate_batch(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    prepare: Callable[[Tensor], Tensor],
    lower: AbstractContextManager[object],
    loss: Loss,
) -> Tensor:
    """Return (sum of losses, images that are right) of a batch, as it is stored."""
    with lower:
        logits = model(prepare(inputs)).float()
    total = loss(logits, labels, reduction="sum")
    return torch.stack((total, (logits.argmax(1) == labels).sum()))
