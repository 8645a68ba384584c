"""The experiments' augmentations by torchvision's transforms, one image at a time in the loader.

The same operations and ranges as the space means; pixels differ a little: torchvision leaves
the corners of a rotated image black, where Trellis mirrors the image into them.
"""

import math
from typing import Any

import torch
from torch import Tensor

from trainables.vision import import_torchvision

import_torchvision()  # also where its compiled operators do not fit this torch
from torchvision import transforms  # noqa: E402

SIGNED = ("mnist_cnn", "cifar10_net", "inception_beans")  # networks of inputs in [-1, 1]


def training(experiment: str, augmentation: str, size: int | None, channels: int) -> Any:
    """Return the transform of training images: resize, augment, scale."""
    return _whole(experiment, size, channels, augmentation)


def evaluation(experiment: str, size: int | None, channels: int) -> Any:
    """Return the transform of validation images: resize, scale."""
    return _whole(experiment, size, channels, "none")


def _whole(experiment: str, size: int | None, channels: int, augmentation: str) -> Any:
    steps: list[Any] = [transforms.Grayscale()] if channels == 1 else []
    if size is not None:
        bicubic = transforms.InterpolationMode.BICUBIC
        steps.append(transforms.Resize((size, size), bicubic))
    steps.append(transforms.ToTensor())
    names = () if augmentation == "none" else augmentation.split("+")
    side = size or 32  # only CIFAR-10 is augmented at its own size
    steps += [each for name in names for each in augmenting(name, side)]
    if experiment in SIGNED:
        steps.append(transforms.Normalize(0.5, 0.5))
    return transforms.Compose(steps)


def augmenting(name: str, side: int) -> list[Any]:
    """Return the transforms of one operation, on [channels, side, side] in [0, 1]."""
    bilinear = transforms.InterpolationMode.BILINEAR
    return {
        "flip": [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip()],
        "mirror": [transforms.RandomHorizontalFlip()],
        "transpose": [transforms.RandomApply([_transposed], 0.5)],
        "rotation": [transforms.RandomRotation(15, bilinear)],
        "zoom": [transforms.RandomAffine(0, scale=(0.85, 1.15), interpolation=bilinear)],
        "crop": [transforms.RandomCrop(side, padding=math.ceil(side / 8))],
        "brightness": [transforms.ColorJitter(brightness=0.3)],
        "contrast": [transforms.ColorJitter(contrast=0.3)],
        "colour": [transforms.ColorJitter(saturation=0.5)],
        "gaussian_noise": [_noisy],
        "salt_pepper_noise": [_salted],
        "speckle_noise": [_speckled],
    }[name]


def _transposed(image: Tensor) -> Tensor:
    return image.transpose(1, 2)


def _noisy(image: Tensor) -> Tensor:
    return (image + 0.05 * torch.randn_like(image)).clamp(0, 1)


def _speckled(image: Tensor) -> Tensor:
    return (image + 0.1 * image * torch.randn_like(image)).clamp(0, 1)


def _salted(image: Tensor) -> Tensor:
    draw = torch.rand(image.shape[1:])
    return image.masked_fill(draw < 0.01, 0.0).masked_fill(draw >= 0.99, 1.0)
