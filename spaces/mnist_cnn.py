"""The search space of mnist_cnn, around the one published configuration."""

from typing import Any

DEFAULTS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "batch_size": 64,
    "kernel_size": 3,
    "filters": "32/64",
    "dropout": 0.5,
}
"""The published configuration."""


def space(trial: Any) -> dict[str, Any]:
    """Return a configuration drawn from `trial`, an Optuna trial or one that acts like it."""
    return {
        # Published 1e-3, at which the loss of the first epoch is still 0.79: too low for batch
        # 64. With momentum 0.9 a step sums to ten times the rate; above 0.1 it diverges.
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        # Published 0.9. 0 is plain SGD; 0.95 averages over 20 steps, more lags behind.
        "momentum": trial.suggest_float("momentum", 0.0, 0.95, step=0.05),
        # Published 64. Small ones make more of few epochs, large ones more of a GPU.
        "batch_size": trial.suggest_categorical("batch_size", [4, 8, 16, 32, 64, 128, 256, 512]),
        # Published 3. A stroke is 2 to 4 pixels wide: 7 sees it with its surroundings.
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5, 7]),
        # Published 32/64, with half and twice of both.
        "filters": trial.suggest_categorical("filters", ["16/32", "32/64", "64/128"]),
        # Published 0.5, on the 128 features before the last layer; 0 is without.
        "dropout": trial.suggest_float("dropout", 0.0, 0.8, step=0.1),
    }
