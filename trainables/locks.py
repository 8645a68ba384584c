"""Locks between processes: the system frees one when its holder ends, by SIGKILL too."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:  # the arrays of that package are kept under such locks
    from trainables.data.source import Progress


def acquired(path: Path, waiting: str, progress: "Progress") -> AbstractContextManager[object]:
    """Return the lock of a file, held already; `with` frees it.

    While another process holds it, `progress` hears `waiting` with the seconds waited.

    Raises:
        OSError: the file cannot be written, or not be locked.
    """
    lock, waited = FileLock(path), 0
    while True:
        try:
            return lock.acquire(timeout=1)
        except Timeout:
            waited += 1
            progress(waiting, waited, None)
