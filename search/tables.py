"""A study's tables for other programs: trials and curves as CSV or Parquet, types kept."""

from functools import partial
from pathlib import Path

from search.errors import UsageError
from trainables.files import replace_file


def curves_path(path: Path) -> Path:
    """Return where the curves go that belong to the trials in `path`: beside it, as -curves."""
    return path.with_name(f"{path.stem}-curves{path.suffix}")


_COMPRESSED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before any work.

    Raises:
        UsageError: its folder is missing, it is a folder itself, or its name promises a
            compressed file.
    """
    if path.suffix.lower() in _COMPRESSED:
        raise UsageError([f"{path}: tables are not compressed; leave out {path.suffix}"])
    if not path.parent.is_dir():
        raise UsageError([f"{path}: there is no folder {path.parent}"])
    if path.is_dir():
        raise UsageError([f"{path} is a folder: name a file"])


def write_tables(folder: Path, path: Path, kind: str) -> list[Path]:
    """Write trials to `path` and curves beside it; return both paths.

    Both have the columns `study`, `data` and, where it needs any, `weights` in front, so that
    studies can be put together and what is not the real thing stays named.

    Raises:
        TrellisError: a table is missing or damaged.
    """
    from analysis.frames import read_curves, read_trials
    from analysis.table import origin

    written, told = [], origin(folder)
    for frame, target in (
        (read_trials(folder), path),
        (read_curves(folder), curves_path(path)),
    ):
        for at, (name, value) in enumerate({"study": folder.resolve().name, **told}.items()):
            frame.insert(at, name, value)
        write = frame.to_csv if kind == "csv" else frame.to_parquet
        replace_file(target, partial(write, index=False))
        written.append(target)
    return written
