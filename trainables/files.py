"""Files that are whole or absent: written aside, then renamed over the old one."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Whatever interrupts this, `path` holds the old content or the new one. A temporary file that
    an error leaves behind is removed; one left by a kill is overwritten by the next try.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        write(aside)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        raise


def replace_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8), atomically."""
    replace_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))
