"""A trial inside a Ray worker: one step is one epoch of the experiment's trainable."""

import contextlib
import functools
import gc
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search import kills
from search.catalog import find
from search.disk import is_full, what_to_free
from search.doing import Doing
from search.errors import is_out_of_memory
from search.folder import ERROR_NAME
from search.passed import MEMORY, NO_ROOM, NOTES, NUMBER, OUTCOME, OUTSIDE, RUNNING
from search.remote import StoreFailed
from search.same_code import OtherCode, check_code
from search.trial_files import TrialFiles
from search.trial_log import TrialLog
from trainables.budget import Budget, Diverged, EpochResult, TooLarge
from trainables.errors import DataError, DeviceError, WeightsError, is_of_machine

# So long a trial waits before it is tried again whose GPU others fill, or whose machine is at
# fault: that may be over soon.
OUTSIDE_S = 20.0


class _Notes(logging.Handler):
    """Collects what our code warns of in this process: the user is told by the driver."""

    def __init__(self) -> None:
        """Listen from now on."""
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        logging.getLogger("trainables").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(record.getMessage().replace("\n", " ")[:500])

    def taken(self) -> list[str]:
        """Return the lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


_notes: _Notes | None = None


def _notes_here() -> _Notes:
    global _notes  # one per process, whatever number of trials it has
    _notes = _notes or _Notes()
    return _notes


class Worker:
    """Drives `epochs(config, data, budget)`. Reused for trial after trial; keeps nothing.

    It has the methods that Tune calls of a trainable and is none: importing Tune takes longer
    than a short trial.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._take(config)

    def _take(self, config: dict[str, Any]) -> None:
        self._assigned = config
        self._files = TrialFiles(config["job"], config[NUMBER])
        self._log = TrialLog(self._folder)
        self._results: Iterator[EpochResult] | None = None

    def reset(self, config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self.stop()
        self._take(config)
        return True

    def stop(self) -> None:
        """Drop what the trial held; GPU memory goes back to the device."""
        self._results = None
        self._files.end()
        torch = sys.modules.get("torch")  # whose import takes seconds, of every worker at once
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def train(self) -> dict[str, Any]:
        """Train an epoch; return its row, or how the trial ended, and what to tell the user."""
        notes = _notes_here()
        answer = self._step()
        told = notes.taken()
        for note in told:
            self._log.add(note)
        return {**answer, NOTES: told}

    def _step(self) -> dict[str, Any]:
        """Errors of ours are answers, and not retried: only the death of the process is."""
        try:
            if self._results is None:
                self._results = self._begin()
            result = next(self._results, None)
            if result is not None:
                self._log.epoch(result)
            self._files.keep(last=result is None)
        except Diverged as error:
            return _ended("infeasible", f"diverged: {error}")
        except TooLarge as error:
            return _ended("infeasible", f"predicted: {error}")
        except Exception as error:
            if is_out_of_memory(error):
                return self._without_memory(error)
            if is_full(error):  # told by words: the error itself stays in this process
                return _ended(NO_ROOM, what_to_free(error, self._folder.parents[1]))
            if isinstance(error, StoreFailed):
                return self._without_store(error)
            if isinstance(error, OtherCode):
                return _ended(NO_ROOM, f"machine {socket.gethostname()} {error}")
            if isinstance(error, DataError | WeightsError):  # all later trials would fail of it
                return _ended(NO_ROOM, _line(error))
            if is_of_machine(error):
                return self._without_machine(error)
            self._keep_traceback(_line(error))
            if _has_no_gpu_left(error):
                # The process has lost its GPU context: every later trial in it would fail too.
                os._exit(1)
            return _ended("failed", _line(error))
        if result is None:
            return _ended("completed")
        return {**asdict(result), OUTCOME: RUNNING}

    def _without_memory(self, error: Exception) -> dict[str, Any]:
        """End the trial as too large, or as one that others leave no room on its GPU."""
        line = _line(error)
        if _taken_by_others(error, self._assigned[MEMORY]):
            self._let_go(error)
            who = "other programs hold its GPU's memory (nvidia-smi tells which they are)"
            time.sleep(OUTSIDE_S)
            return _ended(OUTSIDE, f"{who}: {line}")
        return _ended("infeasible", f"out of memory: {line}")

    def _without_machine(self, error: Exception) -> dict[str, Any]:
        """End the trial as one that this machine cannot train; another may, or this one later."""
        line = f"machine {socket.gethostname()} is at fault: {_line(error)}"
        self._log.add(f"{line}\n{traceback.format_exc()}")
        with contextlib.suppress(OSError, StoreFailed):
            self._files.keep()
        self._results = None
        time.sleep(OUTSIDE_S)
        return _ended(OUTSIDE, line)

    def _let_go(self, error: Exception) -> None:
        """Free what the trial holds, its network and batch: others may wait for it."""
        from trainables.device import give_back_memory

        self._results = None
        traceback.clear_frames(error.__traceback__)
        give_back_memory()

    def _without_store(self, error: StoreFailed) -> dict[str, Any]:
        """End the study if the store refuses, else this process: others may reach the store."""
        if error.refused:
            return _ended(NO_ROOM, _line(error))
        line = f"this process ends, since the store has not answered: {_line(error)}"
        self._log.add(line)
        print(line, file=sys.stderr, flush=True)
        os._exit(1)

    def _keep_traceback(self, line: str) -> None:
        self._log.add(f"failed: {line}")
        # A full disk must not turn one error into another.
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / ERROR_NAME).write_text(traceback.format_exc(), encoding="utf-8")
            with contextlib.suppress(StoreFailed):
                self._files.keep(last=True)

    @property
    def _folder(self) -> Path:
        return self._files.path

    def _begin(self) -> Iterator[EpochResult]:
        job = self._assigned["job"]
        check_code(job.get("code"))
        self._files.begin()
        kills.note(self._folder, own_node())
        self._log.begins(self._assigned["config"], self._assigned["seed"], job["max_epochs"])
        self._files.keep()
        budget = Budget(
            epochs=job["max_epochs"],
            seed=self._assigned["seed"],
            threads=job["threads"],
            device=job["device"],
            precision=job["precision"],
            folder=self._folder,
            keep_above=self._assigned["keep_above"],
            told=tuple(EpochResult(**row) for row in self._assigned["told"]),
            weights=job["weights"],
            keep_last=job["keep_last"],
            progress=self._files.telling(Doing(self._folder)),
            memory_mb=self._assigned[MEMORY],
        )
        try:
            trainable = _trainable(job["experiment"])
        except (ImportError, OSError, ValueError) as error:  # torch's own of a missing library
            raise DeviceError(f"what every trial needs cannot be imported: {error}") from error
        return iter(trainable(self._assigned["config"], job["data"], budget))


@functools.cache
def _trainable(experiment: str) -> Callable[..., Any]:
    """Import what a trial needs, torch above all; return the experiment's trainable.

    What is there then stays until the process ends: the garbage collector, which runs before every
    trial, need not look at it again.
    """
    found: Callable[..., Any] = find(experiment).trainable()
    gc.collect()
    gc.freeze()
    return found


def own_node() -> str:
    """Return Ray's name of the node that this process is on; "" without a Ray."""
    import ray

    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def _taken_by_others(error: BaseException, memory_mb: float | None) -> bool:
    if "torch" not in sys.modules:
        return False
    from trainables.device import taken_by_others

    return taken_by_others(error, memory_mb)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _has_no_gpu_left(error: Exception) -> bool:
    """Tell whether the GPU is lost to this process; cuDNN and cuBLAS have words of their own."""
    if "CUDA error" in str(error):
        return True
    if "torch" not in sys.modules:
        return False
    from trainables.cuda import is_lost

    return is_lost()


def _ended(outcome: str, error: str = "") -> dict[str, Any]:
    # The metric must be present, or Ray aborts the study; the stopper does not read it here.
    return {OUTCOME: outcome, "error": error, "val_accuracy": 0.0, "done": True}
