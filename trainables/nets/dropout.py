"""Dropout that draws quickly on a CPU: the features of LeNet are 34 million values a batch.

torch draws each value's coin alone, from 64 random bits; 16 bits are enough for a rate.
"""

import torch
from torch import Tensor, nn

from trainables.nets.parts import on_cpu


class QuickDropout(nn.Dropout):
    """As `nn.Dropout`; on a CPU with draws of its own, and the rate to one part in 65,536."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some values 0 and the others larger, in training; else x."""
        return x * drawn(self, x) if self.training and _quick(self, x) else super().forward(x)


def drawn(layer: nn.Dropout, x: Tensor, draws: torch.Generator | None = None) -> Tensor:
    """Return what a layer multiplies x by: 0 or 1 / (1 - rate); drawn from `draws`, if given."""
    keep = 1 - layer.p
    if _quick(layer, x):
        mask = _coins(x, keep, draws).to(x.dtype)
    else:
        mask = torch.empty_like(x).bernoulli_(keep, generator=draws)
    return mask.div_(max(keep, 1e-30))


def _quick(layer: nn.Dropout, x: Tensor) -> bool:
    """Tell whether there is something to draw, and a quick way of drawing."""
    return isinstance(layer, QuickDropout) and 0 < layer.p < 1 and on_cpu(x)


def _coins(x: Tensor, keep: float, draws: torch.Generator | None) -> Tensor:
    """Return int16 of the shape of x: 1 with probability `keep`, else 0."""
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=draws)  # all 64 bits
    numbers = words.view(torch.int16)[: x.numel()].view(x.shape)
    # One of 2**16 equally likely numbers at least: the smallest, -2**15.
    last = max(1, round(keep * 2**16)) - 1 - 2**15
    return torch.le(numbers, last, out=torch.empty_like(numbers))
