"""One search on recorded learning curves, in simulated time: what benchmarks/replay.py repeats."""

import contextlib
import heapq
import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from benchmarks.curve_files import ACCURACY, Run
from benchmarks.record_curves import EXPERIMENT
from benchmarks.replay_answers import Answers
from benchmarks.stock_search import StockSearch
from search import study
from search.book import Assignment, Book
from search.catalog import find
from search.manifest import make_manifest
from search.plan import Plan
from trainables.budget import EpochResult
from trainables.data import Data, DataSpec

_DATA = Data(DataSpec("beans", "embedded"), ("x", "y"), "0", {"train": 1, "validation": 1}, ())


@dataclass(frozen=True)
class Step:
    """From `seconds` on the study's best trial had this regret; `trials` had begun."""

    seconds: float
    regret: float
    trials: int


class Search(Protocol):
    """What decides: a study's book, or another tool's sampler and stopper in its place."""

    @property
    def records(self) -> Sized:
        """The trials that have begun."""

    def next(self) -> Assignment | None:
        """Return the next trial to train; None where there is none."""

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take in an epoch; tell whether the trial ends by it."""

    def end(self, number: int, outcome: str) -> Any:
        """Take in that a trial has ended by itself."""


def _at_once(_: int) -> None:
    """Do not wait for the disk: nothing of a simulated study is kept."""


@contextlib.contextmanager
def simulated(plan: Plan) -> Iterator[Book]:
    """Begin a study that nobody trains and that leaves nothing behind; give its book."""
    experiment = find(EXPERIMENT)
    quiet = mock.patch("search.progress.say")  # it would tell of weights that nobody trained
    with tempfile.TemporaryDirectory() as scratch, mock.patch("os.fsync", _at_once), quiet:
        content = make_manifest(experiment, plan, _DATA, ["replay"])
        opened = study.begin(experiment, plan, Path(scratch, "s"), content)
        try:
            yield opened.book
        finally:
            opened.close()


def simulate(table: Answers, plan: Plan, workers: int, horizon_s: float) -> list[Step]:
    """Run one study in simulated time; return a step for each change of its best trial.

    The best trial is the one with the highest validation accuracy seen so far, of any state: what
    a user would take at that moment. Its regret is that of its configuration trained to the end,
    on average over seeds, so it can also grow.
    """
    with simulated(plan) as book:
        return list(steps_of(table, book, workers, horizon_s))


def simulate_stock(table: Answers, plan: Plan, workers: int, horizon_s: float) -> list[Step]:
    """Run one search of stock Ray Tune in simulated time, as `simulate` runs a study."""
    return list(steps_of(table, StockSearch(find(EXPERIMENT), plan), workers, horizon_s))


def steps_of(table: Answers, book: Search, workers: int, horizon_s: float) -> Iterator[Step]:
    """Train in simulated time what `book` hands out; yield a step per change of the best trial."""
    events: list[tuple[float, int, Assignment, Run, int]] = []  # [(when an epoch ends, ...)]
    order = itertools.count()
    best = -1.0

    def begin(now: float) -> None:
        given = book.next()
        if given is not None:
            then(now, given, table.run(given), 1)

    def then(now: float, given: Assignment, run: Run, epoch: int) -> None:
        ends = now + table.seconds(run)[epoch - 1]
        heapq.heappush(events, (ends, next(order), given, run, epoch))

    for _ in range(workers):
        begin(0.0)
    while events and events[0][0] <= horizon_s:
        now, _, given, run, epoch = heapq.heappop(events)
        stopped = book.report(given.number, as_row(run, epoch))
        accuracy = run.rows[epoch - 1][ACCURACY]
        if accuracy > best:  # never true for NaN
            best = accuracy
            yield Step(now, table.regret(given.config), len(book.records))
        if not stopped and epoch < len(run.rows):
            then(now, given, run, epoch + 1)
            continue
        if not stopped:
            book.end(given.number, "completed")
        begin(now)


def as_row(run: Run, epoch: int) -> dict[str, Any]:
    """Return what a worker would report of a recorded epoch."""
    train_loss, train_accuracy, val_loss, val_accuracy, wall_s, _ = run.rows[epoch - 1]
    told = EpochResult(
        epoch=epoch,
        stage="train",
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        learning_rate=math.nan,  # not recorded, and nothing asks for it
        epoch_s=wall_s,
        peak_memory_mb=0.0,
        parameters=run.parameters,
        trainable_parameters=run.parameters,
    )
    return asdict(told)


def regret_at(steps: Sequence[Step], seconds: float) -> float:
    """Return the regret at a moment; 1, the largest, before the first epoch has ended."""
    return next((step.regret for step in reversed(steps) if step.seconds <= seconds), 1.0)
