"""The search space of lenet_beans, around the published study's one-at-a-time tables."""

from typing import Any

DEFAULTS: dict[str, Any] = {
    "regularizer": "none",
    "strength": 0.01,
    "dropout": 0.0,
    "kernel_size": 5,
    "filters": "6/16/120",
    "learning_rate": 1e-3,
    "batch_size": 64,
    "augmentation": "none",
    "image_size": 299,
}
"""The published configuration; strength counts only where a regularizer is chosen."""


def space(trial: Any) -> dict[str, Any]:
    """Return a configuration drawn from `trial`, an Optuna trial or one that acts like it."""
    config: dict[str, Any] = {
        # The published study compared none, L1 and L2.
        "regularizer": trial.suggest_categorical("regularizer", ["none", "l1", "l2"]),
    }
    if config["regularizer"] != "none":
        # Published 0.01. Below 1e-5 the penalty vanishes beside the cross entropy, 1.1 at first;
        # it outweighs that from 1e-3 on (L1: the kernels of 6/16/120 start with a sum of |w| near
        # 1,170) and from 0.03 on (L2: a sum of squares near 41).
        config["strength"] = trial.suggest_float("strength", 1e-5, 1e-1, log=True)
    return config | {
        # Published 0 and 0.2; over one half of the features dropped slows 20 epochs too much.
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1),
        # Published 3, 5, 7.
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5, 7]),
        # Published triplets; the largest is the one that ran out of memory there.
        "filters": trial.suggest_categorical("filters", ["3/8/60", "6/16/120", "12/32/240"]),
        # Keras's Adam default 1e-3; at 1e-2 the 27 million dense weights diverge or die.
        "learning_rate": trial.suggest_float("learning_rate", 5e-5, 5e-3, log=True),
        # Published 64; with 1,034 images 16 gives 65 steps an epoch, 128 only 9.
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        # A leaf has no up or down and is seen in any light; noise is what a phone adds.
        "augmentation": trial.suggest_categorical(
            "augmentation",
            [
                "none",
                "flip",
                "rotation",
                "zoom",
                "crop",
                "brightness",
                "contrast",
                "colour",
                "gaussian_noise",
                "salt_pepper_noise",
                "speckle_noise",
                "flip+transpose+brightness",
                "flip+transpose+rotation+zoom+brightness+contrast+colour",
            ],
        ),
        # Published 299. Lesions stay visible at 128, at a fifth of the cost.
        "image_size": trial.suggest_categorical("image_size", [64, 128, 192, 299]),
    }
