"""Data that the package makes itself, offline: drawn bean leaves and objects, real small digits.

It stands in for beans, mnist and cifar10 where those can't be had; it is not the real thing,
and its notes say so. Every image is a pure function of (dataset, seed, split, index).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trainables.data.source import SPLITS, DataSpec, Progress, Source, silent
from trainables.errors import DataError
from trainables.seeds import derive

# Raise this whenever a pixel of any embedded image changes: arrays cached on disk are found by
# the fingerprint, which is made from this number and not from the pixels.
RENDERER_VERSION = 1

BEANS_SIZES = {"train": 480, "validation": 120, "test": 120}
CIFAR10_SIZES = {"train": 2000, "validation": 400, "test": 400}
DIGIT_SHARES = {"train": 0.70, "validation": 0.15}  # of each digit; the test split has the rest

Image = NDArray[np.uint8]
Render = Callable[[int, int], Image]  # (seed, label) -> picture


@dataclass(frozen=True)
class EmbeddedSource:
    """A `Source` whose images are made when asked for.

    `make(split, index)` returns an image [height, width, channels] and its label.
    """

    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    fingerprint: str
    notes: tuple[str, ...]
    make: Callable[[str, int], tuple[Image, int]]
    doing: str  # what progress reports
    progress: Progress

    def images(self, split: str) -> Iterator[tuple[Image, int]]:
        """Yield (image, label) in order; a split's classes take turns or are shuffled.

        Raises:
            ValueError: `split` is none of `SPLITS`.
        """
        if split not in self.sizes:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, but got {split!r}")
        total = self.sizes[split]
        for index in range(total):
            self.progress(self.doing, index, total)
            yield self.make(split, index)
        self.progress(self.doing, total, total)


def open_embedded(spec: DataSpec, progress: Progress = silent) -> Source:
    """Open the embedded data that stands in for `spec.dataset`; nothing is drawn yet.

    beans: 720 drawn leaves [160, 160, 3]; mnist: scikit-learn's 1,797 handwritten digits
    enlarged to [28, 28, 1]; cifar10: 2,800 drawn objects [32, 32, 3]. `spec.seed` decides what is
    drawn, and how the digits are split.

    Raises:
        DataError: There is no embedded data for the data set.
    """
    openers = {"beans": _open_beans, "mnist": _open_mnist, "cifar10": _open_cifar10}
    if spec.dataset not in openers:
        raise DataError(
            f"no embedded data for {spec.dataset!r}: it exists for {', '.join(openers)};"
            " use --data tfds or --data folder:PATH"
        )
    return openers[spec.dataset](spec, progress)


def _open_beans(spec: DataSpec, progress: Progress) -> Source:
    from trainables.data.leaves import CLASSES, render_leaf

    return _drawn(spec, progress, CLASSES, BEANS_SIZES, render_leaf, "drawing leaves")


def _open_cifar10(spec: DataSpec, progress: Progress) -> Source:
    from trainables.data.object_shapes import CLASSES
    from trainables.data.objects import render_object

    return _drawn(spec, progress, CLASSES, CIFAR10_SIZES, render_object, "drawing objects")


def _drawn(
    spec: DataSpec,
    progress: Progress,
    classes: tuple[str, ...],
    sizes: Mapping[str, int],
    render: Render,
    doing: str,
) -> Source:
    """Return a source of rendered images whose classes take turns, so that splits are balanced."""

    def make(split: str, index: int) -> tuple[Image, int]:
        label = index % len(classes)
        return render(derive(spec.seed, "embedded", spec.dataset, split, index), label), label

    mark = _fingerprint(spec, sizes)
    return EmbeddedSource(classes, dict(sizes), mark, _notes(spec), make, doing, progress)


def _open_mnist(spec: DataSpec, progress: Progress) -> Source:
    images, labels = _digits()
    order = split_digits(labels, spec.seed)

    def make(split: str, index: int) -> tuple[Image, int]:
        chosen = order[split][index]
        return enlarge_digit(images[chosen]), int(labels[chosen])

    sizes = {split: len(order[split]) for split in SPLITS}
    mark = _fingerprint(spec, sizes, images.tobytes() + labels.tobytes())
    names = tuple(str(digit) for digit in range(10))
    return EmbeddedSource(names, sizes, mark, _notes(spec), make, "enlarging digits", progress)


@cache
def _digits() -> tuple[Image, NDArray[np.int64]]:
    """Return scikit-learn's digits: images [1797, 8, 8] of values 0 to 16, labels [1797]."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.int64)


def split_digits(labels: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.intp]]:
    """Return the indices of each split: `DIGIT_SHARES` of every digit, shuffled by `seed`."""
    rng = np.random.default_rng(derive(seed, "embedded", "mnist", "split"))
    parts: dict[str, list[NDArray[np.intp]]] = {split: [] for split in SPLITS}
    for digit in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == digit))
        ends = np.round(np.cumsum(list(DIGIT_SHARES.values())) * len(members)).astype(int)
        for split, part in zip(SPLITS, np.split(members, ends), strict=True):
            parts[split].append(part)
    return {split: rng.permutation(np.concatenate(parts[split])) for split in SPLITS}


def enlarge_digit(digit: Image) -> Image:
    """Return an 8x8 digit of values 0 to 16 as [28, 28, 1] uint8 of values 0 to 255.

    As in MNIST, the digit fills the middle 20x20 pixels.
    """
    from PIL import Image as Pillow

    small = Pillow.fromarray(digit.astype(np.float32) * np.float32(255 / 16))
    large = np.asarray(small.resize((20, 20), Pillow.Resampling.BICUBIC))
    return np.pad(np.round(np.clip(large, 0, 255)).astype(np.uint8), 4)[..., None]


def _fingerprint(spec: DataSpec, sizes: Mapping[str, int], content: bytes = b"") -> str:
    words = json.dumps([RENDERER_VERSION, spec.dataset, spec.seed, dict(sizes)], sort_keys=True)
    return hashlib.sha256(words.encode() + content).hexdigest()


def _notes(spec: DataSpec) -> tuple[str, ...]:
    return (f"embedded data made by Trellis: not the real {spec.dataset}",)
