"""Do the machines of a cluster train with the same code? They compare digests of it.

On machines that were set up one by one, one of them may have an older copy of this project, or
another torch: its trials would be of another kind, and nothing would say so.
"""

import functools
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

_PACKAGES = ("search", "spaces", "trainables")
_LIBRARIES = ("torch", "numpy", "pillow")  # the last makes the pixels
_ROOT = Path(__file__).parents[1]


class OtherCode(Exception):
    """This machine would train another study than the driver's; says what differs."""


@functools.cache
def code_here() -> dict[str, str]:
    """Return the digest of every file of code, and the versions of what it computes with."""
    return {**digests(_ROOT), **{name: _version(name) for name in _LIBRARIES}}


def digests(root: Path, packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the first 8 hex digits of the SHA-256 of each file of the packages, by its path.

    Hidden folders are passed over: editors keep copies there.
    """
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    }


def _version(name: str) -> str:
    """Return a version without its build (`+cpu`); "" where it is not installed."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_code(expected: Mapping[str, str] | None) -> None:
    """Compare with what the driver has; None, on one machine, with nothing.

    Raises:
        OtherCode: they differ.
    """
    if expected is None:
        return
    here = code_here()
    differing = sorted(n for n in {*expected, *here} if expected.get(n) != here.get(n))
    if differing:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise OtherCode(
            f"has other code than the driver: {differing[0]}{more}; bring this project and its "
            "packages there up to date, and remove what is left of older ones"
        )
