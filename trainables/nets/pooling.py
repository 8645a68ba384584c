"""Max pooling 2x2 and ReLU in one step, for images of few channels on a CPU.

Torch pools those number by number there, and keeps 8 bytes for each result for the way back.
Here whole rows are compared at once. Measured in benchmarks/README.md.
"""

from typing import Any

import torch
from torch import Tensor, nn

from trainables.nets.parts import on_cpu

_BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
# From here on torch's own pooling fills its vectors of 16 float32, and is as fast.
_MANY_CHANNELS = 16


def pooled(x: Tensor, pool: nn.MaxPool2d, activation: nn.ReLU) -> Tensor:
    """Return activation(pool(x)) of x [n, channels, height, width], for a pooling of 2x2.

    Where the two largest of a window are equal, either may get the gradient.
    """
    assert pool.kernel_size == pool.stride == 2
    if not (on_cpu(x) and _gains(x)):
        return activation(pool(x))  # type: ignore[no-any-return]  # nn.Module calls return Any
    return _PooledReLU.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def _gains(x: Tensor) -> bool:
    """Tell whether the way below fits the images, and is the faster one."""
    few = x.shape[1] < _MANY_CHANNELS and x.dtype in _BITS
    return few and min(x.shape[2:]) > 1 and x.is_contiguous(memory_format=torch.channels_last)


class _PooledReLU(torch.autograd.Function):
    """Keeps for each window which row and which column was larger, as numbers 0 and 1.

    Numbers as wide as those of the images, and computing with their bits as integers: torch has
    vector instructions for that, and not for bool or `where`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        upper, lower = _rows(x)
        of_rows = torch.maximum(upper, lower)
        left, right = _columns(of_rows)
        largest = torch.maximum(left, right)
        if not ctx.needs_input_grad[0]:
            return largest.relu_().permute(0, 3, 1, 2)
        is_lower, is_right = _differs(of_rows, upper), _differs(largest, left)
        ctx.save_for_backward(largest.relu_(), is_lower, is_right)
        ctx.shape = x.shape
        return largest.permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> Tensor:
        largest, is_lower, is_right = ctx.saved_tensors
        given = given.permute(0, 2, 3, 1).contiguous()
        given = torch.ops.aten.threshold_backward(given, largest, 0)
        of_rows = torch.empty_like(is_lower)
        _share(_bits(given), is_right, *_columns(of_rows))
        result = torch.empty(
            ctx.shape, dtype=given.dtype, device=given.device, memory_format=torch.channels_last
        )
        _zero_edges(result)
        _share(of_rows, is_lower, *_rows(_bits(result)))
        return result


def _rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return upper and lower rows of all windows, channels last: views of x."""
    height, width = (2 * (side // 2) for side in x.shape[2:])
    images = x.permute(0, 2, 3, 1)[:, :height, :width]
    return images[:, 0::2], images[:, 1::2]


def _columns(of_rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return left and right columns of all windows: views."""
    return of_rows[:, :, 0::2], of_rows[:, :, 1::2]


def _bits(x: Tensor) -> Tensor:
    """Return the numbers' bits as integers: a view."""
    return x.view(_BITS[x.dtype])


def _differs(one: Tensor, other: Tensor) -> Tensor:
    """Return 1 where the bits differ, else 0."""
    bits = _bits(one)
    return torch.ne(bits, _bits(other), out=torch.empty_like(bits))


def _share(given: Tensor, second: Tensor, to_first: Tensor, to_second: Tensor) -> None:
    """Write `given` into the second of two where `second` is 1, into the first where it is 0."""
    torch.mul(given, second, out=to_second)
    torch.sub(given, to_second, out=to_first)


def _zero_edges(x: Tensor) -> None:
    """Clear an odd last row and column: no window has them."""
    height, width = x.shape[2:]
    if height % 2:
        x[:, :, -1].zero_()
    if width % 2:
        x[:, :, :, -1].zero_()
