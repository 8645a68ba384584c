"""Convolutions moved from one half of CIFAR-10's classes to the other: configuration -> loop.

Published: a source network on the classes 0 to 4 (validation accuracy 0.7448, 269.7 s) lends its
convolutions, frozen, to a target network on the classes 5 to 9 (0.8234, 96.2 s), ten epochs each.
A trial's epochs are the target's alone: the source's accuracy is about other classes.
"""

import json
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from trainables import device as machine
from trainables.assembly import Config, DeviceStage, initialised
from trainables.budget import Budget, EpochResult
from trainables.data import Data
from trainables.nets.lenet import keras_init
from trainables.nets.transfer import TransferNet, TransferTail
from trainables.optimizers import KERAS_EPSILON, Adam
from trainables.training import Stage, run_stages
from trainables.transfer_features import features_to_floats, target_features
from trainables.transfer_source import Source, parse_classes, source_network


def build(
    config: Config, classes: int, channels: int = 3, size: tuple[int, int] = (32, 32)
) -> TransferNet:
    """Return the untrained target network of a configuration, for images of `size` in pixels.

    It has an output for every class of the data, as published: labels stay what they are.
    """
    return _build(TransferNet, config, classes, channels, size)


def _build(
    kind: type[TransferNet], config: Config, classes: int, channels: int, size: tuple[int, int]
) -> TransferNet:
    return kind(
        frozen_layers=config["frozen_layers"],
        size=size,
        channels=channels,
        classes=classes,
        dense_width=config["dense_width"],
        dropout=config["dropout"],
    )


def epochs(config: Config, data: Data, budget: Budget) -> Iterator[EpochResult]:
    """Yield the result of every epoch of one trial; `budget.drive` runs them to the end.

    Before the first one the source network is trained, unless the cache has it.

    Raises:
        DataError: no images of the configured classes.
        Diverged: a loss that is not finite.
    """
    machine.set_up(budget)  # threads count for the source, too
    began = time.perf_counter()
    source = source_of(config, data, budget)
    waited_s = time.perf_counter() - began
    # With the source: on from a checkpoint only with the features that it was trained on.
    told = [dict(config), data.fingerprint, budget.seed, source.fingerprint(("conv1", "conv2"))]
    identity = json.dumps(told, sort_keys=True)
    stage = partial(target_stage, config, data, budget, source, waited_s)
    yield from run_stages([stage], budget, identity)


def source_of(config: Config, data: Data, budget: Budget) -> Source:
    """Return the source network of a configuration; trained if the cache has none."""
    classes = parse_classes(config["source_classes"])
    return source_network(data, classes, config["source_learning_rate"], budget)


def optimizer_of(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return Adam with Keras's epsilon, on the layers that learn."""
    learning = [weights for weights in model.parameters() if weights.requires_grad]
    rate = config["target_learning_rate"]
    return Adam(learning, lr=rate, eps=KERAS_EPSILON)


def target_network(
    config: Config, data: Data, source: Source, budget: Budget, device: torch.device
) -> TransferTail:
    """Return the target network with the source's convolutions and dense layers of its own.

    Of the budget seed and progress count.
    """
    height, width, channels = data.split("train", None, budget.progress).images.shape[1:]
    build_tail = partial(
        _build, TransferTail, config, len(data.classes), channels, (height, width)
    )
    model = initialised(build_tail, keras_init, budget.seed, device)
    assert isinstance(model, TransferTail)
    for name in ("conv1", "conv2"):
        weights = {part: source.weights[f"{name}.{part}"] for part in ("weight", "bias")}
        model.get_submodule(name).load_state_dict(weights)
    return model


def stages(config: Config, data: Data, budget: Budget) -> list[DeviceStage]:
    """Return what builds the trial's one stage on the device "meta", to predict its memory."""
    from trainables import transfer_stages  # which builds on this file

    return transfer_stages.stages(config, data, budget)


def target_stage(
    config: Config,
    data: Data,
    budget: Budget,
    source: Source,
    waited_s: float,
    device: torch.device,
) -> Stage:
    """Return the stage that trains what is new on the target's features.

    `waited_s` are the seconds that getting the source took. On the device "meta" nothing is
    computed: what the stage takes is predicted from it.
    """
    if device.type == "meta":
        return stages(config, data, budget)[0](device)
    model = target_network(config, data, source, budget, device)
    classes = parse_classes(config["target_classes"])
    features = target_features(data, classes, model, source, budget)
    return Stage(
        name="target",
        epochs=budget.epochs,
        model=model,
        optimizer=optimizer_of(config, model),
        train=features.train,
        validation=features.validation,
        batch_size=config["batch_size"],
        prepare=features_to_floats,
        frozen_images=features.computed,
        prepared_s=waited_s + features.waited_s,
    )
