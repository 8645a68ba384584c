"""One split at one size on disk: images.npy, labels.npy and meta.json in a folder of their own.

Written front to back, so that neither memory nor a full disk is a problem, and checked when read.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainables import store
from trainables.errors import DataError
from trainables.files import sha256_of

FORMAT = 1  # raise it when the files, or the pixels made from the same data, change
IMAGES, LABELS, META = "images.npy", "labels.npy", store.META


class DamagedError(Exception):
    """The files of an entry are not what was written."""


@dataclass(frozen=True)
class Key:
    """What the arrays of an entry are made from; `size` None keeps the images' own size."""

    fingerprint: str
    split: str
    size: int | None

    @property
    def group(self) -> str:
        """Name of what is made in one pass over the images, under one lock."""
        return f"{self.fingerprint[:32]}-{self.split}"

    @property
    def name(self) -> str:
        """Name of the entry's folder."""
        return f"{self.group}-{self.size or 'native'}-v{FORMAT}"


@dataclass(frozen=True)
class Entry:
    """An entry as it is used. Both arrays are read-only memory maps."""

    images: NDArray[np.uint8]  # [n, height, width, channels]
    labels: NDArray[np.int64]  # [n]

    @property
    def bytes(self) -> int:
        """Bytes that the arrays hold."""
        return self.images.nbytes + self.labels.nbytes


def read(folder: Path, key: Key, verify: bool) -> Entry | None:
    """Open an entry, or return None where there is none.

    Sizes and shapes are always checked; `verify` reads all bytes and checks their SHA-256.

    Raises:
        DamagedError: with what is wrong.
    """
    try:
        if not folder.exists():
            return None
        meta = json.loads((folder / META).read_text())
        return _open(folder, meta, key, verify)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{META} lacks what it should say: {error}") from error
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        raise DamagedError(str(error)) from error


def _open(folder: Path, meta: dict[str, Any], key: Key, verify: bool) -> Entry:
    if (meta["fingerprint"], meta["split"], meta["size"]) != (
        key.fingerprint,
        key.split,
        key.size,
    ):
        raise DamagedError(f"{META} is about other data")
    for name in (IMAGES, LABELS):
        told, path = meta["files"][name], folder / name
        if path.stat().st_size != told["bytes"]:
            raise DamagedError(
                f"{name} has {path.stat().st_size} bytes instead of {told['bytes']}"
            )
        if verify and sha256_of(path) != told["sha256"]:
            raise DamagedError(f"{name} does not match its checksum")
    images = np.load(folder / IMAGES, mmap_mode="r")
    labels = np.load(folder / LABELS, mmap_mode="r")
    if (list(images.shape), images.dtype) != (meta["shape"], np.uint8):
        raise DamagedError(f"{IMAGES} has shape {images.shape} instead of {meta['shape']}")
    if (labels.shape, labels.dtype) != (images.shape[:1], np.int64):
        raise DamagedError(f"{LABELS} has shape {labels.shape} and type {labels.dtype}")
    return Entry(images, labels)


def unequal(first: Sequence[int], other: Sequence[int]) -> str:
    """Return what to do about images of two shapes, [height, width, channels]."""
    one, two = ("x".join(map(str, each)) for each in (first, other))
    return (
        f"the images differ in size: {one} and {two}; scale them to one, or take an "
        "experiment that scales them, such as lenet_beans"
    )


class Writer:
    """Writes the entry of `key` with `count` images into the new folder `folder`."""

    def __init__(self, folder: Path, key: Key, count: int) -> None:
        folder.mkdir()
        self.folder, self.key, self._count = folder, key, count
        self._file: BinaryIO = (folder / IMAGES).open("wb")
        self._hash = hashlib.sha256()
        self._shape: tuple[int, ...] | None = None  # of one image

    def add(self, image: NDArray[np.uint8]) -> None:
        """Append one image [height, width, channels]; all must have one shape."""
        if self._shape is None:
            self._shape = image.shape
            header = {"descr": "|u1", "fortran_order": False, "shape": self._all()}
            np.lib.format.write_array_header_1_0(self._file, header)
            self._file.flush()
            self._hash.update((self.folder / IMAGES).read_bytes())
        if image.shape != self._shape:
            raise DataError(unequal(self._shape, image.shape))
        data = image.tobytes()
        self._hash.update(data)
        self._file.write(data)

    def close(self, labels: Sequence[int], seconds: float) -> None:
        """Complete the entry; `labels` has one for each image."""
        store.sync(self._file)
        with (self.folder / LABELS).open("wb") as file:
            np.save(file, np.asarray(labels, np.int64))
            store.sync(file)
        digests = {IMAGES: self._hash.hexdigest(), LABELS: sha256_of(self.folder / LABELS)}
        files = {
            name: {"bytes": (self.folder / name).stat().st_size, "sha256": digest}
            for name, digest in digests.items()
        }
        key = {"fingerprint": self.key.fingerprint, "split": self.key.split, "size": self.key.size}
        meta = {**key, "shape": self._all(), "files": files, "seconds": round(seconds, 3)}
        (self.folder / META).write_text(json.dumps(meta, indent=1))

    def abandon(self) -> None:
        """Let go of the files, whatever state they are in."""
        with suppress(OSError):  # on a full disk even closing fails; the folder is removed anyway
            self._file.close()

    def _all(self) -> tuple[int, ...]:
        return (self._count, *(self._shape or ()))
