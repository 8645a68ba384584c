"""What studies there are and how each stands: read from their folders, nothing is written."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.manifest import address_of, read_manifest
from search.plain import check_plain
from search.planned import trials_in_all
from trainables.errors import TrellisError

# A folder with one of these was a study once, however much of it is left.
_MARKS = ("study.json", "journal.log", "trials.csv")
# Of one whose driver may be on another machine, as of a copy: nobody here can tell.
EITHER = "running or unfinished"


@dataclass(frozen=True)
class Overview:
    """One study. `state` is running, unfinished, EITHER, finished or damaged; `reason` says why.

    What a damaged study no longer tells is "" or None. `age_s` counts from its beginning.
    """

    folder: Path
    state: str
    bytes: int
    reason: str = ""
    experiment: str = ""
    data: str = ""
    done: int | None = None  # trials that have ended
    trials: int | None = None  # in all
    best: float | None = None  # validation accuracy
    age_s: float | None = None


def study_folders(results: Path) -> list[Path]:
    """Return the folders of studies in `results`, by name; hidden ones are none."""
    if not results.is_dir():
        return []
    found = [path for path in results.iterdir() if not path.name.startswith(".")]
    return sorted(path for path in found if is_study(path))


def is_study(folder: Path) -> bool:
    """Tell whether a folder is a study, a damaged one included."""
    # What may not be looked into, or has too long a name, is none: those of Path would raise.
    return os.path.isdir(folder) and any(os.path.exists(folder / name) for name in _MARKS)


def by_name(folder: Path) -> Path:
    """Return a folder by a path that ends with its name, which . and .. have not."""
    return folder if folder.name not in ("", "..") else folder.resolve()


def overview(folder: Path) -> Overview:
    """Look at a study; one that is damaged is told, not raised."""
    size = bytes_of(folder)
    try:
        check_plain(folder)  # a pipe would be read for ever
        manifest = read_manifest(folder / "study.json")
        total = _planned(folder / "study.json", manifest)
        done, best = _trials(folder)
        _check_journal(folder / "journal.log")
    except (TrellisError, OSError) as error:
        return Overview(folder, "damaged", size, str(error).splitlines()[0])
    left = "unfinished" if address_of(manifest) == "local" else EITHER
    state = "finished" if done >= total else left
    return Overview(
        folder,
        "running" if is_driven(folder) else state,
        size,
        experiment=manifest["experiment"],
        data=str(manifest["data"]["kind"]),
        done=done,
        trials=total,
        best=best,
        age_s=_age_s(manifest.get("created")),
    )


def _planned(path: Path, manifest: Mapping[str, Any]) -> int:
    """Return how many trials the study of a study.json at `path` has when it ends.

    Raises:
        TrellisError: its plan, which the space is asked with, is none.
    """
    try:
        return trials_in_all(manifest)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise TrellisError(f"{path} is damaged: its plan cannot be read: {error!r:.80}") from None


def _trials(folder: Path) -> tuple[int, float | None]:
    """Return how many trials have ended, and the best validation accuracy."""
    from analysis.frames import read_trials
    from analysis.summary import best

    if not (folder / "trials.csv").exists():  # a study that has just begun
        return 0, None
    trials = read_trials(folder)
    first = best(trials, 1)
    accuracy = None if first.empty else float(first["val_accuracy"].iloc[0])
    return int((trials["status"] != "running").sum()), accuracy


def _check_journal(path: Path) -> None:
    """Raise TrellisError for a journal that a study could not go on from, as far as lines tell."""
    from search.journal import check_lines

    content = path.read_bytes() if path.exists() else b""
    if not content and (path.parent / "trials.csv").exists():
        raise TrellisError(f"{path} is missing or empty, though the study has trials")
    check_lines(path, content)


def _age_s(created: Any) -> float | None:
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    except (TypeError, ValueError):
        return None


def is_driven(folder: Path) -> bool:
    """Tell whether a driver holds a study's journal: asked of the kernel, nothing is changed."""
    try:
        # Nor does a pipe without a writer hold up who looks.
        descriptor = os.open(folder / "journal.log", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Shared, and for an instant: two who look do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, on which no study begins
        return False
    finally:
        os.close(descriptor)
    return False


def bytes_of(folder: Path) -> int:
    """Return the bytes that a folder takes on disk; links are counted, not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:  # a running study replaces files
                continue
    return total


def age(seconds: float | None) -> str:
    """Return a time as it is said: "40 s", "12 min", "5 h", "3 d"; "" for None."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def size(count: float) -> str:
    """Return bytes as it is said: "12 kB", "3.4 MB", "1.2 GB"."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
