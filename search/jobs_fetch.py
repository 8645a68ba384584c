"""Copies the study of a job from the cluster into a folder here, each file whole or not at all."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from search.errors import StudyFailed, UsageError
from search.jobs_client import Cluster
from search.manifest import created_of
from search.options import study_name
from trainables.errors import one_line
from trainables.files import replace_file

# Without these there is no study; the manifest is written last, so that all else is there with it.
_MANIFEST, _JOURNAL = "study.json", "journal.log"


def fetch(cluster: Cluster, details: Any, results: Path, tell: Callable[[str], None]) -> Path:
    """Copy the files of a job's study, but for its trials' folders; return where they are.

    Raises:
        UsageError: another study has the folder here, or this one went on here by itself; or its
            name is none.
        StudyFailed: the job has written no study.
    """
    folder = results / study_of(details)
    names = set(cluster.files(details)) if details.driver_node_id else set()
    if not {_MANIFEST, _JOURNAL} <= names:
        raise StudyFailed(f"job {details.submission_id} has written no study: nothing to fetch")
    manifest = _bytes(cluster, details, _MANIFEST)
    journal = _bytes(cluster, details, _JOURNAL)
    _check_same(folder, manifest, journal)
    for name in sorted(names - {_MANIFEST, _JOURNAL}):
        replace_file(folder / name, partial(_copy, cluster, details, name))
        tell(f"fetched {name}: {(folder / name).stat().st_size / 1e6:.1f} MB")
    replace_file(folder / _JOURNAL, lambda aside: aside.write_bytes(journal))
    replace_file(folder / _MANIFEST, lambda aside: aside.write_bytes(manifest))
    return folder


def study_of(details: Any) -> str:
    """Return the name of a job's study.

    Raises:
        UsageError: it is no plain name. The cluster's word is not to lead out of a folder here.
    """
    given = str(details.metadata["trellis_study"])
    try:
        return study_name(given)
    except ValueError as error:
        raise UsageError(
            [one_line(f"job {details.submission_id}: study {given}: {error}")]
        ) from None


def _bytes(cluster: Cluster, details: Any, name: str) -> bytes:
    content = io.BytesIO()
    cluster.read(details, name, content)
    return content.getvalue()


def _copy(cluster: Cluster, details: Any, name: str, aside: Path) -> None:
    with aside.open("wb") as file:
        cluster.read(details, name, file)


def _check_same(folder: Path, manifest: bytes, journal: bytes) -> None:
    """Refuse to write over anything but an earlier state of the same study."""
    if not (folder / _MANIFEST).exists():
        return
    created = [created_of(text) for text in ((folder / _MANIFEST).read_bytes(), manifest)]
    if created[0] != created[1]:
        raise UsageError([f"{folder} is another study; give another --results-dir"])
    if not journal.startswith((folder / _JOURNAL).read_bytes()):
        raise UsageError([f"{folder} went on here by itself; give another --results-dir"])
