"""What the driver costs per trial and epoch, with no training at all.

python -m benchmarks.bookkeeping --sizes 100 1000          the journal and the tables alone, no Ray
python -m benchmarks.bookkeeping --ray --trials 100        trials that sleep, beside stock Ray Tune
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.sleepers import Moment, memory_kb, run_ours, run_stock
from search import study
from search.book import Assignment, Book
from search.experiment import Experiment, Preset
from search.manifest import make_manifest
from search.names import PROPOSING
from search.plan import Plan
from trainables.budget import EpochResult
from trainables.data import Data, DataSpec

DEFAULTS = {"kind": "a", "rate": 1e-3, "drop": 0.2, "momentum": 0.9, "width": 64}
DRIVERS = ("ours", "stock")
_CONCURRENT = 16
_MEASURED = 60  # trials, at each size


def space(trial: Any) -> dict[str, Any]:
    """Five hyperparameters, one of them conditional."""
    config = {
        "kind": trial.suggest_categorical("kind", ["a", "b", "c"]),
        "rate": trial.suggest_float("rate", 1e-5, 1.0, log=True),
        "drop": trial.suggest_float("drop", 0.0, 0.8),
        "width": trial.suggest_int("width", 8, 512, log=True),
    }
    if config["kind"] != "b":
        config["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    return config


def suggested(trial: Any) -> None:
    """Draw the same as OptunaSearch wants it; it pickles this function by name."""
    space(trial)


@dataclass(frozen=True)
class Asleep(Experiment):
    """An experiment without training."""

    def space(self) -> Any:
        """Return the function above."""
        return space

    def defaults(self) -> dict[str, Any]:
        """Return a configuration of it."""
        return dict(DEFAULTS)


PRESETS = {name: Preset(1, 1) for name in ("quick", "standard", "thorough")}
EXPERIMENT = Asleep("asleep", "sleeps", "beans", None, PRESETS, None)
DATA = Data(DataSpec("beans", "embedded"), ("x", "y"), "0", {"train": 1, "validation": 1}, ())


def row(epoch: int, config: dict[str, Any]) -> dict[str, Any]:
    """Return an epoch's numbers: better with less dropout and from epoch to epoch."""
    value = (0.9 - 0.5 * config["drop"]) * epoch / (epoch + 1)
    loss = 1 - value
    return asdict(EpochResult(epoch, "train", loss, value, loss, value, 0.1, 0.5, 1.0, 1, 1))


def opened(root: Path, trials: int, epochs: int, sampler: str) -> study.OpenStudy:
    """Begin a study, or go on with one by another sampler."""
    plan = Plan(trials=trials, max_epochs=epochs, sampler=sampler)
    fixed = Plan(trials=1, max_epochs=epochs)  # the same manifest for all
    content = make_manifest(EXPERIMENT, fixed, DATA, ["bookkeeping"])
    how = study.go_on if root.exists() else study.begin
    return how(EXPERIMENT, plan, root, content)


def drive(book: Book, seconds: dict[str, list[float]], epochs: int) -> None:
    """Run all trials, 16 at a time; note how long each call of the book takes."""

    def timed(name: str, call: Any, *given: Any) -> Any:
        began, worked = time.perf_counter(), time.process_time()
        result = call(*given)
        if name != "next" or result is not None:  # else nothing was suggested
            seconds[f"{name} ms"].append(time.perf_counter() - began)
            seconds[f"{name} CPU ms"].append(time.process_time() - worked)
        return result

    running: list[tuple[Assignment, int]] = []
    while True:
        while len(running) < _CONCURRENT and (given := timed("next", book.next)) is not None:
            running.append((given, 0))
        if not running:
            return
        given, done = running.pop(0)
        if done == epochs:
            timed("end", book.end, given.number, "completed", "")
        elif not timed("report", book.report, given.number, row(done + 1, given.config)):
            running.append((given, done + 1))


def _at_once(_: int) -> None:
    """Do not wait for the disk, while a study is only filled."""


def events(size: int, epochs: int, sampler: str = "prior") -> dict[str, float]:
    """Return milliseconds per event of a study that has `size` trials behind it, and more."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "s")
        with mock.patch("os.fsync", _at_once):
            filling = opened(root, size, epochs, "random")
            before = memory_kb()
            drive(filling.book, defaultdict(list), epochs)
            held = (memory_kb() - before) / size
            filling.close()
        del filling
        began = time.perf_counter()
        going = opened(root, size + _MEASURED, epochs, sampler)
        read_s = time.perf_counter() - began
        seconds: dict[str, list[float]] = defaultdict(list)
        drive(going.book, seconds, epochs)
        going.close()
    found = {name: 1000 * statistics.median(each) for name, each in seconds.items()}
    return {**found, "reopen s": read_s, "KB per trial": held}


def ours(trials: int, cpus: int, pause_s: float) -> list[Moment]:
    """Return the moments at which the trials of a study that sleeps ended, as `sleepers` says."""
    with tempfile.TemporaryDirectory() as scratch:
        going = opened(Path(scratch, "s"), trials, 1, "prior")
        try:
            return run_ours(going.book, cpus, pause_s)
        finally:
            going.close()


def stock(trials: int, cpus: int, pause_s: float) -> list[Moment]:
    """Return the same for Ray Tune with OptunaSearch, workers used again."""
    with tempfile.TemporaryDirectory() as scratch:
        return run_stock(suggested, trials, cpus, pause_s, scratch)


def in_process(what: str, *given: float | str) -> Any:
    """Return what one of the above returns, from a process of its own."""
    words = ["-m", "benchmarks.bookkeeping", "--worker", json.dumps([what, *given])]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, *words], stdout=subprocess.PIPE, env=environment, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[100, 1000, 10000], help="trials behind a study")
    add("--epochs", type=int, default=2, help="per trial, without --ray (default 2)")
    add("--sampler", choices=PROPOSING, default="prior", help="without --ray (default prior)")
    add("--ray", action="store_true", help="whole runs on Ray instead of single events")
    add("--trials", type=int, default=1000, help="of a run on Ray (default 1000)")
    add("--cpus", type=int, default=16, help="logical CPUs of Ray, one per trial (default 16)")
    add("--pause", type=float, default=1.0, help="seconds that a trial sleeps (default 1)")
    add("--drivers", nargs="+", choices=DRIVERS, default=DRIVERS, help="of --ray (both)")
    add("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, *given = json.loads(arguments.worker)
        workers: dict[str, Callable[..., Any]] = {"events": events, "ours": ours, "stock": stock}
        print(json.dumps(workers[what](*given)))
    elif arguments.ray:
        compare(arguments.drivers, arguments.trials, arguments.cpus, arguments.pause)
    else:
        for size in arguments.sizes:
            print(f"{size} trials ...", file=sys.stderr)
            found = in_process("events", size, arguments.epochs, arguments.sampler)
            print(f"{size:6}", ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)


def compare(drivers: Sequence[str], trials: int, cpus: int, pause_s: float) -> None:
    """Print the runs: in all, and without the start and the end, when not all workers work."""
    theory = trials * pause_s / cpus
    print(f"{trials} trials of {pause_s:g} s on {cpus} logical CPUs: {theory:.1f} s in theory")
    for name in drivers:
        print(f"{name} ...", file=sys.stderr)
        ended = sorted(Moment(*each) for each in in_process(name, trials, cpus, pause_s))
        tenth = trials // 10
        first, last = ended[tenth], ended[-tenth - 1]
        inner = trials - 2 * tenth - 1
        pace = (last.seconds - first.seconds) / inner * cpus / pause_s
        print(
            f"{name:6} {ended[-1].seconds:6.1f} s, {ended[-1].seconds / theory:.2f} times the "
            f"theory; the middle 80 %: {pace:.2f} times, and of the driver per trial "
            f"{1000 * (last.cpu_s - first.cpu_s) / inner:.1f} ms of CPU and "
            f"{(last.memory_kb - first.memory_kb) / inner:.0f} KB",
            flush=True,
        )


if __name__ == "__main__":
    main()
