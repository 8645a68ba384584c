"""Opening a study's journal: one writer at a time, a torn end cut off, damage refused.

A line that cannot be written whole is taken back, and the study ends there.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.errors import StudyFailed, StudyTaken, UsageError, being_run

STUDY_NAME = "trellis"
# Who looks whether a study runs holds its lock for an instant, too.
_TRIES, _BETWEEN_S = 4, 0.1
_LONGEST_VALUE = 4096  # bytes; a line with a value has about 150


class OwnedLock:
    """No lock of its own: `own` has already made this process the journal's only writer.

    Optuna's locks are files, which a killed driver leaves behind for 30 seconds.
    """

    def acquire(self) -> bool:
        """Always had."""
        return True

    def release(self) -> None:
        """Keep what `own` holds."""


class WholeLines(JournalFileBackend):
    """A journal to which lines are added whole or not at all.

    Optuna's own leaves what a full disk let through, and the next line would be joined to it.
    """

    def __init__(self, path: Path) -> None:
        """Add to `path`, which `own` has made this process's."""
        super().__init__(str(path), lock_obj=OwnedLock())  # type: ignore[arg-type]  # their base class is private
        self._path = path
        self._refusal = ""
        self._held: list[dict[str, Any]] | None = None
        self.grown = True  # since somebody cleared this

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Add the lines of this block at its end, in order: the disk is waited for once.

        Until then they are neither on disk nor seen by who reads the study.
        """
        self._held = []
        try:
            yield
        finally:  # an error takes back no line that was added before it
            held, self._held = self._held, None
            if held:
                self.append_logs(held)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, on disk when this returns, or when the block of `together` ends.

        Raises:
            StudyFailed: they cannot be written, or an earlier call could not.
        """
        if self._refusal:
            raise StudyFailed(self._refusal)
        if self._held is not None:
            self._held += logs
            return
        size = self._path.stat().st_size
        self.grown = True
        try:
            super().append_logs(logs)
        except BaseException as error:
            # Refused from now on: what Optuna holds in memory may be ahead of the file.
            self._refusal = f"{self._path} could not be written to its end; go on by --resume"
            with contextlib.suppress(OSError):  # `mend` cuts it off at the next start
                os.truncate(self._path, size)
            if isinstance(error, OSError):
                self._refusal = (
                    f"cannot write {self._path}: {error.strerror}; all before is kept: make room "
                    f"in {self._path.parent}, then go on by --resume"
                )
                raise StudyFailed(self._refusal) from error
            raise


class StudyStorage(JournalStorage):
    """Optuna's storage over a journal of whole lines."""

    def __init__(self, path: Path) -> None:
        """Read the journal at `path`."""
        self._lines = WholeLines(path)
        super().__init__(self._lines)
        self.together = self._lines.together

    def _sync_with_backend(self) -> None:
        """Read what was added. Optuna asks with every look at a trial, and opens the file."""
        if self._lines.grown:  # by this process: see `own`
            super()._sync_with_backend()
            self._lines.grown = False


def own(folder: Path) -> int:
    """Make this process the only driver of a study; the kernel takes that back when it dies.

    Returns the file descriptor that holds the lock; closing it gives the study up.

    Raises:
        StudyTaken: another process drives it.
        UsageError: the journal may not be written to, or its file system has no locks.
    """
    path = folder / "journal.log"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:  # read-only, or another user's
        raise UsageError([f"cannot write {path}: {error.strerror}"]) from None
    try:
        _lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise StudyTaken([being_run(folder.name)]) from None
    except OSError as error:
        os.close(descriptor)
        raise UsageError(
            [
                f"the file system of {folder} gives no lock ({error.strerror}): two drivers of a "
                "study could not be told from one. Mount it with flock, or take another "
                "--results-dir: a folder or a store"
            ]
        ) from None
    return descriptor


def _lock(descriptor: int) -> None:
    """Lock a file for this process alone.

    Raises:
        BlockingIOError: another process holds it, and for longer than a look takes.
        OSError: its file system has no locks.
    """
    for left in reversed(range(_TRIES)):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
        time.sleep(_BETWEEN_S)


def mend(path: Path) -> str | None:
    """Cut off a last line that a kill left incomplete; return a note if there was one.

    Raises:
        StudyFailed: a line before the last is damaged.
    """
    content = path.read_bytes()
    end = check_lines(path, content)
    if end == len(content):
        return None
    os.truncate(path, end)
    return f"{path.name}: dropped an incomplete last line of {len(content) - end} bytes"


def check_lines(path: Path, content: bytes) -> int:
    """Return where the whole lines of a journal's content end.

    Raises:
        StudyFailed: one of them is damaged; `path` is named.
    """
    end = content.rfind(b"\n") + 1
    lines = content[:end].splitlines()
    for number, line in enumerate(lines, 1):
        if not _is_record(line):
            raise StudyFailed(
                f"{path}: line {number} of {len(lines)} is damaged; the study cannot go on from "
                f"it (trials.csv and curves.csv still hold what was finished)"
            )
    return end


def last_reported(path: Path) -> int | None:
    """Return Optuna's identifier of the trial whose value is the journal's last line, if any.

    The driver decides on a value before it writes another line: no other can be undecided.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_VALUE))
        lines = file.read().splitlines()
    try:
        record = json.loads(lines[-1])
        return int(record["trial_id"]) if "intermediate_value" in record else None
    except (IndexError, ValueError):  # nothing yet, or a longer line, which holds no value
        return None


def _is_record(line: bytes) -> bool:
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):  # not JSON, or too deep
        return False
    return isinstance(record, dict) and "op_code" in record


def open_journal(path: Path) -> tuple[optuna.Study, StudyStorage]:
    """Return the Optuna study in the journal, made if the file is empty, and its storage.

    Its value is the validation accuracy, to be maximized. Its own sampler never draws: see
    `search.sampler`.

    Raises:
        StudyFailed: whole lines that do not follow from each other, or no room for the first.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = StudyStorage(path)
        # Not load_if_exists, which adds a line to a journal that may be refused in a moment.
        if path.stat().st_size:
            study = optuna.load_study(
                study_name=STUDY_NAME, storage=storage, sampler=RandomSampler()
            )
        else:
            study = optuna.create_study(
                storage=storage,
                sampler=RandomSampler(),
                study_name=STUDY_NAME,
                direction="maximize",
            )
    except StudyFailed:
        raise
    except Exception as error:  # Optuna has no error of its own for this
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StudyFailed(f"{path} is damaged: it cannot be replayed ({what})") from error
    return study, storage
