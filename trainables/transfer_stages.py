"""What a trial of cifar10_transfer holds in memory: its stage, built on the meta device.

Source network and features are taken to be stored: then neither images nor frozen layers count.
"""

from functools import partial

import numpy as np
import torch

from trainables.assembly import Config, DeviceStage, initialised
from trainables.budget import Budget
from trainables.cifar10_transfer import optimizer_of
from trainables.data import Data
from trainables.data.source import Progress
from trainables.evaluation import Examples
from trainables.nets.lenet import keras_init
from trainables.nets.transfer import TransferNet, TransferTail
from trainables.training import Stage
from trainables.transfer_features import features_to_floats
from trainables.transfer_source import members, parse_classes

_META = torch.device("meta")


def stages(config: Config, data: Data, budget: Budget) -> list[DeviceStage]:
    """Return what builds the trial's one stage, on the device "meta" alone."""
    return [partial(_stage, config, data, budget)]


def _stage(config: Config, data: Data, budget: Budget, device: torch.device) -> Stage:
    if device.type != "meta":
        raise ValueError(f"the device must be meta here, but got {device}")
    height, width, channels = data.split("train", None, budget.progress).images.shape[1:]
    build = partial(
        TransferTail,
        frozen_layers=config["frozen_layers"],
        size=(height, width),
        channels=channels,
        classes=len(data.classes),
        dense_width=config["dense_width"],
        dropout=config["dropout"],
    )
    model = initialised(build, keras_init, budget.seed, _META)
    assert isinstance(model, TransferNet)
    features = model.head(torch.empty((1, channels, height, width), device=_META))[0]
    shape = tuple(features.permute(1, 2, 0).shape)
    train, validation = (
        _examples(config, data, each, shape, budget.progress) for each in ("train", "validation")
    )
    return Stage(
        name="target",
        epochs=budget.epochs,
        model=model,
        optimizer=optimizer_of(config, model),
        train=train,
        validation=validation,
        batch_size=config["batch_size"],
        prepare=features_to_floats,
    )


def _examples(
    config: Config, data: Data, split: str, shape: tuple[int, ...], progress: Progress
) -> Examples:
    """Return the features [n, *shape] of the target's images; only the labels are read."""
    labels = np.asarray(data.split(split, None, progress).labels)
    count = len(members(labels, parse_classes(config["target_classes"]), split))
    values = torch.empty((count, *shape), dtype=torch.bfloat16, device=_META)
    return Examples(values, torch.empty(count, dtype=torch.int64, device=_META))
