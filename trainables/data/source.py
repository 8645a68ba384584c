"""What every kind of data offers: named splits of decoded images, and a fingerprint of all of it.

A source is opened by `trainables.data.sources.open_source`; the cache makes arrays of its splits.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")

# Called with (what is being done, units done, units in all or None where unknown).
Progress = Callable[[str, int, int | None], None]


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class DataSpec:
    """Which data: enough to open it again in another process. Plain values only.

    `dataset` is beans, mnist or cifar10; `kind` is tfds, folder or embedded. `location` is the
    TFDS data directory or the folder, as an absolute path ("" for embedded). `seed` decides how
    a folder (or a TFDS train split without validation) is split: commands leave it at 0, so that
    all studies share one split whatever their own seed.
    """

    dataset: str
    kind: str
    location: str = ""
    seed: int = 0


class Source(Protocol):
    """Opened data. Every image is decoded on demand, in a fixed order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex digest over the content of the images, their labels and the splits."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of images of each of `SPLITS`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: images skipped, duplicates dropped. One line each."""

    def images(self, split: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield (image [height, width, channels] uint8, label); channels is 1 or 3."""
