"""Beans, MNIST and CIFAR-10 from a TFDS data directory, with no TensorFlow.

What is not there yet is downloaded and prepared first (tfds_prepare).
"""

import functools
import hashlib
import importlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.data.source import SPLITS, DataSpec, Progress, silent
from trainables.data.tfds_directory import damaged, prepared_directory, read_builder, shards
from trainables.data.tfds_prepare import prepare
from trainables.data.tfds_without_tensorflow import import_tfds
from trainables.errors import DataError
from trainables.files import sha256_of
from trainables.seeds import derive

DATASETS = ("beans", "mnist", "cifar10")
# Of every class, where TFDS has no validation split: MNIST and CIFAR-10.
VALIDATION_SHARE = 0.1
# Records read at once: enough to hide the cost of a call, 20 MB of encoded beans.
_BATCH = 256
# What TFDS stores. Pillow knows kinds of files that it hands to other programs, such as EPS.
_FORMATS = ("JPEG", "PNG")


def open_tfds(spec: DataSpec, progress: Progress = silent) -> "TfdsSource":
    """Open `spec.dataset` in the TFDS data directory `spec.location`, preparing it if need be.

    Raises:
        DataError: an unknown data set, a damaged directory, or a preparation that failed.
    """
    if spec.dataset not in DATASETS:
        raise DataError(
            f"no data set {spec.dataset!r} is read from TFDS: choose {', '.join(DATASETS)}"
        )
    data_dir = Path(spec.location).expanduser().absolute()
    if prepared_directory(spec.dataset, data_dir) is None:
        prepare(spec.dataset, data_dir, progress)
    directory = prepared_directory(spec.dataset, data_dir)
    assert directory is not None, "prepare() returned without a prepared directory"
    return TfdsSource(spec, directory)


class TfdsSource:
    """A prepared TFDS data set; see `trainables.data.source.Source`.

    Images come in the order of the files. A validation split that TFDS lacks is a tenth of each
    class of train, drawn by `spec.seed`, and no longer in train.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, spec: DataSpec, directory: Path) -> None:
        """Check the files and read the labels that a split of train needs; decode no image."""
        self._directory = directory
        self._builder = read_builder(spec.dataset, directory)
        self.classes: tuple[str, ...] = tuple(self._builder.info.features["label"].names)
        self._split_seed = None if "validation" in self._builder.info.splits else spec.seed
        self._sources: dict[str, Any] = {}  # opened when read: parquet loads a whole split
        self._members = dict(self._all_members())
        self.sizes: Mapping[str, int] = {split: len(self._members[split][1]) for split in SPLITS}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files' names and bytes, the class names and the split's seed."""
        files = [[split, path.name, self._hash_of(path)] for split, path in shards(self._builder)]
        content: dict[str, Any] = {"classes": self.classes, "files": files}
        if self._split_seed is not None:
            content["validation"] = [VALIDATION_SHARE, self._split_seed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def images(self, split: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield (image [height, width, channels] uint8, label); channels is 1 or 3.

        Raises:
            DataError: a record or an image is damaged; the message names its file.
        """
        stored, indices = self._members[split]
        channels = self._builder.info.features["image"].shape[-1]
        for index, record in self._records(stored, indices):
            yield self._decode(record["image"], channels, stored, index), int(record["label"])

    def encoded(self, split: str) -> Iterator[tuple[bytes, int]]:
        """Yield (the JPEG or PNG file that is stored, label), in the order of `images`.

        Raises:
            DataError: a record is damaged; the message names its file.
        """
        for _, record in self._records(*self._members[split]):
            yield record["image"], int(record["label"])

    def _all_members(self) -> Iterator[tuple[str, tuple[str, NDArray[np.intp]]]]:
        """Yield (our split, (TFDS's split, ascending indices into it))."""
        stored = self._builder.info.splits
        for split in SPLITS:
            if split in stored:
                yield split, (split, np.arange(stored[split].num_examples))
        if self._split_seed is not None:
            labels = self._labels("train")
            held_out = stratified_share(labels, VALIDATION_SHARE, self._split_seed)
            yield "validation", ("train", held_out)
            yield "train", ("train", np.setdiff1d(np.arange(len(labels)), held_out))

    def _labels(self, stored: str) -> NDArray[np.int64]:
        indices = np.arange(self._builder.info.splits[stored].num_examples)
        labels = (record["label"] for _, record in self._records(stored, indices))
        return np.fromiter(labels, np.int64, count=len(indices))

    def _records(
        self, stored: str, indices: NDArray[np.intp]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index, record), the image still encoded."""
        for start in range(0, len(indices), _BATCH):
            batch = indices[start : start + _BATCH].tolist()
            yield from zip(batch, self._read(stored, batch), strict=True)

    def _read(self, stored: str, batch: list[int]) -> list[dict[str, Any]]:
        try:
            records: list[dict[str, Any]] = self._source(stored).__getitems__(batch)
            return records
        except _unreadable() as error:
            file = self._file_of(stored, self._first_unreadable(stored, batch))
            damaged(self._directory, file, error)

    def _source(self, stored: str) -> Any:
        """Return TFDS's data source of a split, all but its labels left encoded.

        What else there may be is not used, and TFDS would decode an image with any of Pillow's
        decoders.
        """
        if stored not in self._sources:
            names = set(self._builder.info.features) - {"label"}
            skip = {name: import_tfds().decode.SkipDecoding() for name in names}
            self._sources[stored] = self._builder.as_data_source(stored, decoders=skip)
        return self._sources[stored]

    def _first_unreadable(self, stored: str, batch: list[int]) -> int:
        """Return the first index that fails alone: a batch may lie in two files."""
        for index in batch:
            try:
                self._source(stored)[index]
            except _unreadable():
                return index
        return batch[0]

    def _decode(self, encoded: bytes, channels: int, stored: str, index: int) -> NDArray[np.uint8]:
        """Decode with Pillow always: TFDS would use OpenCV where installed, with other pixels."""
        try:
            pixels = _pixels(encoded, "L" if channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            found = f"image {index} cannot be decoded ({error})"
            damaged(self._directory, self._file_of(stored, index), found)
        return pixels.reshape(*pixels.shape[:2], channels)

    def _file_of(self, stored: str, index: int) -> Path:
        """Return the file that holds record `index` of a split."""
        split = self._builder.info.splits[stored]
        shard = int(np.searchsorted(np.cumsum(split.shard_lengths), index, side="right"))
        return Path(split.filepaths[shard])

    def _hash_of(self, path: Path) -> str:
        try:
            return sha256_of(path)
        except OSError as error:
            damaged(self._directory, path, error.strerror or error)


def _pixels(encoded: bytes, mode: str) -> NDArray[np.uint8]:
    """Decode an image of at most Pillow's limit, above which Pillow only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(f"{image.width}x{image.height} pixels, {limit} at most")
            return np.asarray(image.convert(mode))


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what the readers of array_record, parquet and protocol buffers raise on damage."""
    decode_error: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    return (RuntimeError, ValueError, LookupError, OSError, decode_error)


def stratified_share(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.intp]:
    """Return ascending indices of `share` of every label's occurrences, drawn by `seed`.

    Rounded, but at least one and never all of a label.
    Classes are drawn one after the other in the order of their labels from one generator, so the
    result depends on `labels` and `seed` alone.
    """
    rng = np.random.default_rng(derive(seed, "validation"))
    drawn = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        n_drawn = min(max(1, round(share * len(members))), len(members) - 1)
        drawn.append(rng.permutation(members)[:n_drawn])
    return np.sort(np.concatenate(drawn))
