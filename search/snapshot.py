"""What a study's folder holds at one moment, and putting it into a store as it was then.

The moment comes before the journal is read: so no table, and no best model, is ahead of it there.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from search.remote import Remote
from search.trial_files import OWNER
from trainables.files import stands_for

JOURNAL = "journal.log"
# Written to at their ends: what was there at the moment is still there later.
_GROWING = ("curves.csv",)
# Of all others, weights go before the checkpoint that says that they are there.
_ORDER = {"study.json": 0, JOURNAL: 1, "checkpoint.pt": 3}


class Stamp(NamedTuple):
    """Tells a file's content from an older one."""

    inode: int
    size: int
    changed_ns: int


def snapshot(folder: Path) -> list[tuple[str, Stamp]]:
    """Return all files of a study, by names relative to `folder`, in the order to be put."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if name == OWNER or stands_for(name) is not None:
                continue
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                found.append((path.relative_to(folder).as_posix(), stamp_of(path)))
    return sorted(found, key=lambda each: (_ORDER.get(Path(each[0]).name, 2), each[0]))


def upload(remote: Remote, folder: Path, name: str, stamp: Stamp) -> bool:
    """Put a file as it was at the moment of `stamp`; False if that is no more to be had.

    Of a journal all whole lines are put, those since then too.
    """
    base = Path(name).name
    try:
        file = (folder / name).open("rb")
    except FileNotFoundError:
        return False
    with file:
        if base == JOURNAL:
            content = file.read()
            remote.write(name, content[: content.rfind(b"\n") + 1])
            return True
        now = _stamp(os.fstat(file.fileno()))
        grown = base in _GROWING and now.inode == stamp.inode and now.size >= stamp.size
        if now != stamp and not grown:
            return False
        remote.put(name, file, stamp.size)
    return True


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file."""
    return _stamp(path.lstat())


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
