"""A study that lies in a store, as reading commands see it: a copy here, renewed at each look."""

import os
import shutil
from pathlib import Path

from search.confirmed import CSV_NAME, JSON_NAME
from search.folder import BEFORE, CHOSEN, ERROR_NAME
from search.lease import PREFIX
from search.manifest import created_of
from search.places import below, mirror_of
from search.remote import Entry, Remote

_MANIFEST = "study.json"
_WEIGHTS = ".pt"
# What a driver or search.confirm writes and may be gone again; the rest of a copy is its reader's.
_OF_THE_STUDY = (
    *("journal.log", "trials.csv", "curves.csv", "best.json", "best.pt", *CHOSEN, *BEFORE),
    *("trials.before.csv", "curves.before.csv", CSV_NAME, JSON_NAME, "test_opened.json"),
    *("evaluation.json", "transfer.json", ERROR_NAME, "mlflow.json"),
)


def fetched(place: str, name: str, weights: bool = True) -> Path | None:
    """Return a folder with the study `name` of a store, None if there is none.

    Not in it: the folders of its trials, and, unless `weights`, its models. It is no driver's:
    nothing that is written there, such as a report, goes into the store.

    Raises:
        StoreFailed: the store does not answer.
    """
    remote = Remote(below(place, name))
    entries = remote.entries()
    if _MANIFEST not in entries:
        return None
    folder = mirror_of(place, "read") / name
    _forget_another(remote, folder)
    for file, entry in entries.items():
        wanted = not file.startswith(("trials/", PREFIX)) and (weights or not _is_model(file))
        path = folder / file
        if wanted and not _is_here(path, entry) and remote.fetch(file, path):  # else just gone
            os.utime(path, (entry.changed or 0.0, entry.changed or 0.0))
    nested = [f"confirm/{file}" for file in (_MANIFEST, *_OF_THE_STUDY)]
    for file in (*_OF_THE_STUDY, *nested):
        if file not in entries:
            (folder / file).unlink(missing_ok=True)
    return folder


def _forget_another(remote: Remote, folder: Path) -> None:
    """Remove the copy of another study of that name, which the store has no more."""
    here = folder / _MANIFEST
    if here.is_file() and created_of(here.read_bytes()) != created_of(
        remote.read(_MANIFEST) or b""
    ):
        shutil.rmtree(folder)


def studies(place: str) -> list[str]:
    """Return the names of the studies in a place of a store, in order.

    Raises:
        StoreFailed: the store does not answer.
    """
    return Remote(place).folders_with(_MANIFEST)


def _is_model(file: str) -> bool:
    return file.endswith(_WEIGHTS)


def _is_here(path: Path, entry: Entry) -> bool:
    """Tell whether a file here is that of the store, by its size and the time it was put."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    same = entry.changed is not None and abs(found.st_mtime - entry.changed) < 1e-3
    return same and found.st_size == entry.size
