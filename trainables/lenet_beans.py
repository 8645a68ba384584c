"""LeNet on the beans leaf images: configuration -> network, data, loop.

Published: 0.6953 test accuracy after 20 epochs at kernel 5, filters 6/16/120, 299x299, batch 64.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from trainables.assembly import (
    Config,
    initialised,
    one_stage,
    only_stage,
    parse_filters,
    run_one_stage,
)
from trainables.budget import Budget, EpochResult, drive
from trainables.data import Data
from trainables.nets.lenet import LeNet, keras_init
from trainables.optimizers import KERAS_EPSILON, Adam
from trainables.regularizers import convolution_penalty
from trainables.training import Stage


def build(
    config: Config, classes: int, channels: int = 3, _size: tuple[int, int] | None = None
) -> nn.Module:
    """Return the untrained network of a configuration: for images scaled to its image_size."""
    first, second, third = parse_filters(config["filters"], like="6/16/120")
    return LeNet(
        image_size=config["image_size"],
        channels=channels,
        classes=classes,
        kernel_size=config["kernel_size"],
        filters=(first, second, third),
        dropout=config["dropout"],
    )


def epochs(config: Config, data: Data, budget: Budget) -> Iterator[EpochResult]:
    """Yield the result of every epoch of one trial.

    Raises:
        Diverged: a loss that is not finite.
    """
    return run_one_stage(_stage, config, data, budget)


def train_and_evaluate(
    config: Config,
    data: Data,
    budget: Budget,
    report: Callable[[EpochResult], bool | None] | None = None,
) -> EpochResult:
    """Train one configuration, tell `report` of every epoch, and return the best epoch.

    Args:
        config: A value for each hyperparameter of `spaces.lenet_beans`.
        data: As `trainables.data.open_data` gives it.
        budget: Epochs, seed, device.
        report: Called after every epoch; a true answer ends the training.

    Raises:
        Diverged: a loss that is not finite.
    """
    return drive(epochs(config, data, budget), report)


def _stage(config: Config, data: Data, budget: Budget, device: torch.device) -> Stage:
    size = config["image_size"]
    progress = budget.progress
    splits = data.split("train", size, progress), data.split("validation", size, progress)
    channels = splits[0].images.shape[-1]
    model = initialised(
        lambda: build(config, len(data.classes), channels), keras_init, budget.seed, device
    )
    optimizer = Adam(model.parameters(), lr=config["learning_rate"], eps=KERAS_EPSILON)
    penalty = _penalty(config, model)
    return only_stage(config, budget.epochs, model, optimizer, splits, penalty)


def _penalty(config: Config, model: nn.Module) -> Callable[[], Tensor] | None:
    if config["regularizer"] == "none":
        return None
    return partial(convolution_penalty, model, config["regularizer"], config["strength"])


stages = one_stage(_stage)
