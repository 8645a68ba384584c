"""transfer.json: what the transfer gained, in accuracy and in time, against a start from scratch.

The last step of a study of cifar10_transfer, for its best trial (see search/conclusion.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainables import device as machine
from trainables.assembly import Config, initialised
from trainables.budget import Budget, Diverged
from trainables.cifar10_transfer import (
    build,
    optimizer_of,
    source_of,
    target_network,
    target_stage,
)
from trainables.data import Data
from trainables.evaluation import Examples
from trainables.nets.lenet import keras_init
from trainables.training import Stage, run_epoch
from trainables.transfer_features import target_features
from trainables.transfer_source import Source, only, parse_classes

NAME = "transfer.json"
# Of the published study, on a machine of its own: only the ratios compare.
PUBLISHED = {
    "source": {"val_accuracy": 0.7448, "best_val_accuracy": 0.7540, "seconds": 269.7},
    "target": {"val_accuracy": 0.8234, "best_val_accuracy": 0.8264, "seconds": 96.2},
}
# A network from scratch trains for so many times the epochs of source and trial at most.
_MOST_TIMES = 3
_SCRATCH = "training from scratch for comparison"

Rows = Sequence[Mapping[str, Any]]


def conclude(config: Config, rows: Rows, data: Data, budget: Budget) -> dict[str, Any]:
    """Return the content of transfer.json, but for what names the trial.

    Args:
        config: Of the best trial.
        rows: One per epoch of it, with `val_accuracy` and `epoch_s`.
        data: As the trial had it; the test split stays closed.
        budget: The trial's seed, device, threads and precision.

    Raises:
        DataError: source or features are no longer in the cache and cannot be made again.
    """
    device = machine.set_up(budget)
    source = source_of(config, data, budget)
    classes = parse_classes(config["target_classes"])
    model = target_network(config, data, source, budget, device)
    feature_s = target_features(data, classes, model, source, budget).seconds
    train_s = _alone_s(config, data, budget, source, len(rows))
    told = {"source": _source(config, source), "target": _target(config, rows, train_s, feature_s)}
    target_s, source_s = told["target"]["seconds"], source.seconds
    most = _MOST_TIMES * (len(rows) + len(source.history))
    scratch = from_scratch(config, data, budget, target_s + source_s, len(rows), most)
    return {
        **told,
        "ratio": ratio(told),
        "published": {**PUBLISHED, "ratio": ratio(PUBLISHED)},
        "device": device.type,
        "threads": torch.get_num_threads(),
        "from_scratch": compare(scratch, target_s, target_s + source_s, len(rows)),
    }


def _alone_s(config: Config, data: Data, budget: Budget, source: Source, epochs: int) -> float:
    """Train the target once more, alone on the machine as the start from scratch is; time it.

    The seconds in the study's tables were taken beside other trials.
    """
    device = machine.set_up(budget)
    stage = target_stage(config, data, budget, source, 0.0, device)
    spent = 0.0
    for epoch in range(1, epochs + 1):
        budget.progress("training the target alone for comparison", epoch, epochs)
        spent += run_epoch(stage, budget, epoch, device).epoch_s
    return spent


def _source(config: Config, source: Source) -> dict[str, Any]:
    accuracies = [row["val_accuracy"] for row in source.history]
    return {
        "classes": config["source_classes"],
        "epochs": len(accuracies),
        "val_accuracy": accuracies[-1],
        "best_val_accuracy": max(accuracies),
        "seconds": source.seconds,
        "device": source.device,
        "threads": source.threads,
    }


def _target(config: Config, rows: Rows, train_s: float, feature_s: float) -> dict[str, Any]:
    accuracies = [row["val_accuracy"] for row in rows]
    return {
        "classes": config["target_classes"],
        "epochs": len(rows),
        "val_accuracy": accuracies[-1],
        "best_val_accuracy": max(accuracies),
        "seconds": train_s + feature_s,
        "feature_seconds": feature_s,
    }


def ratio(told: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Return target over source, of the seconds and of the accuracies after the last epoch.

    None where the source has none.
    """
    source, target = told["source"], told["target"]
    names = ("seconds", "val_accuracy")
    return {name: target[name] / source[name] if source[name] else None for name in names}


def from_scratch(
    config: Config, data: Data, budget: Budget, seconds: float, epochs: int, most: int
) -> list[dict[str, Any]]:
    """Train the trial's network on the target from random weights, every layer of it.

    Goes on until both the seconds and the epochs have passed, for `most` epochs at most.
    Divergence ends it. Returns a row per epoch: val_accuracy and seconds since the beginning.
    """
    device = machine.set_up(budget)
    stage = _scratch_stage(config, data, budget, device)
    history: list[dict[str, Any]] = []
    spent = 0.0
    while len(history) < most and (spent < seconds or len(history) < epochs):
        budget.progress(_SCRATCH, len(history), most)
        try:
            result = run_epoch(stage, budget, len(history) + 1, device)
        except Diverged:
            break
        spent += result.epoch_s
        history.append({"val_accuracy": result.val_accuracy, "seconds": spent})
    budget.progress(_SCRATCH, len(history), len(history))  # that is all, fewer than most or not
    return history


def _scratch_stage(config: Config, data: Data, budget: Budget, device: torch.device) -> Stage:
    classes = parse_classes(config["target_classes"])
    train, validation = (only(data, name, classes) for name in ("train", "validation"))
    height, width, channels = train.images.shape[1:]
    free = {**config, "frozen_layers": 0}
    model = initialised(
        lambda: build(free, len(data.classes), channels, (height, width)),
        keras_init,
        budget.seed,
        device,
    )
    return Stage(
        name="scratch",
        epochs=budget.epochs,
        model=model,
        optimizer=optimizer_of(config, model),
        train=Examples.of(train, device),
        validation=Examples.of(validation, device),
        batch_size=config["batch_size"],
    )


def compare(history: Rows, target_s: float, all_s: float, epochs: int) -> dict[str, Any]:
    """Return what a start from scratch had reached after as much time, and as many epochs.

    `within_target_seconds` has what the target took, `within_all_seconds` the source as well;
    None where no epoch had ended by then.
    """
    return {
        "epochs": len(history),
        "seconds": history[-1]["seconds"] if history else 0.0,
        # It had not had as much time when it was ended: what it reached is then too little.
        "cut_short": not history or history[-1]["seconds"] < all_s,
        "within_target_seconds": _reached([r for r in history if r["seconds"] <= target_s]),
        "within_all_seconds": _reached([r for r in history if r["seconds"] <= all_s]),
        "after_equal_epochs": _reached(history[:epochs]) if len(history) >= epochs else None,
    }


def _reached(rows: Rows) -> dict[str, Any] | None:
    if not rows:
        return None
    accuracies = [row["val_accuracy"] for row in rows]
    last = {"epochs": len(rows), "seconds": rows[-1]["seconds"], "val_accuracy": accuracies[-1]}
    return {**last, "best_val_accuracy": max(accuracies)}


def lines(content: Mapping[str, Any]) -> list[str]:
    """Return what a user should read of it."""
    source, target, scratch = (content[name] for name in ("source", "target", "from_scratch"))
    found, published = content["ratio"]["seconds"], content["published"]["ratio"]["seconds"]
    said = [
        f"source, classes {source['classes']}: {_accuracies(source)}",
        f"target, classes {target['classes']}: {_accuracies(target)}, {found:.2f} of the source's "
        f"time (published {published:.2f})",
        "the same network from scratch on the target's classes: "
        f"{_told(scratch['within_target_seconds'])} in the target's time, "
        f"{_told(scratch['within_all_seconds'])} in that of source and target, "
        f"{_told(scratch['after_equal_epochs'])} after as many epochs as the target",
    ]
    if scratch["cut_short"]:
        said.append(
            f"note: the start from scratch was ended after {scratch['epochs']} epochs and "
            f"{scratch['seconds']:.1f} s, before it had as much time as source and target"
        )
    if any(source[name] != content[name] for name in ("device", "threads")):
        said.append(
            f"note: the source was trained on {source['device']} with {source['threads']} threads"
            f", the target on {content['device']} with {content['threads']}: times don't compare"
        )
    return said


def _accuracies(told: Mapping[str, Any]) -> str:
    last, best = told["val_accuracy"], told["best_val_accuracy"]
    return f"validation accuracy {last:.4f} (best {best:.4f}) in {told['seconds']:.1f} s"


def _told(reached: Mapping[str, Any] | None) -> str:
    if reached is None:
        return "not an epoch"
    return f"{reached['val_accuracy']:.4f} (epoch {reached['epochs']})"
