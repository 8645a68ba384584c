"""The data of an experiment: named once, decoded once, shared as read-only arrays.

`open_data` looks at it, `prepare` makes its arrays, `Data.split` hands them out in any process.
"""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainables import store
from trainables.data.cache import ensure, resize
from trainables.data.cache_entry import unequal
from trainables.data.source import SPLITS, DataSpec, Progress, Source, silent
from trainables.data.sources import open_source
from trainables.errors import DataError

__all__ = ["SPLITS", "Data", "DataSpec", "Prepared", "Split", "open_data", "prepare"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One split at one size: read-only memory maps, whose memory all processes share."""

    images: NDArray[np.uint8]  # [n, height, width, channels]
    labels: NDArray[np.int64]  # [n], index into Data.classes


@dataclass(frozen=True)
class Data:
    """Data that was looked at. Holds no arrays: small enough to send to every worker."""

    spec: DataSpec
    classes: tuple[str, ...]
    fingerprint: str  # SHA-256 hex digest over images, labels and splits
    sizes: dict[str, int] = field(hash=False)  # split -> number of images
    notes: tuple[str, ...]  # what the user should know, one line each

    @property
    def real(self) -> bool:
        """False for the data that this package makes itself."""
        return self.spec.kind != "embedded"

    def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
        """Return a split, each image scaled to `size` x `size`; None keeps the images' own size.

        Read from the cache; where it is missing there it is made, from the same data or not at
        all: `progress` hears of that, which may take minutes.

        Raises:
            DataError: the data changed, or the images have several sizes and `size` is None.
        """
        wanted, opener = _sizes([name], [size]), _opener(self, progress)
        found = ensure(self.fingerprint, name, wanted, opener, progress)
        for note in found.notes:
            _log.warning("%s", note)
        entry = found.entries[size]
        return Split(entry.images, entry.labels)

    def first(self, name: str, size: int | None) -> NDArray[np.uint8]:
        """Return the first image of a split, [height, width, channels]; no array is made for it.

        It is scaled to `size` x `size`; None keeps its own size.

        Raises:
            DataError: the data changed, or the split holds no images.
        """
        [wanted] = _sizes([name], [size])
        for image, _ in _opener(self, silent)().images(name):
            return resize(image, wanted)
        raise DataError(f"the {name} split holds no images")

    def shape(self) -> tuple[int, ...]:
        """Return height, width and channels of a folder's images, in all splits the same.

        No array is made: whether there will be one of every split is known before hours of work.

        Raises:
            DataError: the data changed, or the images have several sizes.
        """
        from trainables.data.folder import FolderSource  # no other kind of data needs Pillow

        source = _opener(self, silent)()
        assert isinstance(source, FolderSource)
        if len(source.shapes) > 1:
            raise DataError(unequal(*source.shapes[:2]))
        return source.shapes[0]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did."""

    seconds: float  # it took
    bytes: int  # that the arrays hold
    built: int  # arrays made
    reused: int  # arrays that were there
    notes: tuple[str, ...] = ()  # damaged arrays that were made again, one line each


def open_data(spec: DataSpec, progress: Progress = silent) -> Data:
    """Look at the data: classes, sizes, fingerprint. No array is made.

    Raises:
        DataError: the data cannot be used; one line for each mistake.
    """
    source = open_source(spec, progress)
    return Data(spec, source.classes, source.fingerprint, dict(source.sizes), source.notes)


def prepare(
    data: Data,
    sizes: Sequence[int | None],
    splits: Sequence[str] = ("train", "validation"),
    progress: Progress = silent,
) -> Prepared:
    """Make the arrays of `splits` at all `sizes` that are missing: one pass over each split.

    All arrays that are there are read, and their checksums checked. What killed processes left in
    the cache is removed, also where nothing is made.

    Raises:
        DataError: the data changed, the cache cannot be written or has no room, or the images
            have several sizes and None is among `sizes`.
    """
    started = time.perf_counter()
    wanted = _sizes(splits, sizes)
    store.sweep()
    opener = _opener(data, progress)
    found = [
        ensure(data.fingerprint, each, wanted, opener, progress, verify=True, later=splits[n:])
        for n, each in enumerate(splits, start=1)
    ]
    entries = [entry for each in found for entry in each.entries.values()]
    built = sum(each.built for each in found)
    return Prepared(
        seconds=time.perf_counter() - started,
        bytes=sum(entry.bytes for entry in entries),
        built=built,
        reused=len(entries) - built,
        notes=tuple(note for each in found for note in each.notes),
    )


def _sizes(splits: Sequence[str], sizes: Sequence[int | None]) -> list[int | None]:
    """Return `sizes` once each, if they and the splits are possible."""
    for name in splits:
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; choose {', '.join(SPLITS)}")
    for size in sizes:
        if size is not None and size < 1:
            raise ValueError(f"image size >= 1 must hold, but got {size}")
    return list(dict.fromkeys(sizes))


def _opener(data: Data, progress: Progress) -> Callable[[], Source]:
    """Return a function that opens the data again, once, and refuses other data."""

    @functools.cache  # by its full name: `cache` is a module of this package
    def opener() -> Source:
        source = open_source(data.spec, progress)
        if source.fingerprint != data.fingerprint:
            where = data.spec.location or data.spec.kind
            raise DataError(f"the data in {where} changed since it was opened; start again")
        return source

    return opener
