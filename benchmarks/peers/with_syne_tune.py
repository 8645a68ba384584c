"""Syne Tune: its ASHA with the local backend, which starts a process per trial.

As its documentation teaches in "Getting started"; it looks for results every second and not
every five. Searched is `task.space` as a flat dictionary: Syne Tune has no conditions.
"""

import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.task import Task
from search.domains import Domain, domains

METRIC, EPOCH = "val_accuracy", "epoch"


def config_space(task: Task) -> dict[str, Any]:
    """Return Syne Tune's space: a domain per hyperparameter that is not fixed, and the task."""
    found = domains(task.space, task.first)
    return {name: domain(each) for name, each in found.items()}


def domain(each: Domain) -> Any:
    """Return Syne Tune's domain of a hyperparameter."""
    from syne_tune.config_space import (  # type: ignore[import-not-found]
        choice,
        finrange,
        loguniform,
        randint,
        uniform,
    )

    if each.choices:
        return choice(list(each.choices))
    if each.step is not None and (each.step != 1 or not each.integer):
        count = round((each.high - each.low) / each.step) + 1
        return finrange(each.low, each.high, count, cast_int=each.integer)
    if each.integer:
        return randint(int(each.low), int(each.high))
    return (loguniform if each.log else uniform)(each.low, each.high)


def main() -> None:
    """Search as the task in the file of the first argument says."""
    from syne_tune import StoppingCriterion, Tuner  # type: ignore[import-not-found]
    from syne_tune.backend import LocalBackend  # type: ignore[import-not-found]
    from syne_tune.optimizer.baselines import ASHA  # type: ignore[import-not-found]

    task = Task.read(sys.argv[1])
    os.environ["SYNETUNE_FOLDER"] = task.folder
    os.environ["PEERS_TASK"] = str(Path(sys.argv[1]).absolute())
    os.chdir(task.folder)  # it leaves a file where it looks for GPUs
    searched = config_space(task)
    scheduler = ASHA(
        searched,
        metric=METRIC,
        time_attr=EPOCH,
        max_t=task.epochs,
        do_minimize=False,
        random_seed=task.seed,
        points_to_evaluate=[{name: task.flat_first[name] for name in searched}],
    )
    Tuner(
        trial_backend=LocalBackend(str(Path(__file__).with_name("syne_tune_trial.py"))),
        scheduler=scheduler,
        # It ends above the number that it is given.
        stop_criterion=StoppingCriterion(max_num_trials_started=task.trials - 1),
        n_workers=task.cores,
        sleep_time=1.0,
        max_failures=0,
        wait_trial_completion_when_stopping=True,
    ).run()


if __name__ == "__main__":
    main()
