"""The search space of cifar10_transfer: what is taken over from the source network, and how.

The classes are no matter of searching, but any can be held: see READERS.
"""

from collections.abc import Callable, Mapping
from typing import Any

CLASSES = 10  # CIFAR-10 has so many

DEFAULTS: dict[str, Any] = {
    "source_classes": "0,1,2,3,4",
    "target_classes": "5,6,7,8,9",
    "source_learning_rate": 1e-3,
    "frozen_layers": 2,
    "dense_width": 128,
    "dropout": 0.0,
    "target_learning_rate": 1e-3,
    "batch_size": 100,
}
"""The published configuration; "Adam" is all it says of the rates: 1e-3 is Keras's default."""


def space(trial: Any) -> dict[str, Any]:
    """Return a configuration drawn from `trial`, an Optuna trial or one that acts like it."""
    return {
        # Other classes are another problem, whose accuracies do not compare: one choice each.
        "source_classes": trial.suggest_categorical("source_classes", ["0,1,2,3,4"]),
        "target_classes": trial.suggest_categorical("target_classes", ["5,6,7,8,9"]),
        # Few values, since each costs the training of another source network.
        "source_learning_rate": trial.suggest_categorical(
            "source_learning_rate", [3e-4, 1e-3, 3e-3]
        ),
        # Published 2, both convolutions. With 1 the second starts from the source's weights.
        "frozen_layers": trial.suggest_categorical("frozen_layers", [1, 2]),
        # Published 128, on 800 features; the source has 256.
        "dense_width": trial.suggest_int("dense_width", 64, 512, step=64),
        # Published 0, on the dense layer's output: over one half slows ten epochs too much.
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        # Published 1e-3. Two dense layers bear more than a deep network does, but at 1e-2 Adam's
        # steps are as large as the weights themselves.
        "target_learning_rate": trial.suggest_float("target_learning_rate", 1e-4, 1e-2, log=True),
        # Published 100, of 22,500 images; the source's own batches are always 100.
        "batch_size": trial.suggest_categorical("batch_size", [25, 50, 100, 200, 400]),
    }


def read_classes(text: str) -> str:
    """Return a list of classes such as "3,0,1" in its one spelling: "0,1,3".

    Raises:
        ValueError: not at least two different numbers from 0 to 9.
    """
    words = text.replace(" ", "").split(",")
    numbers = {int(word) for word in words if word.isascii() and word.isdecimal()}
    if not (len(numbers) == len(words) > 1 and max(numbers) < CLASSES):
        raise ValueError(
            f"must be at least two different class numbers from 0 to {CLASSES - 1} with commas "
            f"between them, such as 0,1,2; got {text!r}"
        )
    return ",".join(str(number) for number in sorted(numbers))


READERS: dict[str, Callable[[str], Any]] = {
    "source_classes": read_classes,
    "target_classes": read_classes,
}
"""Of hyperparameters that --fix may hold at more than the choices that are searched."""


def check(config: Mapping[str, Any], classes: int = CLASSES) -> None:
    """Check what no value shows alone, for data with so many classes.

    Raises:
        ValueError: source and target share a class, or have one that the data has not.
    """
    source, target = (
        {int(word) for word in config[name].split(",")}
        for name in ("source_classes", "target_classes")
    )
    if source & target:
        shared = ", ".join(str(number) for number in sorted(source & target))
        raise ValueError(
            f"source_classes and target_classes must not share a class: {shared}; "
            "hold the other by --fix source_classes=... or target_classes=..."
        )
    if max(source | target) >= classes:
        raise ValueError(
            f"class {max(source | target)} is not in the data, which has the classes 0 to "
            f"{classes - 1}; hold others by --fix source_classes=... and target_classes=..."
        )
