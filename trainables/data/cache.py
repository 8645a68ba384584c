"""Splits as arrays on disk: decoded and resized once, then shared by all processes as memory maps.

An entry appears whole, by a rename; one process makes it while the others wait; what a killed
process left is removed; what is damaged is made again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables import store
from trainables.data.cache_entry import DamagedError, Entry, Key, Writer, read
from trainables.data.parallel import in_order
from trainables.data.source import SPLITS, Progress, Source, silent
from trainables.errors import DataError

_LABEL = 8  # bytes of an int64


@dataclass(frozen=True)
class Found:
    """What `ensure` found or made."""

    entries: dict[int | None, Entry]  # by size
    built: int  # entries made by this call
    notes: tuple[str, ...]  # entries that were damaged


def resize(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Return the image [size, size, channels]; None leaves it as it is.

    Bicubic with antialiasing. The aspect ratio is not kept, as in Keras' `image_size`: nothing is
    cut off, no border is added.
    """
    if size is None or image.shape[:2] == (size, size):
        return image
    plane = image[:, :, 0] if image.shape[2] == 1 else image
    resized = Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(size, size, image.shape[2])


def ensure(
    fingerprint: str,
    split: str,
    sizes: Sequence[int | None],
    opener: Callable[[], Source],
    progress: Progress = silent,
    verify: bool = False,
    later: Sequence[str] = (),
) -> Found:
    """Return a split at all `sizes`; those missing are made in one pass over `opener()`.

    `opener` is called only where something is missing, and by one process at a time. `verify`
    checks the bytes of what there is; its sizes are checked always. `later` are splits that are
    made next: what is missing of them must have room, too, before the first is begun.

    Raises:
        DataError: the cache cannot be written or has no room, or the images cannot be made into
            one array.
    """
    root = store.root() / "images"
    keys = [Key(fingerprint, split, size) for size in dict.fromkeys(sizes)]
    notes: list[str] = []
    entries = _read_all(root, keys, verify, notes)
    missing = [key for key in keys if key.size not in entries]
    if not missing:
        return Found(entries, 0, ())
    waiting = f"waiting for another process to prepare {split} images"
    with store.locked(root, missing[0].group, waiting, progress):
        # Another process may have made them while this one waited for the lock.
        entries.update(_read_all(root, missing, verify, []))
        missing = [key for key in keys if key.size not in entries]
        if missing:
            _build(root, missing, opener(), progress, later)
            entries.update(_read_all(root, missing, False, []))
            store.check_there(key.size in entries for key in keys)
            # A trial needs both splits: one must not push out the other.
            both = {replace(key, split=each) for key in keys for each in SPLITS}
            store.trim(keep={root / key.name for key in both})
    return Found(entries, len(missing), tuple(notes))


def _read_all(
    root: Path, keys: Sequence[Key], verify: bool, notes: list[str]
) -> dict[int | None, Entry]:
    entries = {}
    for key in keys:
        try:
            entry = read(root / key.name, key, verify)
        except DamagedError as error:
            notes.append(f"{root / key.name} was damaged and is made again: {error}")
            continue
        if entry is not None:
            store.touch(root / key.name)
            entries[key.size] = entry
    return entries


def _check_room(
    root: Path,
    keys: Sequence[Key],
    images: Sequence[NDArray[np.uint8]],
    source: Source,
    later: Sequence[str],
) -> None:
    """Refuse splits that the disk cannot take; `images` is the first one, as `keys` have it."""
    needed = dict.fromkeys((key.size for key in keys), 0)
    for key, image in zip(keys, images, strict=True):
        for split in (key.split, *later):
            if split == key.split or not (root / replace(key, split=split).name).exists():
                needed[key.size] += source.sizes[split] * (image.nbytes + _LABEL)
    size, least = min(needed.items(), key=lambda item: item[1])
    instead = f", or hold image_size: {size} alone takes {store.shown(least)}"
    what = "the images in arrays" if len(keys) == 1 else f"the images in {len(keys)} sizes"
    store.check_room(root, sum(needed.values()), what, instead if len(keys) > 1 else "")


def _build(
    root: Path,
    keys: Sequence[Key],
    source: Source,
    progress: Progress,
    later: Sequence[str],
) -> None:
    """Make the entries of one split and put them in place."""
    started = time.perf_counter()
    split = keys[0].split
    count = source.sizes[split]
    if count == 0:
        raise DataError(f"the {split} split holds no images")

    def shrink(item: tuple[NDArray[np.uint8], int]) -> tuple[int, list[NDArray[np.uint8]]]:
        image, label = item
        return label, [resize(image, key.size) for key in keys]

    with store.scratch(root, keys[0].group) as scratch, ExitStack() as stack:
        with store.writing(root):
            writers = [Writer(scratch / key.name, key, count) for key in keys]
        for writer in writers:
            stack.callback(writer.abandon)
        labels: list[int] = []
        results = stack.enter_context(closing(in_order(shrink, source.images(split))))
        for label, images in results:
            if not labels:
                _check_room(root, keys, images, source, later)
            with store.writing(root):
                for writer, image in zip(writers, images, strict=True):
                    writer.add(image)
            labels.append(label)
            progress(f"preparing {split} images", len(labels), count)
        if len(labels) != count:
            raise DataError(f"the {split} split has {len(labels)} images instead of {count}")
        with store.writing(root):
            for writer in writers:
                writer.close(labels, time.perf_counter() - started)
                store.put(writer.folder, root / writer.key.name)
