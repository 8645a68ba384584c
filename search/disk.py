"""A full disk: how it shows in errors, and what the user is told to free."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from trainables.errors import DataError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# torch writes from C++ and drops the system's error number.
_TORCH_WRITER = ("inline_container.cc", "PytorchStreamWriter failed writing", "unexpected pos")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from, latest first."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        yield at
        seen.append(at)
        at = at.__cause__ or at.__context__


def is_full(error: BaseException) -> bool:
    """Tell whether an error, or one that it came from, means that a disk or a quota is full.

    Not of the data's or the cache's disk: a `DataError` names that itself.
    """
    for each in causes(error):
        if isinstance(each, DataError):
            return False
        if isinstance(each, OSError) and each.errno in _FULL:
            return True
        if isinstance(each, RuntimeError) and any(text in str(each) for text in _TORCH_WRITER):
            return True
    return False


def what_to_free(error: BaseException, folder: Path) -> str:
    """Return which disk is full and what may go, in one line; `folder` is the study's.

    The full disk is that of the file in the error, where it names one.
    """
    names = (e.filename for e in causes(error) if isinstance(e, OSError))
    named = next((str(name) for name in names if isinstance(name, str)), None)
    place = Path(named).parent if named else folder
    try:
        left = f" ({shutil.disk_usage(place).free / 1e6:.1f} MB free)"
    except OSError:
        left = ""
    what = ""
    if place.is_relative_to(folder.parent):
        what = f", such as studies no longer needed in {folder.parent}"
    return f"the disk of {place} is full{left}; free some of it{what}"
