"""What a study's folder holds at one moment, and putting a file into a store as it was then."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from search.remote import Remote
from search.trial_files import OWNER
from trainables.files import stands_for

JOURNAL = "journal.log"
TRIALS = "trials"
# Written to at their ends: what was there at the moment is still there later.
_GROWING = ("curves.csv", "tfevents")
# Of a trial, weights go before the checkpoint that says that they are there.
_ORDER = {"study.json": 0, "checkpoint.pt": 2}


class Stamp(NamedTuple):
    """Tells a file's content from an older one."""

    inode: int
    size: int
    changed_ns: int


def snapshot(folder: Path, trials: bool) -> dict[str, Stamp]:
    """Return the files of a study by name, in the order to be put.

    Either those of its trials, or all others but the journal: the two belong to different moments.
    """
    found = {}
    for place, folders, names in os.walk(folder / TRIALS if trials else folder):
        if Path(place) == folder:
            folders[:] = [each for each in folders if each != TRIALS]
        for name in names:
            path = Path(place, name)
            if path in (folder / OWNER, folder / JOURNAL) or stands_for(name) is not None:
                continue
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                found[path.relative_to(folder).as_posix()] = stamp_of(path)
    return dict(sorted(found.items(), key=lambda each: (_ORDER.get(Path(each[0]).name, 1), each)))


def whole_lines(path: Path) -> bytes | None:
    """Return all whole lines of a file; None if there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content[: content.rfind(b"\n") + 1]


def upload(remote: Remote, path: Path, name: str, stamp: Stamp) -> bool:
    """Put a file as it was at the moment of `stamp`; False if that is no more to be had."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        now = _stamp(os.fstat(file.fileno()))
        grown = (
            any(each in path.name for each in _GROWING)
            and now.inode == stamp.inode
            and now.size >= stamp.size
        )
        if now != stamp and not grown:
            return False
        remote.put(name, file, stamp.size)
    return True


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file."""
    return _stamp(path.lstat())


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
