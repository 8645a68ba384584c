"""Convolutions to few channels, two columns of pixels at a time, for CPUs.

A vector of a CPU multiplies for 16 channels at once, and 6 leave it mostly empty. Two columns
taken for one of twice the channels fill it twice as well, for one part in kernel_size more work.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.nets.parts import is_plain, on_cpu

# Twice as many still fit into one vector.
_FEW_CHANNELS = 8


def convolved(layer: nn.Module, x: Tensor) -> Tensor:
    """Return layer(x) of x [n, channels, height, width], where a pooling of 2x2 follows.

    Of an odd number of columns the last one, which no window has, may be left out.
    """
    if not (isinstance(layer, nn.Conv2d) and on_cpu(x) and _gains(layer, x)):
        return layer(x)  # type: ignore[no-any-return]  # nn.Module calls return Any
    bias = None if layer.bias is None else layer.bias.repeat(2)
    pairs = functional.conv2d(_pairs_of_columns(x), _for_pairs(layer.weight), bias)
    columns: Tensor = pairs.permute(0, 2, 3, 1).unflatten(3, (2, -1))
    return columns.flatten(2, 3).permute(0, 3, 1, 2)


def _gains(layer: nn.Conv2d, x: Tensor) -> bool:
    """Tell whether the way above fits the layer, and is the faster one."""
    fits = is_plain(layer) and layer.padding == (0, 0) and layer.kernel_size[1] % 2 == 1
    few = layer.out_channels <= _FEW_CHANNELS and x.dtype in (torch.float32, torch.bfloat16)
    wide = x.shape[3] > layer.kernel_size[1]
    return fits and few and wide and x.is_contiguous(memory_format=torch.channels_last)


def _pairs_of_columns(x: Tensor) -> Tensor:
    """[n, channels, height, width] -> [n, 2 channels, height, width / 2], a view."""
    pairs = x.shape[3] // 2
    columns = x.permute(0, 2, 3, 1)[:, :, : 2 * pairs]
    found: Tensor = columns.unflatten(2, (pairs, 2)).flatten(3).permute(0, 3, 1, 2)
    return found


def _for_pairs(weight: Tensor) -> Tensor:
    """Return the kernel that gives from pairs of columns the left and the right result.

    [out, in, height, width] -> [2 out, 2 in, height, (width + 1) / 2]. The right result begins one
    column later: each kernel is made one wider by zeros, once behind and once before it.
    """
    out, channels, height, width = weight.shape
    both = torch.stack((functional.pad(weight, (0, 1)), functional.pad(weight, (1, 0))))
    split = both.unflatten(4, ((width + 1) // 2, 2)).permute(0, 1, 5, 2, 3, 4)
    folded: Tensor = split.reshape(2 * out, 2 * channels, height, (width + 1) // 2)
    return folded.contiguous(memory_format=torch.channels_last)
