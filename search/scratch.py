"""Folders that a process needs while it lives; the next process removes those of killed ones.

Each holds a file that is locked as long as its process lives. Only folders with such a file, of
this user and this machine, are ever removed by another process.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

PREFIX = "trellis-"
LOCK = "process.lock"


def scratch_folder(place: str) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder in `place`, after removing there what killed processes left.

    It goes when this process ends. If that is killed, and `place` has a file system with locks,
    it goes with the next call there.

    Raises:
        OSError: nothing can be made in `place`.
    """
    remove_dead(Path(place).glob(f"{PREFIX}*"))
    folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True)
    hold(Path(folder.name))  # never closed: the system frees the lock when this process ends
    return folder


def remove_dead(folders: Iterable[Path]) -> None:
    """Remove those of the folders that a process held which is no more."""
    for folder in folders:
        # Another user's, of a living process, without our file, or gone meanwhile.
        with contextlib.suppress(OSError):
            _remove_if_dead(folder)


def hold(folder: Path) -> int | None:
    """Put a locked file into the folder; return its descriptor, which frees it when closed.

    It has its name from the moment on that it is locked. Without locks, None: there is no such
    file, and nobody else will remove the folder.

    Raises:
        OSError: the file cannot be made, or is there already.
    """
    new = folder / f"{LOCK}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    os.write(descriptor, _machine())
    new.rename(folder / LOCK)
    return descriptor


def _machine() -> bytes:
    """Return this machine's name: some file systems that machines share lock on each alone."""
    return os.fsencode(socket.gethostname())


def _remove_if_dead(folder: Path) -> None:
    """Remove a folder whose lock is free; raise OSError if it is not, or is no folder of ours."""
    if not _is_ours(folder.lstat(), stat.S_IFDIR):
        return
    lock = folder / LOCK
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not _is_ours(found, stat.S_IFREG) or os.read(descriptor, 1024) != _machine():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(found, lock.lstat()):  # not that of another in its place
            _remove(folder)
    finally:
        os.close(descriptor)


def _is_ours(found: os.stat_result, kind: int) -> bool:
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.getuid()


def _remove(folder: Path) -> None:
    """Remove a folder, its lock at last: what cannot be removed now is tried again."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    shutil.rmtree(folder)
