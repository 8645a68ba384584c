"""What a study's folder may hold: plain files and folders, so that all is written inside it.

A study can come from elsewhere. A link in it would make writing, cutting off a torn line or
removing old checkpoints reach files outside.
"""

import contextlib
import os
from pathlib import Path

from search.errors import UsageError


def check_plain(root: Path) -> None:
    """Refuse a study with a symbolic link, a pipe or a device anywhere below `root`.

    It may be running: what is removed meanwhile is passed over.

    Raises:
        UsageError: the first such path, and what to do.
    """
    waiting = [root]
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) and os.path.lexists(entry):
                    what = "a link" if entry.is_symlink() else "neither file nor folder"
                    raise UsageError(
                        [
                            f"{entry.path} is {what}; a study holds plain files only: "
                            "put what it stands for there, or remove it"
                        ]
                    )
