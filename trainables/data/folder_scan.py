"""Looks at a folder with one sub-folder per class, and at its metadata.csv, and lists the images.

No image is opened here. All mistakes of the layout are reported together.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.data.folder_images import is_image_name
from trainables.errors import DataError, one_line

METADATA = "metadata.csv"
COLUMNS = ("file", "condition")
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
# Beside images, in any folder; of other files that are none by their name it is told.
_NO_IMAGES = {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".txt", ".xml",
              ".yaml", ".yml"}  # fmt: skip
# What storage and archives put beside images: thumbnails, what was deleted, other streams.
_SERVICE = {"@eadir", "#recycle", "$recycle.bin", "__macosx", "system volume information"}
MIN_IMAGES = 3  # of a class: one for each split


@dataclass(frozen=True)
class Layout:
    """What a folder holds. Paths are relative to it, with forward slashes, sorted."""

    classes: tuple[str, ...]
    files: dict[str, int]  # path -> label
    conditions: dict[str, str]  # path -> condition; all "" without metadata.csv
    loose: list[str]  # images beside the class folders, which have no class
    unknown: list[str]  # files in class folders that are no images by their name, but may be


def listed(paths: Sequence[str], limit: int = 10) -> str:
    """Return the paths, separated by commas; after `limit` of them only how many more."""
    text = ", ".join(one_line(path) for path in paths[:limit])
    return text if len(paths) <= limit else f"{text} and {len(paths) - limit} more"


def scan(root: Path) -> Layout:
    """List the images of a folder.

    Hidden files and files that are no images by their name are passed over, and folders of
    storage and archives, such as @eaDir; other folders inside a class folder belong to the class.

    Raises:
        DataError: one line for each mistake of the folder.
    """
    try:
        if not root.is_dir():
            found = "is not a folder" if root.exists() else "does not exist"
            raise DataError(
                f"{one_line(str(root))} {found}; give a folder with one sub-folder per class"
            )
        return _scan(root)
    except OSError as error:
        name = one_line(str(error.filename or root))
        raise DataError(f"cannot read {name}: {error.strerror}") from error


def _scan(root: Path) -> Layout:
    names = sorted(name for name in os.listdir(root) if not is_passed_over(name))
    mistakes: list[str] = []
    classes = [name for name in names if _is_class(root, name, mistakes)]
    if splits := _look_like_splits(root, classes):
        mistakes.append(
            f"{listed(splits)} look like splits, with the classes inside: put the images of all "
            f"of them into one folder per class in {root}; splits are made of these"
        )
    files: dict[str, int] = {}
    unknown: list[str] = []
    for label, name in enumerate(classes):
        paths, others = _images(root, name, mistakes)
        unknown += others
        if len(paths) < MIN_IMAGES:
            mistakes.append(too_few(name, len(paths), "image") + _unread(others))
        files.update(dict.fromkeys(paths, label))
    if not classes and not mistakes:
        mistakes.append(f"{root} holds no class folder; put the images into one folder per class")
    if len(classes) == 1:
        mistakes.append(f"{root} holds only one class, {classes[0]!r}; at least two are needed")
    conditions = dict.fromkeys(files, "")
    if METADATA in names:
        conditions.update(_conditions(root / METADATA, files, mistakes))
    if mistakes:
        raise DataError("\n".join(mistakes))
    loose = [name for name in names if is_image_name(name) and (root / name).is_file()]
    return Layout(tuple(classes), files, conditions, loose, unknown)


def is_passed_over(name: str) -> bool:
    """Tell whether a folder holds no images of the user's own by its name, hidden ones too."""
    return name.startswith(".") or name.lower() in _SERVICE


def _unread(paths: Sequence[str]) -> str:
    """Say which files of a class are no images by their names; nothing where all are."""
    if not paths:
        return ""
    what = "1 file has" if len(paths) == 1 else f"{len(paths)} files have"
    return f"; {what} no ending of a known image format: {listed(sorted(paths), 3)}"


def _look_like_splits(root: Path, classes: Sequence[str]) -> list[str]:
    """Return the folders that are splits by their names, with folders inside.

    None where they may be classes: one alone beside others, or several for the same word.
    """
    named = [name for name in classes if _words(name)]
    nested = [name for name in named if _has_folders(root / name)]
    return named if nested and (_differ(nested) or len(named) == len(classes)) else []


def named_as_splits(classes: Sequence[str]) -> list[str]:
    """Return the classes whose names are those of splits; none where all are of the same word."""
    named = [name for name in classes if _words(name)]
    return named if _differ(named) else []


def _words(name: str) -> set[str]:
    """Return the words for splits that are in the name of a folder."""
    return _SPLITS.intersection(re.split(r"[\W_]+", name.lower()))


def _differ(names: Iterable[str]) -> bool:
    return len(set().union(*map(_words, names))) > 1


def _has_folders(folder: Path) -> bool:
    return any(each.is_dir() and not is_passed_over(each.name) for each in folder.iterdir())


def too_few(name: str, count: int, what: str) -> str:
    """Return the message for a class that cannot be divided into three splits."""
    if count == 0:
        return f"class {name!r} is empty: no {what}; remove its folder or add images"
    plural = what if count == 1 else f"{what}s"
    return f"class {name!r} has {count} {plural}; at least {MIN_IMAGES} are needed"


def _is_class(root: Path, name: str, mistakes: list[str]) -> bool:
    folder = root / name
    if folder.is_symlink() and not folder.exists():
        mistakes.append(f"{one_line(name)} is a link to nothing; remove it")
        return False
    if not folder.is_dir():
        return False
    if not name.isprintable():
        mistakes.append(
            f"class folder {one_line(name)} has characters that cannot be shown or seen; rename it"
        )
        return False
    if not folder.resolve().is_relative_to(root.resolve()):
        mistakes.append(
            f"class folder {name!r} is a link to outside {root}; copy its images there"
        )
        return False
    return True


def _images(root: Path, name: str, mistakes: list[str]) -> tuple[list[str], list[str]]:
    """Return the paths of the images of one class, at any depth, and of what may be some."""
    paths, others = [], []
    for folder, inner, files in os.walk(root / name, onerror=_raise):
        inner[:] = [each for each in inner if not is_passed_over(each)]
        here = Path(folder).relative_to(root)
        # A link to a folder could lead outside, or round in a circle.
        links = [(here / each).as_posix() for each in inner if (Path(folder) / each).is_symlink()]
        if links:
            mistakes.append(f"links to folders inside a class: {listed(sorted(links))}; copy them")
        for each in files:
            if is_image_name(each):
                paths.append((here / each).as_posix())
            elif may_be_image(each):
                others.append((here / each).as_posix())
    return sorted(paths), sorted(others)


def may_be_image(name: str) -> bool:
    """Tell whether a file may be an image of an unknown format: no text, table or hidden file."""
    hidden = name.startswith(".")
    return not hidden and not is_image_name(name) and Path(name).suffix.lower() not in _NO_IMAGES


def _raise(error: OSError) -> None:
    raise error


def _conditions(path: Path, files: Iterable[str], mistakes: list[str]) -> dict[str, str]:
    """Read metadata.csv and compare it with the images there are."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            if not set(COLUMNS) <= set(columns):
                found = one_line(", ".join(columns)) or "nothing"
                mistakes.append(f"{METADATA} needs the columns file and condition; found {found}")
                return {}
            rows = [tuple((row[name] or "").strip() for name in COLUMNS) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        mistakes.append(f"{METADATA} is not a CSV file in UTF-8: {error}")
        return {}
    entries = [(str(PurePosixPath(file)), condition) for file, condition in rows]
    mistakes += _metadata_mistakes(entries, set(files))
    return dict(entries)


def _metadata_mistakes(entries: Sequence[tuple[str, str]], files: set[str]) -> list[str]:
    counts = Counter(file for file, _ in entries)
    wrong = {
        "lists files that are not among the images": sorted(counts.keys() - files),
        "does not list these images": sorted(files - counts.keys()),
        "lists files more than once": sorted(file for file, n in counts.items() if n > 1),
        "gives no condition for": sorted({file for file, condition in entries if not condition}),
    }
    return [f"{METADATA} {what}: {listed(names)}" for what, names in wrong.items() if names]
