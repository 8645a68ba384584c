"""What an augmentation does once its numbers are drawn: functions of a batch and those numbers.

No randomness here, so that each can be checked by hand; `trainables.augment` draws. Images are
float32 [n, channels, height, width] in [0, 1]; no function writes into its input.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Red, green, blue: luma of ITU-R BT.601, as in Pillow's mode "L" and torchvision's greyscale.
LUMA = (0.299, 0.587, 0.114)


def per_image(values: Tensor) -> Tensor:
    """Return `values` [n] as [n, 1, 1, 1], to meet a batch."""
    return values.reshape(-1, 1, 1, 1)


def flip(images: Tensor, horizontally: Tensor, vertically: Tensor) -> Tensor:
    """Mirror left-right and top-bottom the images where the masks, bool [n], say so."""
    height, width = images.shape[2:]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    rows, columns = _order(vertically, height)[:, :, None], _order(horizontally, width)[:, None, :]
    # One gather of whole pixels: half the time of a `torch.where` for each axis.
    return images.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def _order(backwards: Tensor, size: int) -> Tensor:
    """Return int64 [n, size]: 0, 1, ... or, where `backwards`, bool [n], says so, ..., 1, 0."""
    forwards = torch.arange(size, device=backwards.device)
    return torch.where(backwards[:, None], forwards.flip(0), forwards)


def mirror(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror left-right the images where `chosen`, bool [n], says so."""
    return torch.where(per_image(chosen), images.flip(3), images)


def transpose(images: Tensor, chosen: Tensor) -> Tensor:
    """Swap rows and columns of the images where `chosen`, bool [n], says so.

    Raises:
        ValueError: the images are not square, so the result would have another shape.
    """
    height, width = images.shape[2:]
    if height != width:
        raise ValueError(
            f"transpose needs square images, but got {height}x{width}: leave it out or resize"
        )
    return torch.where(per_image(chosen), images.transpose(2, 3), images)


def affine(images: Tensor, degrees: Tensor, zoom: Tensor) -> Tensor:
    """Rotate by `degrees` [n], counter-clockwise, and enlarge by `zoom` [n], about the centre.

    Bilinear; beyond the edge the image is mirrored, so no black corners tell the angle. One
    resampling for both: two would blur twice.
    """
    height, width = images.shape[2:]
    radians = degrees * (math.pi / 180)
    cos, sin, zero = radians.cos() / zoom, radians.sin() / zoom, torch.zeros_like(zoom)
    # From output to input place, in affine_grid's units of half a height and half a width;
    # rows count downwards, which turns the sign of the angle.
    to_input = torch.stack(
        [
            torch.stack([cos, -sin * (height / width), zero], dim=1),
            torch.stack([sin * (width / height), cos, zero], dim=1),
        ],
        dim=1,
    )  # [n, 2, 3]
    grid = F.affine_grid(to_input, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
    return moved.clamp_(0, 1)  # weights that sum to 1 + 1e-7 would leave the range


def shift(images: Tensor, down: Tensor, right: Tensor, limit: int) -> Tensor:
    """Move each image `down` and `right` pixels, int64 [n] in [-limit, limit]; zeros move in.

    The same as padding by `limit` zeros on every side and cutting the original size back out.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (limit, limit, limit, limit))
    windows = padded.unfold(2, height, 1).unfold(
        3, width, 1
    )  # a view: [n, c, rows, columns, h, w]
    rows = torch.arange(len(images), device=images.device)
    return windows[rows, :, limit - down, limit - right]


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply every image by its `factor` [n]."""
    return (images * per_image(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale by `factor` [n] each image's distance from its own mean grey, one number."""
    mean = grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, per_image(factor)).clamp_(0, 1)


def colour(images: Tensor, factor: Tensor) -> Tensor:
    """Scale by `factor` [n] each pixel's distance from its own grey: 0 is black and white.

    Images of one channel have no colour and are returned as they are.
    """
    if images.shape[1] == 1:
        return images
    return torch.lerp(grey(images), images, per_image(factor)).clamp_(0, 1)


def grey(images: Tensor) -> Tensor:
    """Return the luma [n, 1, h, w] of images of 3 channels, and images of 1 channel as they are.

    Raises:
        ValueError: another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"contrast and colour need 1 or 3 channels, but got {channels}")
    if channels == 1:
        return images
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def replace(images: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Turn pixels black or white, half of `share` each, where `uniform` [n, 1, h, w] falls.

    A pixel is black where `uniform` (in [0, 1)) is below share / 2, white where it is at or
    above 1 - share / 2; all its channels together, as a dead or hot cell of a sensor.
    """
    images = torch.where(uniform < share / 2, images.new_zeros(()), images)
    return torch.where(uniform >= 1 - share / 2, images.new_ones(()), images)
