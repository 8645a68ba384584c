"""The search space of cifar10_net, around the published network with and without dropout."""

from typing import Any

DEFAULTS: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "batch_size": 4,
    "kernel_size": 3,
    "filters": "64/128/256",
    "dropout_1": 0.0,
    "dropout_2": 0.0,
    "dropout_3": 0.0,
    "loss": "cross_entropy",
    "augmentation": "mirror+crop",
}
"""The published configuration with a number: without dropout. With it: 0.2, 0.2 and 0.1."""


def space(trial: Any) -> dict[str, Any]:
    """Return a configuration drawn from `trial`, an Optuna trial or one that acts like it."""
    config: dict[str, Any] = {
        # Published SGD. Adam needs no momentum of its own: torch's default betas.
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
        # Published 1e-3, for batches of 4: a batch 64 times larger takes a rate up to 64 times
        # higher. Adam does best near 1e-3 and above 1e-2 no longer learns.
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
    }
    if config["optimizer"] == "sgd":
        # Published 0.9. 0 is plain SGD; 0.95 averages over 20 steps, more lags behind.
        config["momentum"] = trial.suggest_float("momentum", 0.0, 0.95, step=0.05)
    return config | {
        # Published 4, where a step is all overhead; 512 is still 88 steps of the 45,000 images.
        "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16, 32, 64, 128, 256, 512]),
        # Published 3. The last convolution sees 6x6 pixels, so 7 spans all of it.
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5, 7]),
        # Published 64/128/256, with half and twice of all.
        "filters": trial.suggest_categorical(
            "filters", ["32/64/128", "64/128/256", "128/256/512"]
        ),
        # Published 0.2, 0.2, 0.1 before the dense layers, or none; above one half of the
        # features dropped in three places little is left to learn from.
        "dropout_1": trial.suggest_float("dropout_1", 0.0, 0.5, step=0.1),
        "dropout_2": trial.suggest_float("dropout_2", 0.0, 0.5, step=0.1),
        "dropout_3": trial.suggest_float("dropout_3", 0.0, 0.5, step=0.1),
        # Mean squared error is bounded, so a mislabelled image pulls less; its gradients are
        # smaller, too, which a higher rate makes up for.
        "loss": trial.suggest_categorical("loss", ["cross_entropy", "mean_squared_error"]),
        # Published mirror+crop. Cars and animals have an up and a down, so no flip.
        "augmentation": trial.suggest_categorical(
            "augmentation",
            [
                "none",
                "mirror",
                "crop",
                "mirror+crop",
                "mirror+rotation+zoom",
                "mirror+crop+brightness+contrast+colour",
            ],
        ),
    }
