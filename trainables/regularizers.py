"""L1 and L2 penalties as Keras adds them: to the loss, on the convolution kernels, biases free."""

import torch
from torch import Tensor, nn

KINDS = ("l1", "l2")


def convolution_penalty(model: nn.Module, kind: str, strength: float) -> Tensor:
    """Return strength times the sum of |w| (l1) or w**2 (l2) over all convolution kernels.

    A scalar float32. Formula: keras.regularizers.L1 and L2 (no factor 1/2, no mean).

    Raises:
        ValueError: `kind` is neither l1 nor l2.
    """
    if kind not in KINDS:
        raise ValueError(f"regularizer must be one of {', '.join(KINDS)}, but got {kind!r}")
    kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    if kind == "l1":
        sums = [kernel.abs().sum() for kernel in kernels]
    else:
        sums = [kernel.square().sum() for kernel in kernels]
    return strength * torch.stack(sums).sum()
