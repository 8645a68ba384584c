"""What training minimises: a loss of logits [n, classes] and labels [n], by its name."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Loss(Protocol):
    """A loss over a batch, as `torch.nn.functional` writes them."""

    def __call__(self, logits: Tensor, labels: Tensor, /, *, reduction: str = "mean") -> Tensor:
        """Return the mean over the images; "sum": their sum; "none": each one's own [n]."""


def mean_squared_error(logits: Tensor, labels: Tensor, /, *, reduction: str = "mean") -> Tensor:
    """Return the squared distance of softmax(logits) from one-hot labels, a mean over classes.

    The mean over classes and images is `torch.nn.MSELoss` of the two; it lies in [0, 2 / classes].
    """
    wanted = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    of_each = (torch.softmax(logits, dim=1) - wanted).square().mean(dim=1)
    if reduction == "none":
        return of_each
    return of_each.sum() if reduction == "sum" else of_each.mean()


_LOSSES: dict[str, Loss] = {
    "cross_entropy": functional.cross_entropy,
    "mean_squared_error": mean_squared_error,
}
LOSSES: tuple[str, ...] = tuple(_LOSSES)


def loss_of(name: str) -> Loss:
    """Return the loss of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, but got {name!r}")
    return _LOSSES[name]
