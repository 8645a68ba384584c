"""Kills drivers of toy studies in child processes, and compares what comes of it. No Ray."""

import csv
import io
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from search.plan import Plan
from tests.search_tests.toy import begin, drive, go_on

# Calls after or before which a file on disk differs.
_WRITES = {"write", "writelines", "flush", "close", "__exit__", "fsync", "truncate", "open"}
_WRITES |= {"replace", "rename", "unlink", "remove", "rmdir", "mkdir"}
KILLED = -signal.SIGKILL
CUT = -signal.SIGXFSZ


def run_study(plan: Plan, root: Path, concurrent: int = 1) -> None:
    """Begin a study, or go on with it, to its end."""
    there = (root / "study.json").exists()
    opened = (go_on if there else begin)(plan, root)
    drive(opened.book, concurrent)
    opened.close()


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a child process; return its exit code, or minus the signal it died of."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_writes(work: Callable[[], object]) -> int:
    """Return how many writing calls `work` makes, done in a child."""
    reading, writing = os.pipe()

    def counted() -> None:
        counter = _Writes(0)
        sys.setprofile(counter)
        work()
        sys.setprofile(None)
        os.write(writing, str(counter.seen).encode())

    assert in_child(counted) == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return int(pipe.read())


def killed_at(write: int, work: Callable[[], object]) -> int:
    """Run `work` in a child that dies of SIGKILL right before its n-th writing call."""

    def doomed() -> None:
        sys.setprofile(_Writes(write))
        work()

    return in_child(doomed)


def cut_at(size: int, work: Callable[[], object]) -> int:
    """Run `work` in a child that dies in the middle of the write that makes a file so large."""

    def doomed() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        work()

    return in_child(doomed)


class _Writes:
    """A profiler that counts writing calls, and kills its process before one of them."""

    def __init__(self, last: int) -> None:
        self.seen = 0
        self._last = last

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or called.__name__ not in _WRITES:
            return
        if isinstance(getattr(called, "__self__", None), io.StringIO):
            return
        self.seen += 1
        if self.seen == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


_TIMES = ("wall_s", "epoch_s", "peak_memory_mb")


def table(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows without what depends on the clock or the machine."""
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in _TIMES} for row in csv.DictReader(file)]


def tables(root: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return trials.csv and curves.csv."""
    return table(root / "trials.csv"), table(root / "curves.csv")


def ended(root: Path) -> dict[str, dict[str, str]]:
    """Return the rows of trials that had ended when trials.csv was written last."""
    path = root / "trials.csv"
    rows = table(path) if path.exists() else []
    return {row["trial"]: row for row in rows if row["status"] != "running"}


def doubled(root: Path) -> int:
    """Return how many trials or epochs a study has twice."""
    trials, curves = tables(root)
    numbers = [row["trial"] for row in trials]
    epochs = [(row["trial"], row["epoch"]) for row in curves]
    return len(numbers) - len(set(numbers)) + len(epochs) - len(set(epochs))


def changed(root: Path, calm: Path) -> int:
    """Return how many trials of a study differ from the undisturbed one's, lost ones too."""
    one, other = ({row["trial"]: row for row in tables(each)[0]} for each in (root, calm))
    return sum(one.get(number) != other.get(number) for number in {*one, *other})
