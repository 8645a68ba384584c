"""Augmentation of whole batches on the device: flips, geometry, light, noise; a draw per image.

An augmentation is named by its ops joined with "+", or "none". Own code, not torchvision's: the
random transforms of transforms.v2 draw once per call, so a batch would get one draw for all its
images, and a loop over images costs more than the training step. Flips, crops and jitter follow
the same formulas.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainables import augment_ops as ops

# Hand-held pictures are seldom off level by more; beyond it the mirrored corners grow large.
ROTATION_DEGREES = 15.0
# About one step nearer or farther; a leaf spot of 7 pixels stays between 6 and 8.
ZOOM = (0.85, 1.15)
# The published CIFAR-10 net pads 4 pixels at 32: the same share of the side at every size.
CROP_SHARE = 1 / 8
# Sun and shade change a leaf by more, but at 0.3 few pixels clip to white and lose their texture.
BRIGHTNESS = (0.7, 1.3)
CONTRAST = (0.7, 1.3)
# Healthy, rust and angular spot differ in hue, which saturation keeps: it may vary more.
SATURATION = (0.5, 1.5)
# 13 of 255 levels: a phone's noise in poor light, well below the contrast of a lesion.
GAUSSIAN_STD = 0.05
# Relative to the pixel, so bright areas suffer like a mid-grey one does from GAUSSIAN_STD.
SPECKLE_STD = 0.1
# 1 pixel in 50: visible, and no 3x3 window has more than one on average.
SALT_PEPPER_SHARE = 0.02

Op = Callable[[Tensor, torch.Generator], Tensor]


def _uniform(images: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """Draw one number in [low, high) for every image: [n] float32."""
    draw = torch.rand(len(images), generator=generator, device=images.device)
    return low + (high - low) * draw


def _coins(images: Tensor, generator: torch.Generator) -> Tensor:
    """Toss a fair coin for every image: [n] bool."""
    return _uniform(images, generator, 0, 1) < 0.5


def _normal(images: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a standard normal number for every value of the batch, in order of its indices."""
    return torch.randn(images.shape, generator=generator, device=images.device)


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.flip(images, _coins(images, generator), _coins(images, generator))


def _mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """For pictures with an up and a down, where `_flip` would turn cars upside down."""
    return ops.mirror(images, _coins(images, generator))


def _transpose(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.transpose(images, _coins(images, generator))


def _degrees(images: Tensor, generator: torch.Generator) -> Tensor:
    return _uniform(images, generator, -ROTATION_DEGREES, ROTATION_DEGREES)


def _rotation(images: Tensor, generator: torch.Generator) -> Tensor:
    degrees = _degrees(images, generator)
    return ops.affine(images, degrees, torch.ones_like(degrees))


def _zoom(images: Tensor, generator: torch.Generator) -> Tensor:
    zoom = _uniform(images, generator, *ZOOM)
    return ops.affine(images, torch.zeros_like(zoom), zoom)


def _rotation_and_zoom(images: Tensor, generator: torch.Generator) -> Tensor:
    degrees = _degrees(images, generator)
    return ops.affine(images, degrees, _uniform(images, generator, *ZOOM))


def _crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Zeros move in, as in the published CIFAR-10 net; the same room on both axes."""
    limit = math.ceil(min(images.shape[2:]) * CROP_SHARE)
    moves = torch.randint(
        -limit, limit + 1, (2, len(images)), generator=generator, device=images.device
    )
    return ops.shift(images, moves[0], moves[1], limit)


def _brightness(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.brightness(images, _uniform(images, generator, *BRIGHTNESS))


def _contrast(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.contrast(images, _uniform(images, generator, *CONTRAST))


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    return ops.colour(images, _uniform(images, generator, *SATURATION))


def _gaussian_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return _normal(images, generator).mul_(GAUSSIAN_STD).add_(images).clamp_(0, 1)


def _salt_pepper_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    uniform = torch.rand((n, 1, height, width), generator=generator, device=images.device)
    return ops.replace(images, uniform, SALT_PEPPER_SHARE)


def _speckle_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return _normal(images, generator).mul_(SPECKLE_STD).add_(1).mul_(images).clamp_(0, 1)


# In the order in which they are applied: the scene, then the light, then the sensor.
_OPS: dict[str, Op] = {
    "flip": _flip,
    "mirror": _mirror,
    "transpose": _transpose,
    "rotation": _rotation,
    "zoom": _zoom,
    "crop": _crop,
    "brightness": _brightness,
    "contrast": _contrast,
    "colour": _colour,
    "gaussian_noise": _gaussian_noise,
    "salt_pepper_noise": _salt_pepper_noise,
    "speckle_noise": _speckle_noise,
}
OPS: tuple[str, ...] = tuple(_OPS)


def parse(name: str) -> tuple[str, ...]:
    """Return the ops that `name` joins with "+", in the order of `OPS`; "none" has none.

    The order in `name` means nothing: "zoom+flip" is "flip+zoom", with the same draws.

    Raises:
        ValueError: an op that does not exist, or one given twice.
    """
    if name == "none":
        return ()
    given = name.split("+")
    for op in given:
        if op not in _OPS:
            raise ValueError(
                f"unknown augmentation {op!r} in {name!r}: use none, or join with + any of "
                f"{', '.join(OPS)}"
            )
        if given.count(op) > 1:
            raise ValueError(f"augmentation {op!r} is given twice in {name!r}: name it once")
    return tuple(op for op in OPS if op in given)


def _steps(name: str) -> list[Op]:
    """Return what to apply one after the other; rotation and zoom as one resampling."""
    chosen = parse(name)
    steps = {op: _OPS[op] for op in chosen}
    if "rotation" in steps and "zoom" in steps:
        steps["rotation"] = _rotation_and_zoom
        del steps["zoom"]
    return list(steps.values())


@torch.no_grad()
def augment(images: Tensor, name: str, generator: torch.Generator) -> Tensor:
    """Return a batch changed by the ops of `name`, each image by its own draw.

    Args:
        images: [n, channels, height, width], float32 or bfloat16, in [0, 1]; not written to.
        name: see `parse`.
        generator: on the device of `images`, the only source of randomness; for an epoch
            `trainables.seeds.generator(seed, "augment", epoch, device=images.device)`.

    Returns:
        The same shape, type, device and memory format, in [0, 1]; `images` itself for "none".
        Computed in float32, so a bfloat16 batch gets the same draws and is rounded once.

    Raises:
        ValueError: a bad name, images of another type or shape, or not square with transpose.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            "images must be float [n, channels, height, width] in [0, 1], but got "
            f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
        )
    steps = _steps(name)
    if not steps:
        return images
    work = images.float()
    for step in steps:
        work = step(work, generator)
    if work.dtype == images.dtype and work.stride() == images.stride():
        return work
    # Resampling always returns one plane per channel; the network wants what it gave.
    return torch.empty_like(images).copy_(work)
