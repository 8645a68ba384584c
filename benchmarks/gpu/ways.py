"""The ways to train: processes side by side, one batch of several trials, and stock Ray Tune."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.rates import rates
from benchmarks.gpu.work import CannotRun, DoesNotFit, Work, check_fits, drawn
from benchmarks.gpu.worker import NO_MEMORY
from benchmarks.peers import records
from benchmarks.peers.images import SPLITS, write
from benchmarks.peers.machine import gpus
from benchmarks.peers.task import Task
from benchmarks.peers.watching import watch

LIMIT_S = 3600.0


def processes(work: Work, at_once: int) -> list[float]:
    """Return epochs per second, by stage, of trials in a process each with its share of memory."""
    works = [replace(work, seed=seed, share=1 / at_once) for seed in range(at_once)]
    check_fits(works[0])
    return rates(_workers(works), work.stages)


def batched(work: Work, at_once: int, one_by_one: bool = False) -> list[float]:
    """Return epochs per second of trials in one batch: all trials' epochs count."""
    together = replace(work, batched=True, trials=at_once, one_by_one=one_by_one)
    return [at_once * rate for rate in rates(_workers([together]), work.stages)]


def one_by_one(work: Work, at_once: int) -> list[float]:
    """Return the same with a call of the convolution per trial, and not a grouped one."""
    return batched(work, at_once, one_by_one=True)


def ray_tune(work: Work, _at_once: int) -> list[float]:
    """Return epochs per second of stock Ray Tune's trial, alone on the GPU, on image files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = DrawnSource.of(work)
        for split in SPLITS:
            write(source, split, folder / "images" / split)
        task = Task(
            experiment=work.experiment,
            images=str(folder / "images"),
            trials=1,
            epochs=sum(work.stages),
            cores=1,
            seed=work.seed,
            folder=str(folder / "work"),
            records=str(folder / "records.jsonl"),
            fixed=work.config,
            gpus=min(1, gpus()),
        )
        task.write(folder / "task.json")
        words = [sys.executable, "-m", "benchmarks.peers.with_ray_tune", str(folder / "task.json")]
        began = time.time()
        usage = watch(words, folder / "log.txt", LIMIT_S, {"RAY_USAGE_STATS_ENABLED": "0"})
        found = records.read(task.records, began)
        if usage.exit_code or len(found) != sum(work.stages):
            log = (folder / "log.txt").read_text(errors="replace")
            raise CannotRun(f"Ray Tune ended with {usage.exit_code}:\n{log[-2000:]}")
        return rates([[each.seconds for each in found]], work.stages)


WAYS: dict[str, Callable[[Work, int], list[float]]] = {
    "ray_tune": ray_tune,
    "processes": processes,
    "batched": batched,
    "one_by_one": one_by_one,
}


def _workers(works: Sequence[Work]) -> list[list[float]]:
    """Return the ends of epochs of every work, all trained at once from the second epoch on."""
    words = [sys.executable, "-m", "benchmarks.gpu.worker"]
    with tempfile.TemporaryDirectory() as cache:
        # Stored activations of drawn images are of no use.
        environment = {**os.environ, "TRELLIS_CACHE": cache}
        running = [
            subprocess.Popen(
                [*words, json.dumps(vars(work))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for work in works
        ]
        with _ended_after(running, LIMIT_S):
            _go_on_together(running)
            told = [process.communicate()[0] for process in running]
    failed = [process.returncode for process in running if process.returncode]
    if NO_MEMORY in failed:
        raise DoesNotFit(f"{sum(work.trials for work in works)} trials at once run out of memory")
    if failed:
        raise CannotRun(f"{len(failed)} of {len(works)} processes failed")
    return [json.loads(each.splitlines()[-1]) for each in told]


@contextlib.contextmanager
def _ended_after(running: Sequence[subprocess.Popen[str]], seconds: float) -> Iterator[None]:
    """Kill what still runs after so long, or when what is done with it breaks off."""

    def end() -> None:
        for process in running:
            process.kill()  # does nothing to one that has ended

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        end()


def _go_on_together(running: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until all have trained an epoch, then let all go on."""
    for process in running:
        assert process.stdout is not None, "a pipe"
        process.stdout.readline()  # that it is ready, or nothing: it has failed
    for process in running:
        assert process.stdin is not None, "a pipe"
        with contextlib.suppress(BrokenPipeError):  # it has failed
            process.stdin.write("\n")
            process.stdin.flush()


@dataclass(frozen=True)
class DrawnSource:
    """Drawn images as `benchmarks.peers.images` writes them to files."""

    classes: tuple[str, ...]
    sizes: dict[str, int]
    fingerprint: str
    notes: tuple[str, ...]
    arrays: dict[str, Any]

    @classmethod
    def of(cls, work: Work) -> "DrawnSource":
        """Return the images that our own trials train on."""
        data = drawn(work)
        size = work.config.get("image_size")
        arrays = {split: data.split(split, size) for split in SPLITS}
        return cls(data.classes, data.sizes, data.fingerprint, (), arrays)

    def images(self, split: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
        """Yield (image, label)."""
        found = self.arrays[split]
        for image, label in zip(found.images, found.labels, strict=True):
            yield image, int(label)
