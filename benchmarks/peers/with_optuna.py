"""Optuna alone: `study.optimize` with a thread per trial and SuccessiveHalvingPruner, at defaults.

As optuna.readthedocs.io teaches in "Efficient optimization algorithms" and "Easy parallelization".
"""

import sys
from typing import Any

from benchmarks.peers import records
from benchmarks.peers.task import Task


def objective(task: Task, trial: Any) -> float:
    """Train one trial; return its best validation accuracy."""
    import optuna
    import torch

    from benchmarks.peers import stock

    config = task.space(trial)
    if task.gpus:  # of this thread: trials in turn on all there are
        torch.cuda.set_device(trial.number % task.gpus)
    best = 0.0
    for epoch, accuracy in stock.epochs(task, config, task.seed):
        records.append(task.records, records.key(config), epoch, accuracy)
        best = max(best, accuracy)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return best


def main() -> None:
    """Search as the task in the file of the first argument says."""
    import optuna
    import torch

    import benchmarks.peers.stock  # noqa: F401  # before two threads would import it at once

    task = Task.read(sys.argv[1])
    torch.set_num_threads(1)  # a core for each of the trials at once
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(),
    )
    first = {name: value for name, value in task.first.items() if name not in task.fixed}
    study.enqueue_trial(first)
    study.optimize(lambda trial: objective(task, trial), n_trials=task.trials, n_jobs=task.cores)


if __name__ == "__main__":
    main()
