"""Files that are whole or absent: written aside, then renamed over the old one.

Folders may be shared with other machines, whose processes this one cannot see.
"""

import contextlib
import hashlib
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

# The process is in the extension: what stands before it goes into the files that torch writes.
_ASIDE = re.compile(r"\.(.+)\.part-([1-9][0-9]{0,8})")
# A file that is being written is younger, by far, wherever its process runs.
_STALE_S = 600.0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sums(path: Path) -> None:
    """Compare the checksums of a zip archive, as torch saves: `torch.load` compares none.

    Without this a flipped bit becomes a weight. What is no such archive has none.

    Raises:
        ValueError: a member has another one.
        BadZipFile: the archive is torn.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"wrong checksum of {damaged}")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Whatever ends this process, `path` holds the old content or the new one; after a loss of power
    that is so only if `write` syncs the file. The temporary file is this process's own. An error
    removes it; one left by a kill is removed ten minutes later by a call in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    aside = path.with_name(f".{path.name}.part-{os.getpid()}")
    # In a folder from elsewhere it may be a link, through which `write` would reach its target.
    aside.unlink(missing_ok=True)
    try:
        write(aside)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        raise


def replace_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8): old or new content even after a loss of power.

    What is no text, such as the bytes of a file's name in no UTF-8, is escaped.
    """

    def write(aside: Path) -> None:
        with aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    replace_file(path, write)


def stands_for(name: str) -> str | None:
    """Return the name of the file that a temporary file was to become; None for other files."""
    match = _ASIDE.fullmatch(name)
    return match[1] if match else None


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine, of any user, is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _sweep(folder: Path) -> None:
    """Remove temporary files of processes that are gone, once nobody writes to them any more."""
    for path in folder.glob(".*.part-*"):
        match = _ASIDE.fullmatch(path.name)
        if match and not is_alive(int(match[2])):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()
