r"""Records real learning curves of `lenet_beans`, to replay searches on (benchmarks/replay.py).

Trains the published configuration and random ones of the space, each with several seeds, without
Ray. It can be ended at any moment: the same command goes on. What the Parquet file has already is
kept, and more repeats or configurations are added to it.

python -m benchmarks.record_curves --data-dir DIR --configurations 300 --repeats 3 --processes 2
python -m benchmarks.record_curves --data embedded --configurations 3 --repeats 1 --epochs 2 \
    --log results/few.jsonl --to results/few.parquet
"""

import argparse
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.curve_files import EPOCH_FIELDS, Run, RunLog, recorded, write_curves
from search.catalog import find
from search.command import Parser
from search.data_option import data_spec
from search.errors import EXIT_DONE, EXIT_INTERRUPTED, exit_code
from search.experiment import Experiment
from search.plan import Plan, published
from search.progress import DataProgress, clock, say
from search.sampler import Proposer
from trainables.budget import Budget, Diverged
from trainables.cpu import resolve_precision
from trainables.data.source import DataSpec
from trainables.errors import TrellisError
from trainables.seeds import derive

EXPERIMENT = "lenet_beans"
FOLDER = Path(__file__).parent / "curves"


def configurations(experiment: Experiment, fixed: Mapping[str, Any], count: int) -> list[Any]:
    """Return the published configuration and random ones, all different; more only add to fewer.

    Drawn uniformly from the space with `fixed` held, by the seed 0.
    """
    first = published(experiment, Plan(1, 1, fixed=fixed))
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every draw
    proposer = Proposer(experiment.space(), fixed, "random", 0)
    drawn = [proposer.propose(n, None if n else first) for n in range(count)]
    return [trial.user_attrs["config"] for trial in drawn if trial is not None]


def record(epochs: Iterator[Any]) -> tuple[tuple[tuple[float, ...], ...], int]:
    """Train to the end; return a row of EPOCH_FIELDS per epoch, and the number of parameters.

    CPU seconds are those of the process, so other work on the machine does not lengthen them.
    """
    rows: list[tuple[float, ...]] = []
    parameters = 0
    wall, cpu = time.perf_counter(), time.process_time()
    nothing = (float("nan"),) * (len(EPOCH_FIELDS) - 2)
    while True:
        try:
            result = next(epochs, None)
            if result is None:
                return tuple(rows), parameters
            values = tuple(getattr(result, name) for name in EPOCH_FIELDS[:-2])
            parameters = result.parameters
        except Diverged:
            values, epochs = nothing, iter(())
        now = time.perf_counter(), time.process_time()
        rows.append((*values, now[0] - wall, now[1] - cpu))
        wall, cpu = now


def about(experiment: Experiment, data: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a recording depends on."""
    import torch

    return {
        "experiment": experiment.name,
        "image_size": options.image_size,
        "epochs": options.epochs,
        "threads": options.threads,
        "data": data.spec.kind,
        "fingerprint": data.fingerprint,
        "torch": torch.__version__,
    }


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog="benchmarks.record_curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--configurations", type=int, default=300, help="how many (300)")
    made.add_argument("--repeats", type=int, default=3, help="seeds of each (3)")
    made.add_argument("--epochs", type=int, default=20, help="of each run (20, as published)")
    made.add_argument("--image-size", type=int, default=64, help="side in pixels (64)")
    made.add_argument("--threads", type=int, default=1, help="CPU threads of a run (1)")
    made.add_argument("--processes", type=int, default=1, help="runs at once (1)")
    made.add_argument("--data", help="tfds (default) or embedded")
    made.add_argument("--data-dir", help="where TFDS keeps its data")
    made.add_argument("--log", type=Path, default=Path("results/curves.jsonl"), help="%(default)s")
    made.add_argument("--to", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet", help="the end")
    return made


def train(
    options: argparse.Namespace, spec: DataSpec, task: tuple[int, int, Mapping[str, Any]]
) -> Run:
    """Train a configuration once: `task` has its number, the repeat, and the configuration."""
    number, repeat, config = task
    seed = derive(0, "curve", number, repeat)
    # The clock of replays is CPU seconds.
    budget = Budget(options.epochs, seed=seed, threads=options.threads, device="cpu")
    epochs = find(EXPERIMENT).trainable()(config, _data(spec, options.image_size), budget)
    rows, parameters = record(epochs)
    precision = resolve_precision("auto", on_this_cpu=True)
    return Run(number, repeat, config, parameters, rows, precision)


@functools.cache
def _data(spec: DataSpec, image_size: int) -> Any:
    """Return the data, its arrays made: once per process."""
    from trainables.data import open_data, prepare

    data = open_data(spec, DataProgress())
    prepare(data, [image_size], progress=DataProgress())
    return data


def _follow() -> None:
    """End with the process that began this one, and not by a Ctrl-C that is meant for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def in_processes(
    options: argparse.Namespace, spec: DataSpec, tasks: Sequence[Any]
) -> Iterator[Run]:
    """Train in several processes at once; what they are at is dropped when the caller ends."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(options.processes, context, _follow)
    try:
        for done in as_completed([pool.submit(train, options, spec, task) for task in tasks]):
            yield done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


def train_all(options: argparse.Namespace, spec: DataSpec) -> None:
    """Record every run that the log does not have, then write the Parquet file."""
    experiment = find(EXPERIMENT)
    described = about(experiment, _data(spec, options.image_size), options)
    runs = recorded(options.to, described)
    log = RunLog(options.log, described)
    runs |= log.runs
    configs = configurations(
        experiment, {"image_size": options.image_size}, options.configurations
    )
    # Every configuration once, then all again: what is there after a while is of use.
    wanted = [(c, r) for r in range(options.repeats) for c in range(len(configs))]
    tasks = [(c, r, configs[c]) for c, r in wanted if (c, r) not in runs]
    if options.processes > 1:
        trained: Iterable[Run] = in_processes(options, spec, tasks)
    else:
        trained = (train(options, spec, task) for task in tasks)
    begun = time.monotonic()
    for done, run in enumerate(trained, start=1):
        log.add(run)
        runs[run.configuration, run.repeat] = run
        left = (time.monotonic() - begun) / done * (len(tasks) - done)
        say(
            f"{len(wanted) - len(tasks) + done} of {len(wanted)}: {_told(run)}, {clock(left)} left"
        )
    log.close()
    write_curves(options.to, runs.values(), described)
    say(f"{len(runs)} runs in {options.to}, {options.to.stat().st_size / 1e6:.1f} MB")


def _told(run: Run) -> str:
    best = max((row[3] for row in run.rows if row[3] == row[3]), default=0.0)
    return f"configuration {run.configuration}, repeat {run.repeat}, best {best:.4f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        train_all(options, data_spec(options.data, options.data_dir, find(EXPERIMENT).dataset))
    except TrellisError as error:
        say(f"benchmarks.record_curves: {error}")
        return exit_code(error)
    except KeyboardInterrupt:
        say(f"\nended; {options.log} has what was recorded, and the same command goes on")
        return EXIT_INTERRUPTED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
