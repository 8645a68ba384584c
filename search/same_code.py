"""Do the machines of a cluster train with the same code? A digest of it, which they compare.

On machines that were set up one by one, one of them may have an older copy of this project, or
another torch: its trials would be of another kind, and nothing would say so.
"""

import functools
import hashlib
import importlib.metadata
from pathlib import Path

_PACKAGES = ("search", "spaces", "trainables")
_LIBRARIES = ("torch", "numpy")
_ROOT = Path(__file__).parents[1]


@functools.cache
def code_digest() -> str:
    """Return what is the same where the code and the versions of what it computes with are."""
    return digest_of(_ROOT, [importlib.metadata.version(name) for name in _LIBRARIES])


def digest_of(root: Path, versions: list[str]) -> str:
    """Return the digest of the packages in `root`; builds (`+cpu`) of a version do not matter."""
    whole = hashlib.sha256(repr([each.partition("+")[0] for each in versions]).encode())
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            whole.update(repr(path.relative_to(root).parts).encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
