"""Searches on recorded learning curves with a simulated clock: a study takes seconds.

The study's own book, sampler and stopper decide, over a real journal; training is answered from
benchmarks/curves (made by benchmarks/record_curves.py) and Ray is left out. Any number of workers.
--stock adds Ray Tune's own OptunaSearch and ASHAScheduler, all at their defaults. --confirm ends
searches early and trains the best of them on fresh seeds, as search.confirm does, in simulated
time.

python -m benchmarks.replay --samplers random tpe --stoppers none asha --workers 1 16 --stock
python -m benchmarks.replay --samplers tpe --stoppers asha --confirm 3x2 5x5 --searched 0.25
"""

import argparse
import contextlib
import functools
import itertools
import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.record_curves import EXPERIMENT, FOLDER
from benchmarks.replay_answers import KINDS, Answers, load
from benchmarks.replay_case import Case, Confirming
from benchmarks.replay_confirm import search_and_confirm
from benchmarks.replay_kept import Kept
from benchmarks.replay_report import report
from benchmarks.simulation import Step, simulate, simulate_stock
from search.catalog import find
from search.command import Parser, ended, positive
from search.compared import what_to_compare
from search.errors import EXIT_DONE, UsageError
from search.names import ACCURACY, COMPARE_BY, PROPOSING, STOPPERS
from search.plan import Plan
from search.progress import say

PROG = "benchmarks.replay"
_TRIALS = 1_000_000  # as many as fit into the time
_SEARCHED = 0.25  # of the horizon, before what is found is confirmed
_SAY_S = 5.0  # between two lines that tell how far it is
STOCK = ("OptunaSearch", "ASHAScheduler")  # sampler and stopper of stock Ray Tune


def horizon_of(table: Answers, workers: int) -> float:
    """Return the simulated seconds of a study: 50 whole runs for 1 worker, never under 3."""
    return table.run_s * max(3.0, 50 / math.sqrt(workers))


def replayed(path: Path, answers: str, case: Case) -> list[Step]:
    """Simulate a case until its horizon, with as many trials as fit."""
    table, fixed = load(path, answers)
    horizon_s = horizon_of(table, case.workers)
    plan = Plan(_TRIALS, table.epochs, case.seed, fixed=fixed)
    if (case.sampler, case.stopper) == STOCK:
        return simulate_stock(table, plan, case.workers, horizon_s)
    plan = replace(plan, sampler=case.sampler, stopper=case.stopper, compared=case.compared)
    if case.how is not None:
        return [search_and_confirm(table, plan, case.workers, horizon_s, case.how)]
    return simulate(table, plan, case.workers, horizon_s)


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--samplers", nargs="+", choices=PROPOSING, default=["random", "tpe"])
    made.add_argument("--stoppers", nargs="+", choices=STOPPERS, default=["none", "asha"])
    made.add_argument("--compare-by", choices=COMPARE_BY, default="auto", help="as of search.run")
    made.add_argument("--stock", action="store_true", help="also search as stock Ray Tune does")
    made.add_argument("--workers", nargs="+", type=positive, default=[1, 16])
    made.add_argument(
        "--seeds", type=positive, default=30, help="studies of each kind (30), of seeds 1, 2, ..."
    )
    made.add_argument("--confirm", nargs="+", type=_top_by_seeds, default=[], metavar="TOPxSEEDS",
                      help="also confirm so many of the best on so many fresh seeds")  # fmt: skip
    made.add_argument("--searched", nargs="+", type=_share, metavar="SHARE",
                      help="with --confirm: of the time, for the search (0.25)")  # fmt: skip
    made.add_argument("--processes", type=positive, default=1, help="at once (1)")
    made.add_argument("--answers", choices=KINDS, default="forest", help="for what none recorded")
    made.add_argument("--curves", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet")
    made.add_argument("--to", type=Path, help="a CSV file of every step of every study; those "
                      "it has are not replayed again, so one that was ended goes on")  # fmt: skip
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    return ended(PROG, lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    if options.searched and not options.confirm:
        raise UsageError(["--searched goes with --confirm: say what is confirmed, such as 5x5"])
    table, _ = load(options.curves, options.answers)
    cases = _cases(options)
    kept = Kept(options.to, options.answers, options.curves)
    _replay(options, [case for case in cases if case not in kept.studies], kept)
    studies = [(case, kept.studies[case]) for case in cases]
    report(studies, {workers: horizon_of(table, workers) for workers in options.workers})
    return EXIT_DONE


def _replay(options: argparse.Namespace, cases: Sequence[Case], kept: Kept) -> None:
    """Replay the cases; each is kept as it ends."""
    told = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        replay = functools.partial(replayed, options.curves, options.answers)
        for done, (case, steps) in enumerate(zip(cases, pool.map(replay, cases), strict=True), 1):
            kept.add(case, steps)
            if time.monotonic() > told + _SAY_S or done == len(cases):
                told = time.monotonic()
                say(f"{done} of {len(cases)} studies, now {case.sampler} {case.stopper}")


def _cases(options: argparse.Namespace) -> list[Case]:
    kinds = list(itertools.product(options.samplers, options.stoppers))
    judged = itertools.product(options.searched or [_SEARCHED], options.confirm)
    hows = [None, *(Confirming(share, *size) for share, size in judged)]
    every = [(sampler, stopper, how) for sampler, stopper in kinds for how in hows]
    every += [(*STOCK, None)] if options.stock else []
    # Seed 0 draws, at random, what was recorded: benchmarks/record_curves.py. A seed after the
    # other, so that a run that was ended has of each kind as many.
    of = itertools.product(range(1, options.seeds + 1), every, options.workers)
    return [
        Case(sampler, stopper, workers, seed, how, _compared(options, stopper))
        for seed, (sampler, stopper, how), workers in of
    ]


def _compared(options: argparse.Namespace, stopper: str) -> str:
    """Return what rungs compare: as search.run has it, unless it is to be accuracy alone."""
    if options.compare_by == ACCURACY:
        return ACCURACY
    return what_to_compare(find(EXPERIMENT), Plan(_TRIALS, 1, stopper=stopper))


def _top_by_seeds(text: str) -> tuple[int, int]:
    with contextlib.suppress(argparse.ArgumentTypeError, ValueError):
        top, seeds = text.split("x")
        return positive(top), positive(seeds)
    raise argparse.ArgumentTypeError(
        f"must be two whole numbers from 1, such as 5x3 (the best 5 on 3 seeds), but got {text!r}"
    )


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.0 < (share := float(text)) <= 1.0:
            return share
    raise argparse.ArgumentTypeError(f"must lie above 0 and at most at 1, but got {text!r}")


if __name__ == "__main__":
    sys.exit(main())
