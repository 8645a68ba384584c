"""Trials that only sleep, on Ray: by this project's driver, and by stock Ray Tune with Optuna."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from search.book import Book
from search.interrupts import Interrupts
from search.resources import Resources
from trainables.budget import EpochResult


class Moment(NamedTuple):
    """Seconds since the first trial was asked for; CPU seconds and resident KB of the driver."""

    seconds: float
    cpu_s: float
    memory_kb: float


def moment(began: float) -> Moment:
    """Return the moment that it is, after `began` of the clock."""
    return Moment(time.perf_counter() - began, time.process_time(), memory_kb())


def memory_kb() -> float:
    """Return the memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def run_ours(book: Book, cpus: int, pause_s: float) -> list[Moment]:
    """Return the moments at which trials ended."""
    from search import access, connection, runner

    access.grant("local")
    os.environ.update(connection._ENVIRONMENT)
    import ray

    from search import worker
    from search.local import Local

    class Sleeper(worker.Worker):
        """The project's worker with a trainable of one epoch that sleeps."""

        def _begin(self) -> Iterator[EpochResult]:
            time.sleep(pause_s)
            yield EpochResult(1, "train", 0.5, 0.5, 0.5, 0.5, 0.1, pause_s, 1.0, 1, 1)

    ended: list[Moment] = []
    end = Book.end

    def noted(self: Book, number: int, status: str, error: str = "") -> None:
        end(self, number, status, error)
        ended.append(moment(began))

    # As search.run starts it, but for the modules that workers read: stock ones have no torch.
    local = Local(cpus, "errors")
    local.start({"address": "local", "num_cpus": cpus, "log_to_driver": False})
    interrupts = Interrupts()
    with mock.patch.object(worker, "Worker", Sleeper), mock.patch.object(Book, "end", noted):
        began = time.perf_counter()
        runner.run_trials(
            book, Resources(1, 0, cpus), {"folder": str(book.folder.root)}, interrupts
        )
    local.over()
    ray.shutdown()
    local.left()
    return ended


def run_stock(space: Any, trials: int, cpus: int, pause_s: float, results: str) -> list[Moment]:
    """Return the same for Ray Tune with OptunaSearch, workers used again."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def sleep(config: dict[str, Any]) -> None:
        time.sleep(pause_s)
        tune.report({"accuracy": 0.9 - 0.5 * config["drop"]})

    ended: list[Moment] = []

    class Noted(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            ended.append(moment(began))

    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(sleep, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            num_samples=trials,
            metric="accuracy",
            mode="max",
            search_alg=OptunaSearch(space, metric="accuracy", mode="max"),
            max_concurrent_trials=cpus,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=results, verbose=0, callbacks=[Noted()]),
    )
    began = time.perf_counter()
    tuner.fit()
    ray.shutdown()
    return ended
