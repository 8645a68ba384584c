"""Bringing a study from a store into the folder in which its driver is to go on with it."""

import contextlib
import shutil
from pathlib import Path

from search.lease import PREFIX
from search.manifest import created_of
from search.remote import Remote
from search.snapshot import JOURNAL, Stamp, stamp_of
from search.trial_files import MARK, is_marked


def take_in(remote: Remote, folder: Path) -> tuple[dict[str, Stamp], str]:
    """Make `folder` the study as it stood last; its lease must be held.

    What a killed driver left there stays where it is ahead of the store: the same study, with a
    journal that begins with the store's. Files are fetched whole or not at all, the journal last,
    so that a kill in between leaves what is fetched anew.

    Returns:
        What the store holds as `folder` does, and a note for the user or "".

    Raises:
        StoreFailed: the store does not answer.
    """
    entries = remote.entries()
    note = _make_room(remote, folder)
    for name in entries:
        if is_marked(remote, name, entries):  # trained elsewhere since it was trained here
            shutil.rmtree(folder / name.rpartition("/")[0], ignore_errors=True)
    same = {}
    for name in sorted(entries, key=lambda each: (each == JOURNAL, each)):
        if name.startswith(PREFIX) or (folder / name).exists():
            continue
        if remote.fetch(name, folder / name):  # else it has just gone
            same[name] = stamp_of(folder / name)
    for name in entries:
        if name.endswith(f"/{MARK}"):  # no worker is left: from now on the folder here is right
            remote.remove(name)
            (folder / name).unlink(missing_ok=True)
            same.pop(name, None)
    return same, note


def _make_room(remote: Remote, folder: Path) -> str:
    """Remove what is in the folder, unless it is ahead of the store."""
    there, journal = remote.read("study.json"), remote.read(JOURNAL) or b""
    with contextlib.suppress(OSError):
        here = (folder / "study.json").read_bytes()
        mine = (folder / JOURNAL).read_bytes()
        if created_of(here) == created_of(there or b"") and mine.startswith(journal):
            return ""
    behind = (folder / JOURNAL).exists()
    shutil.rmtree(folder, ignore_errors=True)
    return f"{folder} was behind {remote.uri}: it is fetched anew" if behind else ""
