"""A study whose results lie in a store: its driver works in a folder here, and this mirrors it.

In one thread, at most every few seconds, so that trials do not wait. In the store, too, the
journal comes before all that follows from it: no table there tells more than the journal does. And
weights come before the journal that tells how good they are: whenever a kill comes, the best
trial's are there.
"""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from search.errors import StudyFailed
from search.interrupts import EndEarly
from search.lease import Lease
from search.remote import Entry, Remote, StoreFailed
from search.snapshot import JOURNAL, Stamp, snapshot, stamp_of, upload, whole_lines
from search.trial_files import MARK, NOTES, OWNER, is_marked, trial_place
from trainables.files import replace_file

BEST = "best.pt"
EVERY_S = 5.0
# Of a slow connection, copying takes at most this part of the time: the rest is the trials'.
_SHARE = 0.25
# At the end, and where the driver itself waits, a store may be out of reach for so long.
PATIENCE_S = 60.0
_PAUSE_S = 2.0
_TRIES = 5  # to put weights that change meanwhile


class Mirror:
    """Keeps `remote` as `folder` is, from `start` until `close`. The lease is taken already.

    `elsewhere` says that workers may run on machines that do not see the folder; these keep their
    trials' folders in the store themselves.
    """

    def __init__(
        self,
        folder: Path,
        remote: Remote,
        lease: Lease,
        say: Callable[[str], None],
        elsewhere: bool,
        known: dict[str, Stamp],
    ) -> None:
        """Begin with `known`, the files of which the store holds what is here."""
        self.folder = folder
        self.token = secrets.token_hex(8)
        self.remote = remote
        self.elsewhere = elsewhere
        self._lease = lease
        self._say = say
        self._known = {name: stamp for name, stamp in known.items() if name != JOURNAL}
        self._journal = -1  # bytes of it in the store
        self._there: Mapping[str, Entry] = {}  # of trials, in the store, when the round began
        self._noted: dict[str, object] = {}
        self._ended: list[int] = []
        self.still = threading.Lock()  # held while a trial's folder here becomes as it stays
        self._failure: StudyFailed | None = None
        self._over, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def start(self) -> None:
        """Put what there is, so that a study that has begun can be found; then follow it.

        Raises:
            StudyFailed: the store cannot be written to for a minute.
        """
        (self.folder / OWNER).write_text(self.token, encoding="utf-8")
        patiently(self._round)
        self._thread.start()

    @property
    def for_workers(self) -> dict[str, str] | None:
        """What workers that may not see the folder here need to know; None if all see it."""
        return {"uri": self.remote.uri, "token": self.token} if self.elsewhere else None

    def changed(self) -> None:
        """Look, whenever there is something new, whether this driver may go on.

        Raises:
            StudyFailed: another driver has taken the study over.
        """
        if self._failure is not None:
            raise self._failure

    def bring(self, number: int, name: str) -> None:
        """Fetch a file of a trial that ran on a machine which does not see the folder here.

        Raises:
            StudyFailed: the store does not answer for a minute.
        """
        if not self.elsewhere:
            return
        place = trial_place(number)

        def fetch() -> None:
            if self.remote.entry(f"{place}/{MARK}") is not None:
                self.remote.fetch(f"{place}/{name}", self.folder / place / name)

        patiently(fetch)

    def ended(self, number: int) -> None:
        """Note that a trial's folder is as it stays, the store's to become so; `still` is held."""
        if self.elsewhere:
            self._ended.append(number)

    def close(self) -> None:
        """Put all that is left, and give the study up.

        Raises:
            StudyFailed: not all of it could be put; it stays in the folder here.
        """
        if self._closed:
            return
        self._closed = True
        self._over.set()
        if self._thread.ident is None:  # nothing has begun
            return self._lease.release()
        try:
            self._thread.join()
            self.changed()
            patiently(self._last_round)
            patiently(self._lease.release)
        except StoreFailed as error:
            self._lease.stop()
            raise StudyFailed(f"{error}; {self._left()}") from error
        except (EndEarly, KeyboardInterrupt):  # whoever cannot wait
            self._lease.stop()
            self._say(self._left())
            raise

    def _left(self) -> str:
        now = snapshot(self.folder, trials=False) | snapshot(self.folder, trials=True)
        new = (name for name, stamp in now.items() if self._known.get(name) != stamp)
        left = sum(not self._was_elsewhere(name) for name in new)
        alone = f"{left} files of the study are in {self.folder} alone"
        return f"{alone}: --resume on this machine puts them there"

    def _work(self) -> None:
        failing = False
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._lease.renew()
                self._round()
                if failing:
                    self._say(f"{self.remote.uri} can be written to again")
                failing = False
            except StoreFailed as error:
                if not failing:
                    self._say(f"cannot write to {error}; trying again, trials go on")
                failing = True
            except StudyFailed as error:  # taken over by another
                self._failure = error
                self._say(str(error))
                return
            except OSError as error:  # this machine's: told by who writes there
                self._say(f"cannot copy {error.filename}: {error.strerror}; trying again")
            took = time.monotonic() - began
            self._over.wait(max(EVERY_S, took * (1 / _SHARE - 1)))

    def _last_round(self) -> None:
        if not self._round():
            raise StoreFailed(f"{self.remote.uri}: files of the study change while they are put")

    def _round(self) -> bool:
        """Put what has changed, then remove what has gone; return whether all of it was put."""
        ended = list(self._ended)
        if self.elsewhere:
            self._there = self.remote.entries("trials")
        others = snapshot(self.folder, trials=False)  # the moments matter: tables first,
        journal = whole_lines(self.folder / JOURNAL)  # then the journal that they follow from,
        trials = snapshot(self.folder, trials=True)  # then the weights that it tells of
        manifest = {name: stamp for name, stamp in others.items() if name == "study.json"}
        whole = self._put(manifest) and self._put(trials)
        staged = self._stage_best(trials)
        if staged is None:  # a new best is on its way through the folder: once more, later
            return False
        if journal is not None and len(journal) != self._journal:
            self._lease.renew()
            self.remote.write(JOURNAL, journal)
            self._journal = len(journal)
        if staged:
            self.remote.copy(staged, BEST)
            self._known[BEST] = self._known[staged]
        whole = self._put(others) and whole
        if whole:  # what a trial leaves is not removed before the best model is there
            self._lease.renew()
            self._remove(self._known.keys() - others.keys() - trials.keys(), ended)
        if self.elsewhere:
            self._take_notes()
        return whole

    def _put(self, found: dict[str, Stamp]) -> bool:
        """Put files that are new or have changed; return False if one changed once more."""
        whole = True
        for name, stamp in found.items():
            if self._known.get(name) != stamp and not self._is_elsewhere(name):
                whole = self._upload(name, stamp) and whole
        return whole

    def _upload(self, name: str, stamp: Stamp) -> bool:
        """Put a file as it was; of a trial's best weights newer ones will do.

        The checkpoint, which comes after them, and the journal tell that there are some. A worker
        replaces them at any moment: a slow connection could miss them in every round.
        """
        for _ in range(_TRIES if name.endswith(f"/{BEST}") else 1):
            self._lease.renew()
            if upload(self.remote, self.folder / name, name, stamp):
                self._known[name] = stamp
                return True
            with contextlib.suppress(FileNotFoundError):  # gone: it is seen next time
                stamp = stamp_of(self.folder / name)
        return False

    def _stage_best(self, trials: dict[str, Stamp]) -> str | None:
        """Put a new best.pt under its trial's name; return that name, "" if there is no new one.

        A driver that ends before the journal is put has no such best trial yet; after one that
        ends later, a resume finds the weights with the trial, as on a disk. None: not to be had.
        """
        path = self.folder / BEST
        try:
            stamp = stamp_of(path)
            number = json.loads((self.folder / "best.json").read_bytes())["trial"]
        except FileNotFoundError:
            return ""
        name = f"{trial_place(number)}/{BEST}"
        if self._known.get(BEST) == stamp or name in trials:
            return ""
        self._lease.renew()
        if (self.folder / name).exists() or not upload(self.remote, path, name, stamp):
            return None
        self._known[name] = stamp
        return name

    def _remove(self, gone: set[str], ended: list[int]) -> None:
        for name in gone:
            if not self._is_elsewhere(name):
                self.remote.remove(name)
            del self._known[name]
        for number in ended:
            self._clear(number)
        del self._ended[: len(ended)]

    def _is_elsewhere(self, name: str) -> bool:
        """Tell whether a trial's file is kept in the store by a worker: ours is an older one.

        A worker may have taken the trial since the round began: of others the store is asked, for
        each file. Of notes that came from there, of hundreds of trials, it is not.
        """
        return self.elsewhere and (self._was_elsewhere(name) or is_marked(self.remote, name))

    def _was_elsewhere(self, name: str) -> bool:
        return is_marked(self.remote, name, self._there)

    def _clear(self, number: int) -> None:
        """Remove of an ended trial in the store what is not kept here."""
        place = trial_place(number)
        for name in self.remote.entries(place):
            if not (self.folder / name).exists():
                self.remote.remove(name)

    def _take_notes(self) -> None:
        """Fetch what workers elsewhere say of their trials: what they do, and on which machine."""
        for name, entry in self._there.items():
            place, _, base = name.rpartition("/")
            told = base in NOTES and f"{place}/{MARK}" in self._there
            if told and self._noted.get(name) != entry:
                content = self.remote.read(name)
                with self.still:  # the trial may have ended since the round began
                    if content is not None and place not in map(trial_place, self._ended):
                        replace_file(self.folder / name, partial(Path.write_bytes, data=content))
                        self._noted[name] = entry


def patiently(work: Callable[[], object]) -> None:
    """Do `work`, again and again while the store does not answer.

    Raises:
        StoreFailed: what it raised last, after `PATIENCE_S`.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            work()
        except StoreFailed:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
