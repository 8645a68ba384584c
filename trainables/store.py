"""The cache's folders: each appears whole, is made by one process at a time, and goes by age.

What a killed process left is removed; least recently used folders go when the cache grows too
large. Images, activations and source networks are kept this way, each in a place of its own.
"""

import contextlib
import logging
import math
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock, Timeout

from trainables.errors import DataError
from trainables.locks import acquired

if TYPE_CHECKING:  # that package keeps its arrays here
    from trainables.data.source import Progress

META = "meta.json"  # written last; its time of change is when the folder was last used
PLACES = ("images", "activations", "sources")
_DEFAULT_GB = 20.0
_LATELY_S = 3600.0

_log = logging.getLogger(__name__)


def root() -> Path:
    """Return the folder of the cache: $TRELLIS_CACHE, else ~/.cache/trellis."""
    given = os.environ.get("TRELLIS_CACHE")
    try:
        return Path(given).expanduser().absolute() if given else Path.home() / ".cache" / "trellis"
    except RuntimeError as error:
        raise DataError(
            f"no place for the cache: {error}; set TRELLIS_CACHE to a folder"
        ) from error


def limit_bytes() -> float:
    """Return how large the cache may grow: $TRELLIS_CACHE_GB in units of 10**9, else 20.

    Raises:
        DataError: it is no positive number.
    """
    text = os.environ.get("TRELLIS_CACHE_GB", "").strip()
    try:
        found = float(text) if text else _DEFAULT_GB
    except ValueError:
        found = math.nan
    if not found > 0:
        raise DataError(f"TRELLIS_CACHE_GB must be a positive number of gigabytes, not {text!r}")
    return found * 1e9


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the file system refuses into a message.

    Raises:
        DataError: an OSError came up inside.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write the cache in {place}: {error.strerror or error};"
            " make room there or set TRELLIS_CACHE to another folder"
        ) from error


def check_room(place: Path, needed: float, what: str, instead: str = "") -> None:
    """Refuse what the disk of the folder `place` cannot take, before hours of work.

    What killed processes left takes no room: it is removed before the disk is asked.

    Args:
        place: A folder that is there.
        needed: Bytes that are to be written.
        what: What they are, in the plural.
        instead: What else may help, beside more room.

    Raises:
        DataError: more bytes are needed than are free.
    """
    sweep()
    with writing(place):
        disk = shutil.disk_usage(place)
    if disk.total and needed > disk.free:  # some file systems tell nothing, not even their size
        raise DataError(
            f"{what} take {shown(needed)}, and the disk of {place} has {shown(disk.free)} free; "
            f"make room there or set TRELLIS_CACHE to another folder{instead}"
        )


def growth(needed: float) -> float:
    """Return by how many bytes the cache grows with `needed` more: beyond its limit others go."""
    held = sum(folder.bytes for folder in _folders())
    return min(needed, max(0.0, limit_bytes() - held))


def shown(size: float) -> str:
    """Return a number of bytes in GB, or in MB where it is smaller, for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def sync(file: BinaryIO) -> None:
    """Close a file whose bytes are on the disk, so that a rename never outruns them."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def put(new: Path, final: Path) -> None:
    """Move a whole folder to its place; what was there is removed with the scratch folder."""
    if final.exists():
        final.rename(new.with_name(f"old-{new.name}"))
    new.rename(final)


@contextmanager
def scratch(place: Path, group: str) -> Iterator[Path]:
    """Give a folder in `place`, and remove it with all that was not moved out of it."""
    folder = place / f"{group}.tmp-{uuid.uuid4().hex[:8]}"
    with writing(place):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(place: Path, group: str, waiting: str, progress: "Progress") -> Iterator[None]:
    """Hold the lock of a group.

    While another process holds it, `progress` hears `waiting` with the seconds waited.
    """
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = acquired(_lock_path(place, group), waiting, progress)
    with lock:
        _sweep(place, group)
        yield


def _lock_path(place: Path, group: str) -> Path:
    return place / f"{group}.lock"


def sweep() -> None:
    """Remove the scratch folders of dead processes in all places, without waiting for the rest."""
    for place in PLACES:
        _sweep(root() / place)


def _sweep(place: Path, held: str | None = None) -> None:
    """Remove the scratch folders of dead processes: those whose lock nobody else holds."""
    for folder in place.glob("*.tmp-*"):
        group = folder.name.split(".tmp-")[0]
        if group == held:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            with FileLock(_lock_path(place, group)).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):  # somebody works in it, or it belongs to another user
            continue


def touch(folder: Path) -> None:
    """Note that a folder is used now."""
    with contextlib.suppress(OSError):  # another user's, or gone: then there is nothing to note
        os.utime(folder / META)


@dataclass(frozen=True)
class _Folder:
    path: Path
    used: float
    bytes: int


def _folders() -> Iterator[_Folder]:
    for place in PLACES:
        for meta in (root() / place).glob(f"*/{META}"):
            with contextlib.suppress(OSError):  # removed meanwhile
                files = [path.stat() for path in meta.parent.iterdir()]
                yield _Folder(
                    meta.parent, meta.stat().st_mtime, sum(file.st_size for file in files)
                )


def check_there(found: Iterable[bool]) -> None:
    """Raise DataError if what was made just now is not there: another process pushed it out."""
    if not all(found):
        raise DataError(
            f"what was put into the cache {root()} was pushed out at once by another process; set "
            "TRELLIS_CACHE_GB higher, or run one study after the other"
        )


def trim(keep: Collection[Path] = ()) -> list[Path]:
    """Remove least recently used folders until the cache fits its limit; return which.

    Before, what killed processes left is removed. Folders in `keep` stay, and those that may not
    be removed. Arrays that a process has mapped stay readable there until it lets go.
    """
    sweep()
    found = sorted(_folders(), key=lambda folder: folder.used)
    excess = sum(folder.bytes for folder in found) - limit_bytes()
    removed, lately, now = [], [], time.time()
    for folder in found:
        if excess <= 0:
            break
        if folder.path not in keep and _remove(folder.path):
            if now - folder.used < _LATELY_S:  # it may have to be made again for the next trial
                lately.append(folder)
            removed.append(folder.path)
            excess -= folder.bytes
    if lately:
        _log.warning(
            "the limit of the cache in %s, %.1f GB, pushes out what was used within the hour "
            "(%s); set TRELLIS_CACHE_GB higher",
            root(),
            limit_bytes() / 1e9,
            f"{len(lately)} folders" if len(lately) > 1 else lately[0].path.name,
        )
    if excess > 0:
        _log.warning(
            "the cache in %s holds %.1f GB more than its limit, all of it in use or of another "
            "user; set TRELLIS_CACHE_GB higher",
            root(),
            excess / 1e9,
        )
    return removed


def _remove(folder: Path) -> bool:
    """Remove a folder so that nobody sees half of it, and tell if it is gone; two may try at once.

    One of another user may stay, under either name.
    """
    aside = folder.with_name(f"{folder.name}.tmp-{uuid.uuid4().hex[:8]}")
    with contextlib.suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return not folder.exists() and not aside.exists()
