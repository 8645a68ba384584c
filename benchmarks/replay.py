"""Searches on recorded learning curves with a simulated clock: a study takes seconds.

The study's own book, sampler and stopper decide, over a real journal; training is answered from
benchmarks/curves (made by benchmarks/record_curves.py) and Ray is left out. Any number of workers.

python -m benchmarks.replay --samplers random tpe --stoppers none asha --workers 1 16 --seeds 30
"""

import argparse
import csv
import heapq
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.curve_files import Run
from benchmarks.record_curves import EXPERIMENT, FOLDER
from benchmarks.replay_table import ACCURACY, Table, load
from search import study
from search.book import Assignment, Book
from search.catalog import find
from search.command import Parser
from search.errors import EXIT_DONE, exit_code
from search.manifest import make_manifest
from search.names import SAMPLERS, STOPPERS
from search.plan import Plan
from search.progress import say
from trainables.budget import EpochResult
from trainables.data import Data, DataSpec
from trainables.errors import TrellisError

_DATA = Data(DataSpec("beans", "embedded"), ("x", "y"), "0", {"train": 1, "validation": 1}, ())
_MOMENTS = (0.125, 0.25, 0.5, 1.0)  # of the horizon


@dataclass(frozen=True)
class Case:
    """One simulated study."""

    sampler: str
    stopper: str
    workers: int
    seed: int


@dataclass(frozen=True)
class Step:
    """From `seconds` on the study's best trial had this regret; `trials` had begun."""

    seconds: float
    regret: float
    trials: int


def _at_once(_: int) -> None:
    """Do not wait for the disk: nothing of a simulated study is kept."""


def simulate(table: Table, plan: Plan, workers: int, horizon_s: float) -> list[Step]:
    """Run one study in simulated time; return a step for each change of its best trial.

    The best trial is the one with the highest validation accuracy seen so far, of any state: what
    a user would take at that moment. Its regret is that of its configuration trained to the end,
    averaged over the recorded repeats, so it can also grow.
    """
    experiment = find(EXPERIMENT)
    with tempfile.TemporaryDirectory() as scratch, mock.patch("os.fsync", _at_once):
        content = make_manifest(experiment, plan, _DATA, ["replay"])
        opened = study.begin(experiment, plan, Path(scratch, "s"), content)
        try:
            return list(_steps(table, opened.book, workers, horizon_s))
        finally:
            opened.close()


def _steps(table: Table, book: Book, workers: int, horizon_s: float) -> Iterator[Step]:
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


def horizon_of(table: Table, workers: int) -> float:
    """Return the simulated seconds of a study: 50 whole runs for 1 worker, never under 3."""
    return table.run_s * max(3.0, 50 / math.sqrt(workers))


def replayed(path: Path, case: Case) -> list[Step]:
    """Simulate a case until its horizon, with as many trials as fit."""
    table, fixed = load(path)
    horizon_s = horizon_of(table, case.workers)
    plan = Plan(1_000_000, table.epochs, case.seed, case.sampler, case.stopper, fixed=fixed)
    return simulate(table, plan, case.workers, horizon_s)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog="benchmarks.replay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    samplers = [name for name in SAMPLERS if name != "grid"]
    made.add_argument("--samplers", nargs="+", choices=samplers, default=["random", "tpe"])
    made.add_argument("--stoppers", nargs="+", choices=STOPPERS, default=["none", "asha"])
    made.add_argument("--workers", nargs="+", type=int, default=[1, 16])
    made.add_argument("--seeds", type=int, default=30, help="studies of each kind (30)")
    made.add_argument("--processes", type=int, default=1, help="at once (1)")
    made.add_argument("--curves", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet")
    made.add_argument("--to", type=Path, help="a CSV file of every step of every study")
    return made


def report(table: Table, cases: Sequence[Case], studies: Sequence[Sequence[Step]]) -> None:
    """Print the regret of each kind of study at moments of its horizon: mean and interval."""
    from search.statistics import student_interval

    moments = " | ".join(f"{share:g} of the time" for share in _MOMENTS)
    print(f"| sampler | stopper | workers | seconds | {moments} |")
    print("| --- | --- | --- | --- |" + " --- |" * len(_MOMENTS))
    kinds = dict.fromkeys((case.sampler, case.stopper, case.workers) for case in cases)
    for kind in kinds:
        horizon_s = horizon_of(table, kind[2])
        of_kind = [
            steps
            for case, steps in zip(cases, studies, strict=True)
            if (case.sampler, case.stopper, case.workers) == kind
        ]
        cells = []
        for share in _MOMENTS:
            found = student_interval([regret_at(steps, share * horizon_s) for steps in of_kind])
            spread = "" if found.high is None else f" ± {found.high - found.mean:.4f}"
            cells.append(f"{found.mean:.4f}{spread}")
        print(f"| {' | '.join(map(str, kind))} | {horizon_s:.0f} | {' | '.join(cells)} |")


def write_steps(path: Path, cases: Sequence[Case], studies: Sequence[Sequence[Step]]) -> None:
    """Write every step of every study as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*Case.__dataclass_fields__, *Step.__dataclass_fields__])
        for case, steps in zip(cases, studies, strict=True):
            writer.writerows([*asdict(case).values(), *asdict(step).values()] for step in steps)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        table, _ = load(options.curves)
    except TrellisError as error:
        say(f"benchmarks.replay: {error}")
        return exit_code(error)
    of = itertools.product(
        options.samplers, options.stoppers, options.workers, range(options.seeds)
    )
    cases = [Case(*each) for each in of]
    studies = []
    with ProcessPoolExecutor(options.processes) as pool:
        paths = itertools.repeat(options.curves)
        for case, steps in zip(cases, pool.map(replayed, paths, cases), strict=True):
            studies.append(steps)
            if len(studies) % 10 == 0:
                say(f"{len(studies)} of {len(cases)} studies, now {case.sampler} {case.stopper}")
    report(table, cases, studies)
    if options.to:
        write_steps(options.to, cases, studies)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
