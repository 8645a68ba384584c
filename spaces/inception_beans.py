"""The search space of inception_beans, around the published study's four unfreeze depths."""

from collections.abc import Callable
from typing import Any

DEFAULTS: dict[str, Any] = {
    "unfreeze_blocks": 6,
    "head_learning_rate": 1e-3,
    "finetune_learning_rate": 1e-4,
    "head_epochs": 20,
    "finetune_epochs": 6,
    "head_width": 1024,
    "dropout": 0.0,
    "batch_size": 64,
    "augmentation": "none",
}
"""The published configuration at its best depth. The study says "a low learning rate" of
fine-tuning, and no batch size: 1e-4 is a tenth of the head's, 64 is what it says of LeNet."""

_AUGMENTATIONS = (
    *("flip", "mirror", "transpose", "rotation", "zoom", "crop", "brightness", "contrast"),
    *("colour", "gaussian_noise", "salt_pepper_noise", "speckle_noise"),
)


def space(trial: Any) -> dict[str, Any]:
    """Return a configuration drawn from `trial`, an Optuna trial or one that acts like it."""
    config: dict[str, Any] = {
        # Published 0, 2, 3 and 6 blocks from the end.
        "unfreeze_blocks": trial.suggest_categorical("unfreeze_blocks", [0, 2, 3, 6]),
        # Keras's Adam default 1e-3; at 1e-2 a linear head on fixed features still settles.
        "head_learning_rate": trial.suggest_float("head_learning_rate", 1e-4, 1e-2, log=True),
        # Published 20; the head is near its best after 5, and an epoch costs a tenth of a second.
        "head_epochs": trial.suggest_int("head_epochs", 5, 20, step=5),
        # Published 1024; 2048 is as wide as what goes in.
        "head_width": trial.suggest_categorical("head_width", [256, 512, 1024, 2048]),
        # Published none; it stands on the dense layer's output.
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1),
        # As for lenet_beans: 65 to 9 steps an epoch.
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        # Every other value costs passes through the backbone for copies of its own; --fix.
        "augmentation": trial.suggest_categorical("augmentation", ["none"]),
    }
    if config["unfreeze_blocks"]:
        # Below 1e-6 six epochs change nothing; at 1e-3 pretrained weights are forgotten.
        config["finetune_learning_rate"] = trial.suggest_float(
            "finetune_learning_rate", 1e-6, 1e-3, log=True
        )
        # Published 6. These are the expensive epochs.
        config["finetune_epochs"] = trial.suggest_int("finetune_epochs", 2, 12, step=2)
    return config


def _augmentation(text: str) -> str:
    words = text.split("+")
    if text != "none" and (set(words) - set(_AUGMENTATIONS) or len(set(words)) < len(words)):
        raise ValueError(f"must be none, or joined by + any of {', '.join(_AUGMENTATIONS)}")
    return text if text == "none" else "+".join(w for w in _AUGMENTATIONS if w in words)


READERS: dict[str, Callable[[str], Any]] = {"augmentation": _augmentation}
"""What `--fix` takes beyond the choices that are searched."""
