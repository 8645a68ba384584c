"""A trial's folder as its worker sees it: the driver's own, or a copy that is kept in a store.

A worker on a machine that does not see the driver's folder keeps its trials' folders in the store
of the study: it fetches one when it takes the trial, and puts what is new after every epoch.
"""

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from search.disk import is_full
from search.doing import NAME as DOING_NAME
from search.doing import Doing
from search.folder import ERROR_NAME
from search.kills import NOTE_NAME
from search.places import mirror_of
from search.remote import Remote, StoreFailed
from search.scratch import LOCK, hold, remove_dead
from search.trial_log import NAME as LOG_NAME
from search.trial_log import TrialLog
from trainables.data.source import Progress
from trainables.files import stands_for

# In the store, beside a trial's files: a worker keeps them there itself, and the driver's copy is
# older. In the driver's folder: a word by which a worker knows that it sees that folder.
MARK = "elsewhere"
OWNER = ".driver"
# What the driver wants to know of a trial that runs elsewhere.
NOTES = (DOING_NAME, NOTE_NAME, ERROR_NAME, LOG_NAME)
_CHECKPOINT = "checkpoint.pt"
_TELL_S = 30.0
# Putting a checkpoint may take a tenth of the time at most.
_SHARE = 0.1
# A store may be out of reach for so long, or refuse, or find a disk here full, for so long.
PATIENCE_S = 600.0
_REFUSED_S = 18.0
_PAUSE_S = 3.0
_LONGEST_S = 30.0


def trial_place(number: int) -> str:
    """Return the name of a trial's folder in its study."""
    return f"trials/{number}"


def is_marked(remote: Remote, name: str, names: Collection[str] | None = None) -> bool:
    """Tell whether a worker keeps the file `name` in the store itself; `names` are those there."""
    parts = name.split("/")
    if parts[0] != "trials" or len(parts) < 3:
        return False
    mark = f"{parts[0]}/{parts[1]}/{MARK}"
    return remote.entry(mark) is not None if names is None else mark in names


class TrialFiles:
    """The folder of one trial in a worker; `path` is where it is on this machine."""

    def __init__(self, job: dict[str, Any], number: int) -> None:
        """Find the folder. `job` has the driver's "folder" and "store", which may be None."""
        store: dict[str, str] = job.get("store") or {}
        root = Path(job["folder"])
        self._place = trial_place(number)
        self._uri = store.get("uri", "")
        self._away = bool(store) and not _holds(root / OWNER, store["token"])
        self.path = (mirror_of(self._uri, "trials") if self._away else root) / self._place
        self._known: dict[str, tuple[int, int]] = {}
        self._free = self._told = self._logged = time.monotonic()
        self._held: int | None = None

    def begin(self) -> None:
        """Have the trial as it was left last, here or elsewhere.

        Raises:
            StoreFailed: the store does not answer for `PATIENCE_S`, or refuses.
        """
        if self._uri:
            self._try(self._fetch)
        if self._away:
            self._hold()

    def _hold(self) -> None:
        """Remove what killed workers of this machine left, of any study, and hold the folder."""
        remove_dead(self.path.parents[2].glob("*/trials/*"))
        with contextlib.suppress(OSError):  # a full disk is told when the trial writes
            self.path.mkdir(parents=True, exist_ok=True)
            self._held = hold(self.path)

    @functools.cached_property
    def _remote(self) -> Remote:
        return Remote(self._uri)

    def _fetch(self) -> None:
        remote, mark = self._remote, f"{self._place}/{MARK}"
        if self._away:  # first: from now on the driver puts nothing of the trial
            remote.write(mark, b"")
        entries = remote.entries(self._place)
        if mark not in entries:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        for name in entries.keys() - {mark}:
            path = self.path / Path(name).name
            if remote.fetch(name, path):  # else it has just gone
                self._known[path.name] = _stamp(path)
        if not self._away:
            remote.remove(mark)

    def keep(self, last: bool = False) -> None:
        """Put what is new into the store, before an epoch is reported; the driver may need it.

        A checkpoint goes if there is time for it, and not if it is the `last` thing to be done.

        Raises:
            StoreFailed: the store does not answer for `PATIENCE_S`, or refuses.
        """
        if self._away:
            self._try(lambda: self._put(last))

    def _put(self, last: bool) -> None:
        began = time.monotonic()
        for path in sorted(self.path.iterdir() if self.path.is_dir() else ()):
            ours = path.name == MARK or path.name.startswith(LOCK)
            if stands_for(path.name) is None and not ours:
                if path.name == _CHECKPOINT and (last or began < self._free):
                    continue
                if path.name == LOG_NAME and not (last or self._tells(began)):
                    continue
                self._put_file(path)
                if path.name == _CHECKPOINT:
                    ended = time.monotonic()
                    self._free = ended + (ended - began) / _SHARE

    def _tells(self, now: float) -> bool:
        """Whether the log, which grows with every epoch, is due: it costs a request each time."""
        if LOG_NAME in self._known and now - self._logged < _TELL_S:
            return False
        self._logged = now
        return True

    def _put_file(self, path: Path) -> None:
        stamp = _stamp(path)
        if self._known.get(path.name) != stamp:
            with path.open("rb") as file:
                self._remote.put(f"{self._place}/{path.name}", file, stamp[0])
            self._known[path.name] = stamp

    def telling(self, progress: Progress) -> Progress:
        """Return a progress that also puts its line into the store now and then."""

        def told(what: str, done: int, total: int | None) -> None:
            progress(what, done, total)
            if self._away and time.monotonic() - self._told > _TELL_S:
                self._told = time.monotonic()
                with contextlib.suppress(StoreFailed):  # told by what matters, not by this
                    self._put_file(self.path / DOING_NAME)

        return told

    def end(self) -> None:
        """Remove what is here of a trial that is kept in the store."""
        if self._away:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _try(self, work: Callable[[], None]) -> None:
        """Do `work`, again and again while the store does not answer, with signs of life."""
        began, pause = time.monotonic(), _PAUSE_S
        while True:
            try:
                return work()
            except StoreFailed as error:
                waited = time.monotonic() - began
                hopeless = error.refused or is_full(error)
                if waited >= (_REFUSED_S if hopeless else PATIENCE_S):
                    raise
                if pause == _PAUSE_S:
                    TrialLog(self.path).add(f"waiting for the store: {error}")
                waiting = "waiting for the store (seconds)"
                Doing(self.path)(waiting, round(waited), round(PATIENCE_S))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_S)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _holds(path: Path, token: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == token
    except (OSError, ValueError):
        return False
