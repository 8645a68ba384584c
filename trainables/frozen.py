"""Stored activations: what frozen layers give for a split, computed once and mapped from disk.

As long as layers before a cut do not change, neither does their output: every epoch, trial and
study on a machine that shares data, weights, cut, size and precision reads the same file. A file
is whole or absent; one process computes while the others wait.
"""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from trainables import store
from trainables.data.source import SPLITS, Progress, silent

FORMAT = 1  # raise it when the same cut would give other numbers
_VALUES = "values.npy"
ITEM = 2  # bytes of a bfloat16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """What activations are made from: equal cuts have equal activations.

    `data` and `weights` are fingerprints, of the images and of the frozen layers. `name` tells
    the place in the network; `size` is the side of the images in pixels (None: their own);
    `precision` that of the computation. What is stored is bfloat16 always.
    """

    data: str
    weights: str
    name: str
    size: int | None
    precision: str

    def folder(self, split: str) -> Path:
        """Return where the activations of a split are kept."""
        text = json.dumps([asdict(self), split, FORMAT], sort_keys=True)
        return _place() / f"{self.name}-{split}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def group(self, split: str) -> str:
        """Return the name of what is computed in one pass, under one lock."""
        text = json.dumps([asdict(self) | {"name": ""}, split], sort_keys=True)
        return f"{split}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


Compute = Callable[[Sequence[Cut]], Iterator[Sequence[Tensor]]]


@dataclass(frozen=True)
class Activations:
    """Stored activations of one split. `values`, by the cut's name, are read-only memory maps."""

    values: dict[str, Tensor]  # each [n, ...] bfloat16, on the CPU
    computed: int  # images that this call ran through the frozen layers
    seconds: float  # that this call took, waiting for another process included


def stored(
    cuts: Sequence[Cut], split: str, count: int, compute: Compute, progress: Progress = silent
) -> Activations:
    """Return the activations of all `count` images of a split at `cuts`.

    Args:
        cuts: Different places of one network, on the same data.
        split: Its name.
        count: Images in the split.
        compute: Called with the cuts that are missing; yields batch after batch, in the order of
            the split, one tensor [batch, ...] per cut: one pass serves them all.
        progress: Hears of computing and of waiting for another process.

    Raises:
        DataError: the cache cannot be written.
    """
    began = time.perf_counter()
    values = _read_all(cuts, split, count)
    missing = [cut for cut in cuts if cut.name not in values]
    if not missing:
        return Activations(values, 0, time.perf_counter() - began)
    waiting = f"waiting for another process to compute {split} activations"
    with store.locked(_place(), cuts[0].group(split), waiting, progress):
        # Another process may have made them while this one waited for the lock.
        values |= _read_all(missing, split, count)
        missing = [cut for cut in missing if cut.name not in values]
        if missing:
            _build(missing, split, count, compute, progress)
            values |= _read_all(missing, split, count)
            store.check_there(cut.name in values for cut in cuts)
            # A trial needs both splits: one must not push out the other.
            store.trim(keep={cut.folder(each) for cut in cuts for each in SPLITS})
    return Activations(values, count if missing else 0, time.perf_counter() - began)


def check_room_for_all(needed: int) -> None:
    """Refuse activations that the disk cannot take all together, before any are computed.

    Raises:
        DataError: of the `needed` bytes more would stay than are free.
    """
    with store.writing(_place()):
        _place().mkdir(parents=True, exist_ok=True)
    store.check_room(_place(), store.growth(needed), "the activations that all trials share")


def seconds_of(cut: Cut, split: str) -> float:
    """Return the seconds that the pass took which made the stored activations of a split.

    0 where another process's limit of the cache has pushed them out meanwhile.
    """
    try:
        return float(json.loads((cut.folder(split) / store.META).read_text())["seconds"])
    except FileNotFoundError:
        return 0.0


# What reading a damaged or foreign entry raises; AttributeError where it is an archive of arrays.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, AttributeError)


def _place() -> Path:
    return store.root() / "activations"


def _read_all(cuts: Sequence[Cut], split: str, count: int) -> dict[str, Tensor]:
    found = {}
    for cut in cuts:
        folder = cut.folder(split)
        try:
            array = _read(folder, count)
        except _DAMAGE as error:
            _log.warning("%s is damaged and is made again: %s", folder, error)
            continue
        if array is not None:
            store.touch(folder)
            with warnings.catch_warnings():  # nobody writes to them
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                found[cut.name] = torch.from_numpy(array).view(torch.bfloat16)
    return found


def _read(folder: Path, count: int) -> np.ndarray[Any, np.dtype[np.int16]] | None:
    if not folder.exists():
        return None
    told = json.loads((folder / store.META).read_text())
    path = folder / _VALUES
    if path.stat().st_size != told["bytes"]:
        raise ValueError(f"{_VALUES} has {path.stat().st_size} bytes instead of {told['bytes']}")
    array: np.ndarray[Any, np.dtype[np.int16]] = np.load(path, mmap_mode="r")
    if len(array) != count or array.dtype != np.int16:
        raise ValueError(
            f"{_VALUES} holds {len(array)} x {array.dtype} instead of {count} x int16"
        )
    return array


def _build(
    cuts: Sequence[Cut], split: str, count: int, compute: Compute, progress: Progress
) -> None:
    """Compute the activations of one split at all `cuts` in one pass, and put them in place."""
    began, done = time.perf_counter(), 0
    with store.scratch(_place(), cuts[0].group(split)) as scratch, ExitStack() as stack:
        with store.writing(_place()):
            writers = [_Writer(scratch / cut.name, count) for cut in cuts]
        for writer in writers:
            stack.callback(writer.abandon)
        for batch in compute(cuts):
            if not done:  # their shape is known from the first batch on
                needed = count * sum(values[0].numel() * ITEM for values in batch)
                store.check_room(_place(), needed, f"the activations of the {split} images")
            with store.writing(_place()):
                for writer, values in zip(writers, batch, strict=True):
                    writer.add(values)
            done += len(batch[0])
            progress(f"computing {split} activations", done, count)
        if done != count:
            raise ValueError(f"{count} activations were to be computed, but got {done}")
        with store.writing(_place()):
            for writer, cut in zip(writers, cuts, strict=True):
                told = {**asdict(cut), "split": split, "images": count}
                writer.close(told | {"seconds": round(time.perf_counter() - began, 3)})
                store.put(writer.folder, cut.folder(split))


class _Writer:
    """Writes one array front to back: memory never holds more than a batch."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self.folder, self._count = folder, count
        self.file: BinaryIO = (folder / _VALUES).open("wb")
        self._shape: tuple[int, ...] | None = None  # of one image's activations

    def add(self, values: Tensor) -> None:
        """Append the activations of a batch [b, ...]."""
        if self._shape is None:
            self._shape = tuple(values.shape[1:])
            header = {"descr": "<i2", "fortran_order": False, "shape": (self._count, *self._shape)}
            np.lib.format.write_array_header_1_0(self.file, header)
        assert tuple(values.shape[1:]) == self._shape, "activations change their shape"
        # numpy has no bfloat16: its bits are kept as int16.
        bits = values.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
        self.file.write(bits.numpy().data)

    def abandon(self) -> None:
        """Let go of the file, whatever state it is in."""
        with suppress(OSError):  # on a full disk even closing fails; the folder is removed anyway
            self.file.close()

    def close(self, told: dict[str, Any]) -> None:
        """Complete the folder: its bytes are on the disk before its name is there."""
        store.sync(self.file)
        told |= {"shape": list(self._shape or ()), "bytes": (self.folder / _VALUES).stat().st_size}
        (self.folder / store.META).write_text(json.dumps(told, indent=1))
