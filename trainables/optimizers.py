"""Adam and SGD, fused, over weights in the order in which they lie in memory.

torch's fused kernels for CPUs (2.13) go through memory from start to end, whatever the strides. So
each gradient that is not contiguous, which with channels last is every kernel's, is copied first,
for nothing; and one that lies in another order than its weights changes the wrong ones, without an
error, as does a moment that was loaded so. Here all of them are seen in the weights' own order.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

Order = tuple[int, ...]
# Keras's default, which the published study used; torch's is 1e-8. As torch has it, it is added to
# the root of the corrected moment; Keras adds it to that of the uncorrected one, which for some
# thousand steps makes those of gradients near it shorter: 0.76 of ours for 1e-5 at the first.
KERAS_EPSILON = 1e-7


class _InMemoryOrder(torch.optim.Optimizer):
    """What both have in common: their state, by weight and by name, and whose turn it is."""

    def _columns(self, weights: Sequence[Tensor], *names: str) -> list[list[Tensor]]:
        """Return weights, their gradients, and the state of each name: views of them.

        State that is not there begins with zeros, as torch has it; such as lies in another order
        than its weights, loaded so, is laid out anew.
        """
        orders = [_order(each) for each in weights]
        columns: list[Sequence[Any]] = [weights, [each.grad for each in weights]]
        for name in names:
            for each, order in zip(weights, orders, strict=True):
                held = self.state[each].get(name)
                if held is None:
                    self.state[each][name] = torch.zeros_like(each)
                elif not _seen(held, order).is_contiguous():
                    self.state[each][name] = torch.empty_like(each).copy_(held)
            columns.append([self.state[each][name] for each in weights])
        return [
            [_seen(each, order).contiguous() for each, order in zip(column, orders, strict=True)]
            for column in columns
        ]


class Adam(_InMemoryOrder, torch.optim.Adam):
    """`torch.optim.Adam`, fused, without decay or bounds; takes its state.

    Kingma and Ba, 2015, algorithm 1.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, eps: float = 1e-8) -> None:
        """Take the weights; the rate `lr` is positive, the betas are torch's 0.9 and 0.999."""
        super().__init__(weights, lr=lr, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the weights that have gradients once."""
        for group in self.param_groups:
            learning = _learning(group)
            steps = [self._steps(each) for each in learning]
            weights, gradients, first, second = self._columns(learning, "exp_avg", "exp_avg_sq")
            beta1, beta2 = group["betas"]
            adam(
                weights, gradients, first, second, [], steps,
                fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
                beta1=beta1, beta2=beta2, lr=group["lr"], eps=group["eps"],
            )  # fmt: skip

    def _steps(self, weights: Tensor) -> Tensor:
        """Return how often the weights were changed: counted where they are, as torch has it."""
        state = self.state[weights]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=weights.device)
        counted: Tensor = state["step"]
        return counted


class SGD(_InMemoryOrder, torch.optim.SGD):
    """`torch.optim.SGD`, fused, with momentum or none; takes its state."""

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float) -> None:
        """Take the weights; the rate `lr` is positive, `momentum` lies from 0 to under 1."""
        super().__init__(weights, lr=lr, momentum=momentum, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the weights that have gradients once."""
        for group in self.param_groups:
            names = ["momentum_buffer"] if group["momentum"] else []
            weights, gradients, *held = self._columns(_learning(group), *names)
            buffers: list[Tensor | None] = [*held[0]] if held else [None] * len(weights)
            sgd(
                weights, gradients, buffers,
                fused=True, weight_decay=0.0, momentum=group["momentum"], lr=group["lr"],
                dampening=0.0, nesterov=False, maximize=False,
            )  # fmt: skip


def _learning(group: Mapping[str, Any]) -> list[Tensor]:
    """Return the weights of a group that have gradients."""
    return [each for each in group["params"] if each.grad is not None]


def _order(weights: Tensor) -> Order | None:
    """Return the dimensions from the one with the largest strides on; None: as they are.

    Raises:
        ValueError: weights with gaps between them, or that share memory.
    """
    if weights.is_contiguous():
        return None
    order = tuple(sorted(range(weights.dim()), key=weights.stride, reverse=True))
    if not weights.permute(order).is_contiguous():
        raise ValueError(f"weights of strides {weights.stride()} do not lie in one piece")
    return order


def _seen(tensor: Tensor, order: Order | None) -> Tensor:
    """Return a view of a tensor with its dimensions in that order."""
    return tensor if order is None else tensor.permute(order)
