"""Stored activations of the frozen Inception-v3: which cuts, and the pass that computes them."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables import device as machine
from trainables import store
from trainables.augment import augment, parse
from trainables.budget import Budget, Weights
from trainables.data import Data
from trainables.errors import TrellisError
from trainables.evaluation import images_to_floats
from trainables.frozen import ITEM, Activations, Cut, check_room_for_all, stored
from trainables.nets.inception import (
    LAYERS,
    activation_shape,
    as_input,
    cut_name,
    cuts_of,
    pretrained,
)
from trainables.seeds import generator
from trainables.weights import read_backbone

_log = logging.getLogger(__name__)

IMAGE_SIZE = 299
# Beside the images as they are. One copy more is one pass of the train split more, and as much
# on disk again; epochs take the copies in turn, so that with 20 epochs each is seen five times.
AUGMENTED_COPIES = 3
# What is computed at once: split, augmentation, and number of the copy.
Pass = tuple[str, str, int]
_BATCH = 32  # images: 0.4 GB of activations at 299x299 in the first layers


@dataclass(frozen=True)
class Backbone:
    """The frozen network on one data set: everything that its activations depend on."""

    data: Data
    weights: Weights
    budget: Budget
    device: torch.device

    def activations(
        self, split: str, depths: Sequence[int], augmentation: str = "none", copy: int = 0
    ) -> Activations:
        """Return the activations of a split where the last `depths` blocks begin.

        Depth 0 gives pooled features [n, 2048], others maps [n, rows, columns, channels].
        Copy 0 is of the images as they are, copies 1, 2, ... are augmented: each image by a draw
        that depends on the copy's number alone, so that all trials share them.
        """
        count = self.data.sizes[split]
        cuts = self.cuts(depths, augmentation, copy)

        def compute(missing: Sequence[Cut]) -> Iterator[Sequence[Tensor]]:
            return self._compute(split, missing, augmentation if copy else "none", copy)

        return stored(cuts, split, count, compute, self.budget.progress)

    def check_room(self, depths: Sequence[int], wanted: Sequence[Pass]) -> None:
        """Refuse, before the first of several passes, what the disk has no room for.

        Args:
            depths: Different ones, as of `activations`.
            wanted: The passes; what is stored already takes no room.

        Raises:
            DataError: they take more than is free.
        """
        needed = sum(
            self.data.sizes[split] * bytes_at(depth)
            for split, name, copy in wanted
            for depth, cut in zip(depths, self.cuts(depths, name, copy), strict=True)
            if not cut.folder(split).exists()
        )
        check_room_for_all(needed)

    def cuts(self, depths: Sequence[int], augmentation: str = "none", copy: int = 0) -> list[Cut]:
        """Return the cuts that go with depths."""
        pixels = self.data.fingerprint
        if copy:
            pixels += f"+{'+'.join(parse(augmentation))}:{copy}"
        names = [cut_name(depth) for depth in dict.fromkeys(depths)]
        precision = machine.precision(self.budget, self.device)
        return [
            Cut(pixels, self.weights.fingerprint, name, IMAGE_SIZE, precision) for name in names
        ]

    def _compute(
        self, split: str, cuts: Sequence[Cut], augmentation: str, copy: int
    ) -> Iterator[list[Tensor]]:
        """Yield the activations at `cuts`, a list for every batch of images."""
        layers = pretrained(LAYERS, read_backbone(self.weights)).eval()
        layers.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # On the CPU, whatever computes: other generators draw other numbers.
        draws = generator(0, "augmented copy", copy)
        names = [cut.name for cut in cuts]
        whole = self.data.split(split, IMAGE_SIZE, self.budget.progress)
        images = torch.from_numpy(whole.images)
        for batch in images.split(_BATCH):
            floats = augment(images_to_floats(batch), augmentation, draws).to(self.device)
            with torch.inference_mode(), machine.autocast(self.budget, self.device):
                found = cuts_of(layers, names, as_input(floats))
            yield [each if each.ndim == 2 else each.permute(0, 2, 3, 1) for each in found]


def passes(augmentations: Iterable[str]) -> list[Pass]:
    """Return the passes whose activations trials with these augmentations share.

    Copy 0 of the train split, the images as they are, is the same with all of them.
    """
    copies = range(1, 1 + AUGMENTED_COPIES)
    augmented = [name for name in augmentations if name != "none"]
    plain = [("validation", "none", 0), ("train", "none", 0)]
    return plain + [("train", name, copy) for name in augmented for copy in copies]


def bytes_at(depth: int) -> int:
    """Return the bytes of an image's stored activations where the last `depth` blocks begin."""
    return math.prod(activation_shape(depth, IMAGE_SIZE)) * ITEM


def warn_of_a_small_cache(data: Data, activations: int) -> None:
    """Tell before hours of work where trials would push each other's arrays out of the cache.

    All their `activations` take so many bytes. Every trial needs the images, too, and whatever cut
    it does not find makes it run the frozen layers again.
    """
    needed = activations + (data.sizes["train"] + data.sizes["validation"]) * 3 * IMAGE_SIZE**2
    if needed > store.limit_bytes():
        _log.warning(
            "the stored activations and images of this study take %.1f GB, the cache in %s %.1f: "
            "frozen layers would run again and again; set TRELLIS_CACHE_GB=%d or higher",
            needed / 1e9,
            store.root(),
            store.limit_bytes() / 1e9,
            math.ceil(needed / 1e9),
        )


def backbone_of(data: Data, budget: Budget, device: torch.device) -> Backbone:
    """Return the backbone of a trial.

    Raises:
        TrellisError: the budget has no weights.
    """
    if budget.weights is None:
        raise TrellisError(
            "no pretrained weights were given: Budget(weights=find_weights(...)), see"
            " trainables.weights"
        )
    return Backbone(data, budget.weights, budget, device)
