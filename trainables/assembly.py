"""What experiments put their stages together from: configuration -> network, optimizer, stage."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainables.augment import augment, parse
from trainables.budget import Budget, EpochResult
from trainables.data import Data, Split
from trainables.evaluation import Examples
from trainables.losses import loss_of
from trainables.nets.parts import give_memory, reset_others, torch_init
from trainables.optimizers import SGD, Adam
from trainables.seeds import generator
from trainables.training import Stage, run_stages

Config = Mapping[str, Any]
StageBuilder = Callable[[Config, Data, Budget, torch.device], Stage]
DeviceStage = Callable[[torch.device], Stage]
# (config, classes, channels, (height, width) in pixels) -> untrained network
NetworkBuilder = Callable[[Config, int, int, tuple[int, int]], nn.Module]


def parse_filters(text: str, like: str) -> tuple[int, ...]:
    """Return the filter counts of a text such as "6/16/120", as many as `like` has.

    Raises:
        ValueError: not that many positive whole numbers.
    """
    parts, wanted = text.split("/"), len(like.split("/"))
    if len(parts) != wanted or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"filters must be {wanted} positive numbers as in {like}, but got {text}")
    return tuple(int(part) for part in parts)


def one_stage(stage: StageBuilder) -> Callable[[Config, Data, Budget], list[DeviceStage]]:
    """Return the function `stages` of an experiment whose trials are one stage.

    A builder that is given the device "meta" returns the stage without memory for its weights.
    """
    return lambda config, data, budget: [partial(stage, config, data, budget)]


def run_one_stage(
    stage: StageBuilder, config: Config, data: Data, budget: Budget
) -> Iterator[EpochResult]:
    """Yield the result of every epoch of a trial that is one stage.

    Raises:
        Diverged: a loss that is not finite.
    """
    identity = json.dumps([dict(config), data.fingerprint, budget.seed], sort_keys=True)
    return run_stages(one_stage(stage)(config, data, budget), budget, identity)


def initialised(
    build: Callable[[], nn.Module],
    initialise: Callable[[nn.Module, torch.Generator], None],
    seed: int,
    device: torch.device,
) -> nn.Module:
    """Return a network with weights that follow from the trial's seed alone, on the device.

    Built without weights of its own: torch would draw them twice, from the global generator.
    On the device "meta" it has none at all, and costs no memory.
    """
    with torch.device("meta"):
        model = build()
    if device.type == "meta":
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    give_memory(model)
    initialise(model, generator(seed, "weights"))
    reset_others(model, generator(seed, "other weights"))
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def augmentation(name: str) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """Return what augments a batch (see `trainables.augment`), None for "none".

    Raises:
        ValueError: a bad name.
    """
    if not parse(name):
        return None
    return lambda images, draws: augment(images, name, draws)


def descent(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return SGD with the configured momentum, or Adam with torch's defaults; SGD if unsaid.

    Raises:
        ValueError: another optimizer.
    """
    kind, rate = config.get("optimizer", "sgd"), config["learning_rate"]
    if kind == "sgd":
        return SGD(model.parameters(), lr=rate, momentum=config["momentum"])
    if kind == "adam":
        return Adam(model.parameters(), lr=rate)
    raise ValueError(f"optimizer must be sgd or adam, but got {kind!r}")


def only_stage(
    config: Config,
    epochs: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    splits: tuple[Split, Split],
    penalty: Callable[[], Tensor] | None = None,
) -> Stage:
    """Return the stage "train" of a model on train and validation split, on the model's device."""
    device = next(model.parameters()).device
    train, validation = splits
    return Stage(
        name="train",
        epochs=epochs,
        model=model,
        optimizer=optimizer,
        train=Examples.of(train, device),
        validation=Examples.of(validation, device),
        batch_size=config["batch_size"],
        augment=augmentation(config.get("augmentation", "none")),
        penalty=penalty,
        loss=loss_of(config.get("loss", "cross_entropy")),
    )


def torch_stage(
    build: NetworkBuilder,
    config: Config,
    data: Data,
    budget: Budget,
    device: torch.device,
    image_size: int | None = None,
) -> Stage:
    """Return the stage of a network published with torch's defaults.

    `image_size`, in pixels, is that of the catalog's entry (None: images as they are); where the
    space chooses one, that of the configuration counts.
    """
    side, progress = config.get("image_size", image_size), budget.progress
    splits = data.split("train", side, progress), data.split("validation", side, progress)
    height, width, channels = splits[0].images.shape[1:]
    model = initialised(
        lambda: build(config, len(data.classes), channels, (height, width)),
        torch_init,
        budget.seed,
        device,
    )
    return only_stage(config, budget.epochs, model, descent(config, model), splits)
