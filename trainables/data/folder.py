"""The source behind `--data folder:PATH`: any folder with one sub-folder of images per class.

Opening it decodes every image once, to find the unreadable ones and the copies, and then
divides what is left into train, validation and test. The cache knows them from then on.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.data.folder_images import Outcome, Oversized, check, decode, too_dark
from trainables.data.folder_known import Checked, forget
from trainables.data.folder_scan import (
    MIN_IMAGES,
    Layout,
    listed,
    named_as_splits,
    scan,
    too_few,
)
from trainables.data.folder_split import assign
from trainables.data.parallel import in_order
from trainables.data.source import SPLITS, DataSpec, Progress, silent
from trainables.errors import DataError, one_line


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that is used."""

    path: str  # relative to the folder, with forward slashes
    label: int
    digest: bytes  # SHA-256 of the file


@dataclass(frozen=True)
class FolderSource:
    """An opened folder; see `trainables.data.source.Source`. Images are RGB, of any size."""

    root: Path
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]
    entries: Mapping[str, tuple[Entry, ...]]  # by split, sorted by path
    shapes: tuple[tuple[int, ...], ...]  # of all its images, each once, in ascending order

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of images of each split."""
        return {split: len(self.entries[split]) for split in SPLITS}

    def images(self, split: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield (image [height, width, 3] uint8, label), sorted by path, decoded by threads.

        Raises:
            DataError: a file is no longer what it was when the folder was opened.
        """
        return in_order(self._read, self.entries[split])

    def _read(self, entry: Entry) -> tuple[NDArray[np.uint8], int]:
        path = self.root / entry.path
        try:
            data = path.read_bytes()
        except OSError as error:
            what = f"cannot read {one_line(str(path))} any more"
            raise DataError(f"{what}: {error.strerror}") from error
        if hashlib.sha256(data).digest() != entry.digest:
            forget(self.root)  # it may have changed without a trace: starting again must help
            what = f"{one_line(str(path))} changed while it was used"
            raise DataError(f"{what}; start again with the new data")
        return decode(data), entry.label


def open_folder(spec: DataSpec, progress: Progress = silent) -> FolderSource:
    """Open the folder `spec.location`, split by `spec.seed`.

    Images that cannot be read are skipped. Of images with the same pixels the first by path is
    used, or none where they lie under different classes. Both are told in `notes`.

    Raises:
        DataError: one line for each mistake of the folder or its metadata.csv.
    """
    if not spec.location:
        raise DataError("no folder given; write --data folder:PATH")
    root = Path(spec.location)
    layout = scan(root)
    checked = check(root, tuple(layout.files), progress)
    _check_levels(checked)
    usable, notes = _usable(layout, checked)
    _check_counts(layout, usable)
    strata = {p: (layout.classes[layout.files[p]], layout.conditions[p]) for p in usable}
    splits = assign(strata, spec.seed)
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    # The number is that of the way of splitting: by conditions there is a second one.
    whole = hashlib.sha256(b"folder 2" if any(layout.conditions.values()) else b"folder 1")
    for path in sorted(usable):
        entries[splits[path]].append(Entry(path, layout.files[path], usable[path].file))
        words = (path, usable[path].file.hex(), splits[path], layout.conditions[path])
        whole.update(repr(words).encode("utf-8", "surrogateescape"))
    return FolderSource(
        root,
        layout.classes,
        whole.hexdigest(),
        notes,
        {split: tuple(own) for split, own in entries.items()},
        tuple(sorted({each.shape for each in usable.values()})),
    )


def _check_levels(checked: Mapping[str, Outcome]) -> None:
    """Refuse 16-bit images of which only the lowest values are in use: they would be black."""
    read = [each for each in checked.values() if isinstance(each, Checked)]
    deep = [each.most for each in read if each.most is not None]
    if dark := too_dark(deep):
        raise DataError(dark)


def _usable(
    layout: Layout, checked: Mapping[str, Outcome]
) -> tuple[dict[str, Checked], tuple[str, ...]]:
    """Return the images that can be used, and notes on all others."""
    unreadable = [path for path, result in checked.items() if result is None]
    large = [path for path, result in checked.items() if isinstance(result, Oversized)]
    limit = f"{(Image.MAX_IMAGE_PIXELS or 0) / 1e6:,.0f} million pixels"
    same: dict[bytes, list[str]] = defaultdict(list)
    for path in sorted(checked):
        if isinstance(result := checked[path], Checked):
            same[result.pixels].append(path)
    contradictions: list[str] = []
    copies: list[str] = []
    for paths in same.values():
        labels = {layout.files[path] for path in paths}
        contradictions += paths if len(labels) > 1 else []
        copies += paths[1:] if len(labels) == 1 else []
    notes = [
        _of_names(layout.classes),
        _count(unreadable, "could not be read and {} skipped"),
        _count(large, f"had more than {limit}, to be scaled down, and {{}} skipped"),
        _count(copies, "had the same content as another and {} dropped"),
        _count(contradictions, "had the same content under different classes and {} dropped"),
        _count(layout.loose, "lay beside the class folders and {} not used"),
        _count(layout.unknown, "had no ending of a known image format and {} not used", "file"),
    ]
    read = {path: r for path, r in checked.items() if isinstance(r, Checked)}
    dropped = {*copies, *contradictions}
    usable = {path: result for path, result in read.items() if path not in dropped}
    return usable, tuple(note for note in notes if note)


def _of_names(classes: Sequence[str]) -> str:
    """Ask about classes that have the names of splits; nothing where none have."""
    if not (named := named_as_splits(classes)):
        return ""
    return f"are {listed(named)} classes? If they are splits, make one folder per class instead"


def _count(paths: list[str], what: str, noun: str = "image") -> str:
    if not paths:
        return ""
    images, were = (noun, "was") if len(paths) == 1 else (f"{noun}s", "were")
    return f"{len(paths)} {images} {what.format(were)}: {listed(sorted(paths))}"


def _check_counts(layout: Layout, usable: Mapping[str, Checked]) -> None:
    counts = Counter(layout.files[path] for path in usable)
    files = Counter(layout.files.values())
    short = [
        f"{too_few(name, counts[label], 'usable image')} (of {files[label]} files;"
        " the others are unreadable, too large or copies)"
        for label, name in enumerate(layout.classes)
        if counts[label] < MIN_IMAGES
    ]
    if short:
        raise DataError("\n".join(short))
