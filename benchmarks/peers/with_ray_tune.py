"""Ray Tune alone: OptunaSearch and ASHAScheduler over a function trainable, all at defaults.

As docs.ray.io teaches in "Running Tune experiments with Optuna" and "Tune with PyTorch".
"""

import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import records
from benchmarks.peers.task import Task


def train(config: dict[str, Any], task: Task) -> None:
    """Train one trial, and report every epoch."""
    from ray import tune

    from benchmarks.peers.stock import epochs

    for epoch, accuracy in epochs(task, config, task.seed):
        records.append(task.records, records.key(config), epoch, accuracy)
        tune.report({"val_accuracy": accuracy})


@dataclass
class Space:
    """The space as OptunaSearch wants it: it returns what is not drawn. Ray pickles it."""

    task: Task

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Draw from an Optuna trial; return the constants."""
        self.task.space(trial)
        return dict(self.task.fixed)


def resources(task: Task) -> dict[str, float]:
    """Return what a trial gets: a CPU and so a thread, and its share of the GPUs there are."""
    return {"cpu": 1, "gpu": min(1.0, task.gpus / task.cores)} if task.gpus else {"cpu": 1}


def tuner(task: Task) -> Any:
    """Return the Tuner: `task.cores` trials at once."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    drawn = {name: value for name, value in task.first.items() if name not in task.fixed}
    search = OptunaSearch(
        Space(task),
        metric="val_accuracy",
        mode="max",
        seed=task.seed,
        points_to_evaluate=[drawn],
    )
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(train, task=task), resources(task)),
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            search_alg=search,
            scheduler=ASHAScheduler(max_t=task.epochs),
            num_samples=task.trials,
            max_concurrent_trials=task.cores,
        ),
        run_config=tune.RunConfig(storage_path=task.folder, name="ray", verbose=1),
    )


def main() -> None:
    """Search as the task in the file of the first argument says."""
    import ray

    task = Task.read(sys.argv[1])
    ray.init("local", num_cpus=task.cores, num_gpus=task.gpus, include_dashboard=False)
    results = tuner(task).fit()
    if results.errors:  # a trial that failed would make the rest look fast
        raise results.errors[0]


if __name__ == "__main__":
    main()
