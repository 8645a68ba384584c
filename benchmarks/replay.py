"""Searches on recorded learning curves with a simulated clock: a study takes seconds.

The study's own book, sampler and stopper decide, over a real journal; training is answered from
benchmarks/curves (made by benchmarks/record_curves.py) and Ray is left out. Any number of workers.
--stock adds Ray Tune's own OptunaSearch and ASHAScheduler, all at their defaults.

python -m benchmarks.replay --samplers random tpe --stoppers none asha --workers 1 16 --stock
"""

import argparse
import csv
import functools
import itertools
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.record_curves import EXPERIMENT, FOLDER
from benchmarks.replay_answers import KINDS, Answers, load
from benchmarks.simulation import Step, regret_at, simulate, simulate_stock
from search.command import Parser, ended, positive
from search.errors import EXIT_DONE
from search.names import PROPOSING, STOPPERS
from search.plan import Plan
from search.progress import say

PROG = "benchmarks.replay"
STOCK = ("OptunaSearch", "ASHAScheduler")  # sampler and stopper of stock Ray Tune
_MOMENTS = (0.125, 0.25, 0.5, 1.0)  # of the horizon


@dataclass(frozen=True)
class Case:
    """One simulated study."""

    sampler: str
    stopper: str
    workers: int
    seed: int


def horizon_of(table: Answers, workers: int) -> float:
    """Return the simulated seconds of a study: 50 whole runs for 1 worker, never under 3."""
    return table.run_s * max(3.0, 50 / math.sqrt(workers))


def replayed(path: Path, answers: str, case: Case) -> list[Step]:
    """Simulate a case until its horizon, with as many trials as fit."""
    table, fixed = load(path, answers)
    horizon_s = horizon_of(table, case.workers)
    plan = Plan(1_000_000, table.epochs, case.seed, fixed=fixed)
    if (case.sampler, case.stopper) == STOCK:
        return simulate_stock(table, plan, case.workers, horizon_s)
    plan = replace(plan, sampler=case.sampler, stopper=case.stopper)
    return simulate(table, plan, case.workers, horizon_s)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--samplers", nargs="+", choices=PROPOSING, default=["random", "tpe"])
    made.add_argument("--stoppers", nargs="+", choices=STOPPERS, default=["none", "asha"])
    made.add_argument("--stock", action="store_true", help="also search as stock Ray Tune does")
    made.add_argument("--workers", nargs="+", type=positive, default=[1, 16])
    made.add_argument("--seeds", type=positive, default=30, help="studies of each kind (30)")
    made.add_argument("--processes", type=positive, default=1, help="at once (1)")
    made.add_argument("--answers", choices=KINDS, default="forest", help="for what none recorded")
    made.add_argument("--curves", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet")
    made.add_argument("--to", type=Path, help="a CSV file of every step of every study")
    return made


def report(table: Answers, cases: Sequence[Case], studies: Sequence[Sequence[Step]]) -> None:
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
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    table, _ = load(options.curves, options.answers)
    kinds = list(itertools.product(options.samplers, options.stoppers))
    kinds += [STOCK] if options.stock else []
    of = itertools.product(kinds, options.workers, range(options.seeds))
    cases = [Case(sampler, stopper, *rest) for (sampler, stopper), *rest in of]
    studies = []
    with ProcessPoolExecutor(options.processes) as pool:
        replay = functools.partial(replayed, options.curves, options.answers)
        for case, steps in zip(cases, pool.map(replay, cases), strict=True):
            studies.append(steps)
            if len(studies) % 10 == 0:
                say(f"{len(studies)} of {len(cases)} studies, now {case.sampler} {case.stopper}")
    report(table, cases, studies)
    if options.to:
        write_steps(options.to, cases, studies)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
