"""Convolutions as matrix products, in bfloat16 on a CPU, for many channels and few pixels.

Patches of the images are the rows of one matrix, the kernel is the other. oneDNN in torch 2.13
convolves as fast as it multiplies matrices where images have many pixels. The gradient of wide
kernels, and all of images of few pixels, takes it up to three times as long
(benchmarks/README.md).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.nets.parts import flatten, is_plain, on_cpu

# From here on the product is the faster way to the kernel's gradient.
_MANY_CHANNELS = 128
# To the gradient of the image, which has to be put together from patches again.
_VERY_MANY_CHANNELS = 256
# A result of at most so many pixels has a faster product than convolution forwards, too.
_FEW_PIXELS = 16
# Patches take kernel height x width times the memory of the images: so many bytes at a time, or
# those of one image.
_AT_ONCE = 16 * 2**20


class ProductConv2d(nn.Conv2d):
    """As `nn.Conv2d`; with bfloat16 images on a CPU by products where they are faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x [n, channels, height, width]."""
        if not (on_cpu(x) and self._gains(x)):
            return super().forward(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        given = x, self.weight.to(x.dtype), bias, self.padding
        return _Convolved.apply(*given)  # type: ignore[no-any-return, no-untyped-call]

    def _gains(self, x: Tensor) -> bool:
        """Tell whether products fit the layer, and are the faster way somewhere."""
        if self.in_channels < _MANY_CHANNELS or x.dtype != torch.bfloat16:
            return False
        if not is_plain(self) or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return False
        # Convolutions of the meta device forget how their images lay.
        return x.is_meta or x.is_contiguous(memory_format=torch.channels_last)


class _Convolved(torch.autograd.Function):
    """Keeps images and kernel; patches are made anew on the way back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        x = _channels_last(x)
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        height, width = _result_size(x, weight, padding)
        if height * width > _FEW_PIXELS:
            return functional.conv2d(x, weight, bias, padding=padding)
        matrix, parts = flatten(weight), x.split(_images_at_once(x, weight, padding))
        rows = [functional.linear(_patches(p, weight, padding), matrix, bias) for p in parts]
        result: Tensor = _joined(rows).unflatten(0, (len(x), height, width))
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        given = _channels_last(given)
        of_images, of_kernel, of_bias = ctx.needs_input_grad[:3]
        to_images = _to_images(given, x, weight, ctx.padding) if of_images else None
        to_kernel = _to_kernel(given, x, weight, ctx.padding) if of_kernel else None
        return to_images, to_kernel, _rows(given).sum(0) if of_bias else None, None


def _to_kernel(given: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return the gradient of the kernel; several parts are summed in float32."""
    size = _images_at_once(x, weight, padding)
    parts = zip(given.split(size), x.split(size), strict=True)
    products = (_rows(some).t() @ _patches(images, weight, padding) for some, images in parts)
    total = next(products)
    for product in products:
        total = total.float().add_(product)
    return _as_kernel(total.to(weight.dtype), weight)


def _to_images(given: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return the gradient of the images."""
    few = given.shape[2] * given.shape[3] <= _FEW_PIXELS
    if few and weight.shape[1] >= _VERY_MANY_CHANNELS:
        size, matrix = _images_at_once(x, weight, padding), flatten(weight)
        parts = zip(given.split(size), x.split(size), strict=True)
        return _joined([_image_of(_rows(g) @ matrix, of, weight, padding) for g, of in parts])
    ones, wanted = [1, 1], [True, False, False]
    found = torch.ops.aten.convolution_backward(
        given, x, weight, None, ones, padding, ones, False, [0, 0], 1, wanted
    )
    return found[0]  # type: ignore[no-any-return]


def _result_size(x: Tensor, weight: Tensor, padding: Sequence[int]) -> tuple[int, int]:
    """Return the height and width of the result in pixels."""
    height, width = (
        side + 2 * more - kernel + 1
        for side, more, kernel in zip(x.shape[2:], padding, weight.shape[2:], strict=True)
    )
    return height, width


def _channels_last(x: Tensor) -> Tensor:
    """Return x with channels last in memory; on the meta device a view that lies so."""
    if not x.is_meta:
        return x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    return x.as_strided(x.shape, (height * width * channels, 1, width * channels, channels))


def _images_at_once(x: Tensor, weight: Tensor, padding: Sequence[int]) -> int:
    """Return of how many images patches are made at a time."""
    height, width = _result_size(x, weight, padding)
    return max(1, _AT_ONCE // (height * width * weight[0].numel() * x.itemsize))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts as one, without a copy of a single one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _rows(x: Tensor) -> Tensor:
    """[n, channels, height, width] -> [n height width, channels], a view if channels are last."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _as_kernel(matrix: Tensor, weight: Tensor) -> Tensor:
    """[out, height width in] -> the shape of `weight`, a view with channels last."""
    out, channels, height, width = weight.shape
    return matrix.view(out, height, width, channels).permute(0, 3, 1, 2)


def _patches(x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return what the kernel sees at each pixel of the result: [n height width, flatten's]."""
    height, width = weight.shape[2:]
    down, right = padding
    images = functional.pad(x.permute(0, 2, 3, 1), (0, 0, right, right, down, down))
    seen = images.unfold(1, height, 1).unfold(2, width, 1)  # [n, rows, columns, channels, h, w]
    return seen.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 2)


def _image_of(patches: Tensor, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """Return images of the shape of x that are the sum of patches, each put where it lay."""
    height, width = weight.shape[2:]
    rows, columns = _result_size(x, weight, padding)
    n, channels = x.shape[:2]
    seen = patches.view(n, rows, columns, height, width, channels)
    down, right = padding
    sides = (x.shape[2] + 2 * down, x.shape[3] + 2 * right)
    images = patches.new_zeros((n, *sides, channels))
    for i in range(height):
        for j in range(width):
            images[:, i : i + rows, j : j + columns] += seen[:, :, :, i, j]
    inner = images[:, down : sides[0] - down, right : sides[1] - right]
    return inner.permute(0, 3, 1, 2)
