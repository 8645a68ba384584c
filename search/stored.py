"""A driver's hold on a study in a store: its lease, and its folder here brought up to date."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from search.errors import StudyTaken
from search.folder import STUDY_THERE
from search.lease import Lease
from search.mirror import Mirror
from search.progress import say
from search.remote import Remote
from search.request import Request
from search.snapshot import Stamp
from search.take_in import take_in


@contextmanager
def mirrored(request: Request) -> Iterator[Mirror | None]:
    """Hold the study of a request while the block runs; None where it lies in a folder.

    Raises:
        StudyTaken: another driver has it, or has begun it meanwhile.
        StoreFailed: the store does not answer.
    """
    if request.uri is None or request.dry_run:
        yield None
        return
    remote = Remote(request.uri)
    lease = Lease(remote)
    lease.take()
    try:
        mirror = Mirror(
            request.folder, remote, lease, say, request.address != "local", _ready(request, remote)
        )
    except BaseException:
        lease.release()
        raise
    try:
        yield mirror
    finally:
        mirror.close()


def _ready(request: Request, remote: Remote) -> dict[str, Stamp]:
    """Bring the folder here up to date; return which of its files the store has."""
    if request.resume:
        say(f"fetching the study from {remote.uri} ...")
        known, note = take_in(remote, request.folder)
        if note:
            say(f"note: {note}")
        return known
    if remote.entry("study.json") is not None:  # since the command line was checked
        raise StudyTaken([f"--study {request.folder.name}: {STUDY_THERE}"])
    # Of a study that never came as far as the store, or is no more there.
    shutil.rmtree(request.folder, ignore_errors=True)
    return {}
