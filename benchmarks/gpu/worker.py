"""Trains the work of one process, and prints the times at which its epochs ended.

After its first epoch, which is not timed, it says "ready" and waits for a line: all processes go
on together, when none of them still starts.

python -m benchmarks.gpu.worker '{"experiment": "mnist_cnn", "epochs": 3, "images": 640}'
"""

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gpu.work import CannotRun, Work, budget_of, drawn

READY = "ready"
NO_MEMORY = 3  # the exit code where the GPU, or the machine, has too little of it


def ends(work: Work) -> Iterator[float]:
    """Train, and yield the time at the end of every epoch; several trials in one batch."""
    module = importlib.import_module(f"trainables.{work.experiment}")
    with tempfile.TemporaryDirectory() as folder:
        budget = replace(budget_of(work), folder=Path(folder))
        for _ in module.epochs(work.config, drawn(work), budget):
            yield time.perf_counter()


def ends_together(work: Work) -> Iterator[float]:
    """Train several trials in one batch, and yield the time at the end of every epoch."""
    from trainables.batched import run_batched
    from trainables.budget import EpochResult

    seeds = range(work.trials)
    builders = [_builder(replace(work, seed=seed)) for seed in seeds]
    for told in run_batched(builders, seeds, budget_of(work), work.one_by_one):
        if not all(isinstance(each, EpochResult) for each in told):
            raise CannotRun(f"a trial diverged: {told}")
        yield time.perf_counter()


def _builder(work: Work) -> Any:
    module = importlib.import_module(f"trainables.{work.experiment}")
    (build,) = module.stages(work.config, drawn(work), budget_of(work))
    return build


def main() -> None:
    """Train; end with NO_MEMORY where that runs out."""
    from trainables.device import is_out_of_memory

    try:
        _train(Work(**json.loads(sys.argv[1])))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(NO_MEMORY)


def _train(work: Work) -> None:
    """Print the times, in seconds, as JSON; the first is when all went on."""
    moments = ends_together(work) if work.batched else ends(work)
    next(moments)
    print(READY, flush=True)
    if not sys.stdin.readline():  # who started it is gone
        return
    print(json.dumps([time.perf_counter(), *moments]))


if __name__ == "__main__":
    main()
