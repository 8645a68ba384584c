"""Keras Tuner: Hyperband over a HyperModel, Keras 3 on torch, one trial at a time on all cores.

As keras.io teaches in "Getting started with KerasTuner"; images come from a torch DataLoader,
which `fit` takes, with the transforms of the other peers. How many configurations Hyperband
tries follows from its epochs; it repeats its brackets until there are about as many as wanted.
"""

import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import records
from benchmarks.peers.task import Task

FACTOR = 3  # Keras Tuner's default


class Drawn:
    """Acts like an Optuna trial, and draws from Keras Tuner's hyperparameters."""

    def __init__(self, hp: Any) -> None:
        """Take the `HyperParameters` of a trial."""
        self._hp = hp

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of `choices`."""
        return self._hp.Choice(name, list(choices))

    def suggest_float(
        self, name: str, low: float, high: float, step: float | None = None, log: bool = False
    ) -> float:
        """Return a float in [low, high]."""
        scale = "log" if log else "linear"
        return float(self._hp.Float(name, low, high, step=step, sampling=scale))

    def suggest_int(self, name: str, low: int, high: int, step: int = 1) -> int:
        """Return a whole number in [low, high]."""
        return int(self._hp.Int(name, low, high, step=step))


def brackets(epochs: int) -> list[int]:
    """Return how many new configurations each bracket of one Hyperband iteration begins.

    As keras_tuner's oracle computes it: from the bracket whose trials begin with the fewest
    epochs, at least one, down to the one that trains all its trials to the end.
    """
    highest = 0
    while epochs / FACTOR ** (highest + 1) >= 1:
        highest += 1
    last = math.ceil(1 + math.log(epochs, FACTOR))
    return [math.ceil(last / (each + 1) * FACTOR**each) for each in range(highest, -1, -1)]


def channels_last(batch: list[Any]) -> tuple[Any, Any]:
    """Collate a batch into images [n, height, width, channels] and labels [n]."""
    from torch.utils.data import default_collate

    images, labels = default_collate(batch)
    return images.permute(0, 2, 3, 1), labels


def hypermodel(task: Task) -> Any:
    """Return the HyperModel: `build` draws a configuration, `fit` reads the images."""
    import keras  # type: ignore[import-not-found]
    import keras_tuner  # type: ignore[import-not-found]

    from benchmarks.peers import keras_inception
    from benchmarks.peers.keras_networks import compiled
    from benchmarks.peers.stock import loaders

    class Noted(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            accuracy = float(logs["val_sparse_categorical_accuracy"])
            records.append(task.records, self.name, epoch + 1, accuracy)

    class Searched(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            config = task.space(Drawn(hp))
            train, _ = loaders(task, config)
            channels, height, width = train.dataset[0][0].shape
            shape, classes = (height, width, channels), len(train.dataset.classes)
            if task.experiment == "inception_beans":
                return keras_inception.build(config, shape, classes, task.weights)
            return compiled(task.experiment, config, shape, classes)

        def fit(self, hp: Any, model: Any, *given: Any, **named: Any) -> Any:
            config = task.space(Drawn(hp))
            train, validation = loaders(task, config)
            for each in (train, validation):
                each.collate_fn = channels_last
            named |= {"validation_data": validation, "verbose": 2}
            noting = Noted(records.key(config))
            if task.experiment == "inception_beans":
                return keras_inception.fit(model, config, train, noting=noting, **named)
            named["callbacks"] = [*named.get("callbacks", ()), noting]
            return model.fit(train, *given, **named)

    return Searched()


def main() -> None:
    """Search as the task in the file of the first argument says."""
    import keras
    import keras_tuner
    import torch

    task = Task.read(sys.argv[1])
    torch.set_num_threads(task.cores)  # one trial at a time has them all
    keras.utils.set_random_seed(task.seed)
    tuner = keras_tuner.Hyperband(
        hypermodel(task),
        objective=keras_tuner.Objective("val_sparse_categorical_accuracy", "max"),
        max_epochs=task.epochs,
        factor=FACTOR,
        hyperband_iterations=max(1, round(task.trials / sum(brackets(task.epochs)))),
        seed=task.seed,
        directory=str(Path(task.folder, "keras")),
        project_name=task.experiment,
    )
    tuner.search()


if __name__ == "__main__":
    main()
