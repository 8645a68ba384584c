"""Records real learning curves of `lenet_beans`, to replay searches on (benchmarks/replay.py).

Trains the published configuration and random ones of the space, each with several seeds, one
after the other and without Ray. It can be ended at any moment: the same command goes on.

python -m benchmarks.record_curves --data-dir DIR --configurations 300 --repeats 3
python -m benchmarks.record_curves --data embedded --configurations 3 --repeats 1 --epochs 2
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.curve_files import EPOCH_FIELDS, Run, RunLog, write_curves
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
        "precision": resolve_precision("auto", on_this_cpu=True),
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
    made.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    made.add_argument("--data", help="tfds (default) or embedded")
    made.add_argument("--data-dir", help="where TFDS keeps its data")
    made.add_argument("--log", type=Path, default=Path("results/curves.jsonl"), help="%(default)s")
    made.add_argument("--to", type=Path, default=FOLDER / f"{EXPERIMENT}.parquet", help="the end")
    return made


def train_all(options: argparse.Namespace, spec: DataSpec) -> None:
    """Record every run that the log does not have, then write the Parquet file."""
    from trainables.data import open_data, prepare

    experiment = find(EXPERIMENT)
    data = open_data(spec, DataProgress())
    prepare(data, [options.image_size], progress=DataProgress())
    described = about(experiment, data, options)
    log = RunLog(options.log, described)
    configs = configurations(
        experiment, {"image_size": options.image_size}, options.configurations
    )
    # Every configuration once, then all again: what is there after a while is of use.
    wanted = [(c, r) for r in range(options.repeats) for c in range(len(configs))]
    waiting = [key for key in wanted if key not in log.runs]
    begun = time.monotonic()
    for done, (number, repeat) in enumerate(waiting):
        seed = derive(0, "curve", number, repeat)
        budget = Budget(options.epochs, seed=seed, threads=options.threads)
        rows, parameters = record(experiment.trainable()(configs[number], data, budget))
        log.add(Run(number, repeat, configs[number], parameters, rows))
        best = max((row[3] for row in rows if row[3] == row[3]), default=0.0)
        left = (time.monotonic() - begun) / (done + 1) * (len(waiting) - done - 1)
        say(
            f"{len(log.runs)} of {len(wanted)}: configuration {number}, repeat {repeat}, best "
            f"{best:.4f}, {clock(left)} left"
        )
    log.close()
    write_curves(options.to, [log.runs[key] for key in wanted], described)
    say(f"{len(wanted)} runs in {options.to}, {options.to.stat().st_size / 1e6:.1f} MB")


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
