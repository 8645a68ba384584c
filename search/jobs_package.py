"""The code that a job runs: a copy of our packages, without data, results and what git ignores."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.manifest import COMMIT_NAME, git_commit

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("analysis", "search", "spaces", "trainables")
# Whatever else lies in the packages is no code: caches, notebooks, files of an editor.
_SUFFIXES = {".py", ".csv"}


@contextmanager
def package(root: Path = _ROOT) -> Iterator[Path]:
    """Yield a folder with the packages' code and commit alone, which goes when the block ends.

    Ray sends a folder as it is. A copy of what belongs to the code stays small whatever lies
    beside it, and is right as well where the packages are installed without a checkout.
    """
    with tempfile.TemporaryDirectory(prefix="trellis-job-") as scratch:
        for name in _PACKAGES:
            for path in sorted((root / name).rglob("*")):
                if path.suffix in _SUFFIXES and path.is_file():
                    copy = Path(scratch, path.relative_to(root))
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
        commit = git_commit(root)
        if commit is not None:
            Path(scratch, COMMIT_NAME).write_text(commit, encoding="utf-8")
        yield Path(scratch)
