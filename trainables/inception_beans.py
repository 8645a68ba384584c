"""Inception-v3 on the beans leaf images: a head on frozen features, then the last blocks too.

Published: test accuracy 0.7969, 0.8828, 0.8828 and 0.9062 with 0, 2, 3 and 6 blocks unfrozen,
20 epochs of the head and 6 of fine-tuning. No epoch runs a frozen layer: the head trains on
stored pooled features, fine-tuning on stored inputs of the first block that is trained.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainables import device as machine
from trainables.assembly import Config, DeviceStage, initialised
from trainables.budget import Budget, EpochResult, Weights
from trainables.data import Data
from trainables.evaluation import Examples, evaluation_batch_size
from trainables.inception_features import (
    AUGMENTED_COPIES,
    IMAGE_SIZE,
    backbone_of,
    bytes_at,
    passes,
    warn_of_a_small_cache,
)
from trainables.nets.inception import (
    Head,
    InceptionV3,
    Tail,
    activation_shape,
    cut_name,
    pretrained,
    published_count,
    trained_blocks,
    untrained,
)
from trainables.nets.lenet import keras_init
from trainables.optimizers import KERAS_EPSILON, Adam
from trainables.training import Stage, run_stages
from trainables.weights import read_backbone


def build(
    config: Config, classes: int, channels: int = 3, size: tuple[int, int] = (299, 299)
) -> nn.Module:
    """Return the whole network of a configuration, without weights.

    Raises:
        ValueError: images of neither 1 nor 3 channels.
    """
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, but got {channels}")
    return InceptionV3(
        unfrozen=config["unfreeze_blocks"],
        width=config["head_width"],
        classes=classes,
        dropout=config["dropout"],
    )


def epochs(config: Config, data: Data, budget: Budget) -> Iterator[EpochResult]:
    """Yield the result of every epoch of one trial: of stage head, then of stage finetune.

    Raises:
        Diverged: a loss that is not finite.
        TrellisError: no weights in the budget.
    """
    # Stages that are built on "meta", for their memory, could not tell what the device has.
    device = machine.choose_device(budget)
    machine.warn_of_precision(budget, device)
    budget = replace(budget, precision=machine.precision(budget, device))
    weights = budget.weights.fingerprint if budget.weights else ""
    identity = json.dumps([dict(config), data.fingerprint, weights, budget.seed], sort_keys=True)
    return run_stages(stages(config, data, budget), budget, identity)


def stages(config: Config, data: Data, budget: Budget) -> list[DeviceStage]:
    """Return what builds the trial's stages; on the device "meta" without weights or images."""
    trial = _Trial(config, data, budget)
    builders: list[DeviceStage] = [trial.head_stage, trial.finetune_stage]
    return builders[: 2 if config["unfreeze_blocks"] else 1]


def prepare(choices: Mapping[str, Sequence[Any]], data: Data, budget: Budget) -> dict[str, Any]:
    """Compute what all trials share before the first begins: one pass gives every cut at once.

    Augmented copies take a pass of the train split each.

    Args:
        choices: The values that the trials of a study may take, by hyperparameter.
        data: As `trainables.data.open_data` gives it.
        budget: With the weights, device, precision, threads and progress.

    Returns:
        What was done, in plain values: cuts, and images run through the frozen layers.

    Raises:
        DataError: the cache cannot be written, or its disk has no room for all of it.
    """
    device = machine.set_up(budget)
    frozen = backbone_of(data, budget, device)
    depths, wanted = _depths(choices), passes(choices["augmentation"])
    warn_of_a_small_cache(data, shared_bytes(choices, data))
    frozen.check_room(depths, wanted)
    images = 0
    for split, name, copy in wanted:
        images += frozen.activations(split, depths, name, copy).computed
    return {"cuts": [cut.name for cut in frozen.cuts(depths)], "images": images}


def shared_bytes(choices: Mapping[str, Sequence[Any]], data: Data) -> int:
    """Return how many bytes of stored activations `prepare` makes, if none are there."""
    depths = _depths(choices)
    return sum(
        data.sizes[split] * bytes_at(depth)
        for split, _, _ in passes(choices["augmentation"])
        for depth in depths
    )


def _depths(choices: Mapping[str, Sequence[Any]]) -> list[int]:
    return sorted({0, *choices["unfreeze_blocks"]})


def whole_state(state: Mapping[str, Tensor], weights: Weights) -> dict[str, Tensor]:
    """Return the state dict of `build`'s network from that of what was trained.

    What `best.pt` of a trial lacks, the frozen layers, comes from the pretrained weights.
    """
    frozen = read_backbone(weights)
    return {f"backbone.{name}": value for name, value in frozen.items()} | dict(state)


def kept_logits(
    state: Mapping[str, Tensor], config: Config, data: Data, split: str, budget: Budget
) -> Tensor:
    """Return the logits [n, classes] of a split, float32 on the CPU, by what a trial kept.

    From stored activations: images go through the frozen layers once for all trials.

    Args:
        state: State dict of a trial's file: the head, and the blocks that were trained by then.
        config: The trial's.
        data: As `trainables.data.open_data` gives it.
        split: Its name.
        budget: With the weights, device and precision.

    Raises:
        RuntimeError: the state is of another network.
    """
    device = machine.set_up(budget)
    depth = len({name.split(".")[1] for name in state if name.startswith("backbone.")})
    with torch.device("meta"):
        head = Head(config["head_width"], len(data.classes), config["dropout"])
        model = Tail(untrained(trained_blocks(depth)), head)
    model.load_state_dict(dict(state), assign=True)
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    wanted = sorted({depth, config["unfreeze_blocks"]})
    found = backbone_of(data, budget, device).activations(split, wanted).values[cut_name(depth)]
    lower = machine.precision(budget, device) == "bfloat16"
    dtype = torch.bfloat16 if lower else torch.float32
    logits = []
    with torch.inference_mode(), machine.autocast(budget, device):
        for batch in found.split(evaluation_batch_size(found[0].numel())):
            logits.append(model(as_maps(batch.to(device), dtype)).float().cpu())
    return torch.cat(logits)


def _copies(augmentation: str) -> int:
    """Return how many copies of the train split there are, the images as they are included."""
    return 1 if augmentation == "none" else 1 + AUGMENTED_COPIES


class _Trial:
    """What the two stages share: the frozen backbone, the labels, and the head."""

    def __init__(self, config: Config, data: Data, budget: Budget) -> None:
        self._config = config
        self._data = data
        self._budget = budget
        self._head: nn.Module | None = None
        self._computed, self._prepared_s = 0, 0.0

    def head_stage(self, device: torch.device) -> Stage:
        """Return the stage that trains the head on pooled features."""
        config, classes = self._config, len(self._data.classes)
        self._head = initialised(
            lambda: Head(config["head_width"], classes, config["dropout"]),
            keras_init,
            self._budget.seed,
            device,
        )
        self._computed, self._prepared_s = 0, 0.0
        return self._stage("head", Tail(nn.Sequential(), self._head), 0, device)

    def finetune_stage(self, device: torch.device) -> Stage:
        """Return the stage that trains the last blocks and the head, at a lower rate."""
        assert self._head is not None, "fine-tuning goes on with the head stage's head"
        depth = self._config["unfreeze_blocks"]
        tail = Tail(self._blocks(trained_blocks(depth), device), self._head)
        tail.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._computed, self._prepared_s = 0, 0.0
        return self._stage("finetune", tail, depth, device)

    def _stage(self, name: str, model: nn.Module, depth: int, device: torch.device) -> Stage:
        train, *copies = self._examples(
            "train", depth, device, _copies(self._config["augmentation"])
        )
        (validation,) = self._examples("validation", depth, device, 1)
        trained = [each for each in model.parameters() if each.requires_grad]
        rate = self._config[f"{name}_learning_rate"]
        with torch.device("meta"):
            whole = build(self._config, len(self._data.classes))
        return Stage(
            name=name,
            epochs=self._config[f"{name}_epochs"],
            model=model,
            optimizer=Adam(trained, lr=rate, eps=KERAS_EPSILON),
            train=train,
            validation=validation,
            batch_size=self._config["batch_size"],
            prepare=partial(as_maps, dtype=self._dtype(device)),
            parameters=published_count(whole),
            frozen_images=self._computed,
            prepared_s=self._prepared_s,
            copies=tuple(copies),
        )

    def _blocks(self, names: Sequence[str], device: torch.device) -> nn.Sequential:
        if device.type == "meta":
            return untrained(names)
        assert self._budget.weights is not None, "the head stage needed them"
        return pretrained(names, read_backbone(self._budget.weights))

    def _dtype(self, device: torch.device) -> torch.dtype:
        lower = machine.precision(self._budget, device) == "bfloat16"
        return torch.bfloat16 if lower else torch.float32

    def _examples(
        self, split: str, depth: int, device: torch.device, copies: int
    ) -> list[Examples]:
        """Return the activations of a split on the device, one set for each copy."""
        if device.type == "meta":
            count = self._data.sizes[split]
            shape = (count, *activation_shape(depth, IMAGE_SIZE))
            values = torch.empty(shape, dtype=torch.bfloat16, device=device)
            whole = Examples(values, torch.empty(count, dtype=torch.int64, device=device))
            return [whole] * copies
        frozen = backbone_of(self._data, self._budget, device)
        known = self._data.split(split, IMAGE_SIZE, self._budget.progress)
        labels = torch.from_numpy(known.labels).to(device)
        found = []
        for copy in range(copies):
            # The head comes first: one pass then gives what fine-tuning will need, too.
            wanted = sorted({depth, self._config["unfreeze_blocks"]})
            activations = frozen.activations(split, wanted, self._config["augmentation"], copy)
            self._computed += activations.computed
            self._prepared_s += activations.seconds
            values = activations.values[cut_name(depth)]
            found.append(Examples(values.to(device), labels))
        return found


def as_maps(activations: Tensor, dtype: torch.dtype) -> Tensor:
    """Stored [n, rows, columns, channels] -> [n, channels, rows, columns]; pooled stay [n, f]."""
    maps = activations if activations.ndim == 2 else activations.permute(0, 3, 1, 2)
    return maps.to(dtype)
