"""What is known of a folder's images, kept in the cache: the next command decodes only new ones.

A file that changed has another inode, size or time. Where this is damaged, of another version or
cannot be written, images are decoded again: it costs time alone.
"""

import contextlib
import gzip
import hashlib
import json
import logging
import os
import platform
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import features

from trainables import store
from trainables.errors import DataError
from trainables.files import replace_file

FORMAT = 1  # raise it when the file changes, or what `Checked` says of the same image
# Each may decode a file to other pixels in another version: copies would not be found.
_DECODERS = ("jpg", "libjpeg_turbo", "jpg_2000", "libtiff", "zlib", "webp", "avif")
_UNUSED_S = 30 * 24 * 3600.0
# GzipFile raises the first three, its checksum included; the others come of other content.
_DAMAGE = (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError)

_log = logging.getLogger(__name__)

Stamp = tuple[int, ...]  # inode, bytes, times of change of the content and of the inode in ns


@dataclass(frozen=True, slots=True)
class Checked:
    """SHA-256 digests of a readable image: of its file, and of its size and decoded pixels.

    `shape` is [height, width, 3] as decoded, `most` the highest value of a 16-bit one (of colours
    the high byte is known, and the low one taken for full).
    """

    file: bytes
    pixels: bytes
    shape: tuple[int, ...]
    most: int | None = None


_Entries = dict[str, tuple[Stamp, Checked]]
# By folder, what could not be written: a command may open a folder several times.
_unkept: dict[str, _Entries] = {}


def stamp(path: Path) -> Stamp:
    """Return what changes with a file's content."""
    stat = os.stat(path)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class Known:
    """What is known of the readable images of one folder, by their paths relative to it."""

    def __init__(self, root: Path) -> None:
        """Read what earlier commands have kept."""
        self._root = os.path.realpath(root)
        self._entries = _unkept.get(self._root) or _read(self._root)
        self._changed = False

    def get(self, path: str, now: Stamp) -> Checked | None:
        """Return what is known of an image whose stamp is `now`."""
        then, checked = self._entries.get(path, (None, None))
        if then is not None and then != now:
            self._entries.pop(path)
            self._changed = True
        return checked if then == now else None

    def add(self, path: str, now: Stamp, checked: Checked) -> None:
        """Note what an image is. Threads may call it."""
        self._entries[path] = now, checked
        self._changed = True

    def keep(self, paths: Iterable[str]) -> None:
        """Write what is known of `paths`, all the images there are, where that is new."""
        there = {path: self._entries[path] for path in paths if path in self._entries}
        if not self._changed and len(there) == len(self._entries):
            return
        try:
            _write(self._root, there)
            _unkept.pop(self._root, None)
        except (OSError, DataError) as error:
            _log.info("what is known of %s is not kept: %s", self._root, error)
            _unkept[self._root] = there


def forget(root: Path) -> None:
    """Let go of what is known of a folder, since it was wrong."""
    _unkept.pop(os.path.realpath(root), None)
    with contextlib.suppress(OSError, DataError):
        _file(os.path.realpath(root)).unlink()


def _place() -> Path:
    return store.root() / "folders"


def _file(root: str) -> Path:
    return _place() / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.gz"


def _head() -> list[object]:
    """Return what must be the same for digests of pixels to be comparable."""
    versions = [features.version(name) for name in _DECODERS]
    return [FORMAT, platform.machine(), PIL.__version__, *versions]


def _read(root: str) -> _Entries:
    try:
        file = _file(root)
        with gzip.open(file, "rt", encoding="ascii") as lines:
            if json.loads(lines.readline()) != _head():
                return {}
            entries = dict(map(_entry, lines))  # to the end, where the checksum is
        with contextlib.suppress(OSError):  # a cache that may be read only
            os.utime(file)
        return entries
    except FileNotFoundError:
        return {}
    except (*_DAMAGE, DataError) as error:
        _log.info("what is known of %s cannot be read: %s", root, error)
        return {}


def _entry(line: str) -> tuple[str, tuple[Stamp, Checked]]:
    path, then, file, pixels, shape, most = json.loads(line)
    checked = Checked(bytes.fromhex(file), bytes.fromhex(pixels), tuple(shape), most)
    return path, (tuple(then), checked)


def _write(root: str, entries: _Entries) -> None:
    def write(aside: Path) -> None:
        with gzip.open(aside, "wt", compresslevel=1, encoding="ascii") as lines:
            lines.write(json.dumps(_head()) + "\n")
            for path, (then, each) in entries.items():
                told = (path, then, each.file.hex(), each.pixels.hex(), each.shape, each.most)
                lines.write(json.dumps(told) + "\n")

    replace_file(_file(root), write)
    _sweep()


def _sweep() -> None:
    """Remove what was not used for a month: the limit of the cache is for what is large."""
    for file in _place().glob("*.gz"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if time.time() - file.stat().st_mtime > _UNUSED_S:
                file.unlink()
