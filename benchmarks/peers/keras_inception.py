"""Keras's own Inception-v3 with weights in torchvision's names: a head stage, then fine-tuning.

As keras.io teaches in "Transfer learning & fine-tuning". Images come [n, height, width, 3] in
[-1, 1]. Two things are not torchvision's: batch norms have no scale, so it goes into the
convolution before them; and the average poolings inside the blocks leave the padding out of
their means, where torchvision counts it as zeros. The network stays what Keras ships.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # type: ignore[import-not-found]
import torch
from keras import layers
from torch import Tensor

from benchmarks.peers.stock import BLOCKS

Config = Mapping[str, Any]
METRIC = "sparse_categorical_accuracy"

_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_5X5 = ("branch1x1", "branch5x5_1", "branch5x5_2")
_3X3 = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
_A = (*_5X5, *_3X3, "branch_pool")
_B = ("branch3x3", *_3X3)
_7X7 = ("branch7x7_1", "branch7x7_2", "branch7x7_3")
_7X7_TWICE = tuple(f"branch7x7dbl_{number}" for number in (1, 2, 3, 4, 5))
_C = ("branch1x1", *_7X7, *_7X7_TWICE, "branch_pool")
_7X7_3X3 = tuple(f"branch7x7x3_{number}" for number in (1, 2, 3, 4))
_D = ("branch3x3_1", "branch3x3_2", *_7X7_3X3)
_SPLIT = ("branch3x3_1", "branch3x3_2a", "branch3x3_2b")
_SPLIT_TWICE = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b")
_E = ("branch1x1", *_SPLIT, *_SPLIT_TWICE, "branch_pool")
_MIXED = {
    **{"Mixed_5b": _A, "Mixed_5c": _A, "Mixed_5d": _A, "Mixed_6a": _B},
    **{"Mixed_6b": _C, "Mixed_6c": _C, "Mixed_6d": _C, "Mixed_6e": _C},
    **{"Mixed_7a": _D, "Mixed_7b": _E, "Mixed_7c": _E},
}
NAMES = (*_STEM, *(f"{block}.{branch}" for block, all_ in _MIXED.items() for branch in all_))
"""torchvision's names of the 94 convolutions, in the order in which Keras creates them."""


class Backbone(layers.Layer):  # type: ignore[misc]
    """The network without its top, its batch norms in inference mode when fine-tuned, too.

    The guide's `base(inputs, training=False)` in a functional model means that, but does not do
    it in Keras 3: there the `training=True` of `fit` goes over it, so that means and variances
    move as soon as a block is unfrozen (keras-team/keras, issue 20285).
    """

    def __init__(self, base: Any) -> None:
        """Take the network."""
        super().__init__(name="backbone")
        self.base = base

    def call(self, images: Any) -> Any:
        """Return the last block's maps [n, rows, columns, 2048]."""
        return self.base(images, training=False)


def build(config: Config, shape: tuple[int, int, int], classes: int, weights: str = "") -> Any:
    """Return the network of a configuration with its backbone frozen; `fit` compiles it.

    Args:
        config: The configuration: `head_width` and `dropout`.
        shape: Height, width and channels of an image, 75x75x3 at least.
        classes: How many there are.
        weights: File of a state dict in torchvision's names; without it, random ones.

    Raises:
        ValueError: the file lacks weights.
    """
    base = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=shape)
    if weights:
        state = torch.load(weights, weights_only=True, map_location="cpu")
        if lacking := take(base, state):
            raise ValueError(f"{weights} lacks {lacking}")
    base.trainable = False
    # Dense begins as published: Glorot, zero biases.
    head = [layers.Dense(config["head_width"]), layers.Dropout(config["dropout"])]
    pooled = [keras.Input(shape), Backbone(base), layers.GlobalAveragePooling2D()]
    return keras.Sequential([*pooled, *head, layers.Dense(classes)])


def convolutions(base: Any) -> dict[str, tuple[Any, Any]]:
    """Return Keras's convolution and batch norm for each of torchvision's names."""
    kinds = (layers.Conv2D, layers.BatchNormalization)
    # `base.layers` has them by depth; the numbers in their names count what was created.
    made = [
        sorted((each for each in base.layers if isinstance(each, kind)), key=_number)
        for kind in kinds
    ]
    found = dict(zip(NAMES, zip(*made, strict=True), strict=True))
    assert all(norm.input is convolution.output for convolution, norm in found.values())
    return found


def _number(layer: Any) -> int:
    last = layer.name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0


def take(base: Any, state: Mapping[str, Tensor]) -> list[str]:
    """Copy weights in torchvision's names into Keras's network; return the names that lack."""
    parts = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    needed = [f"{name}.{part}" for name in NAMES for part in parts]
    if lacking := [name for name in needed if name not in state]:
        return lacking
    for name, (convolution, norm) in convolutions(base).items():
        kernel, scale, bias, mean, variance = (state[f"{name}.{part}"] for part in parts)
        # [out, in, rows, columns] -> [rows, columns, in, out]
        convolution.kernel.assign((kernel * scale[:, None, None, None]).permute(2, 3, 1, 0))
        norm.beta.assign(bias)
        norm.moving_mean.assign(mean * scale)
        norm.moving_variance.assign(variance)
    return []


def stages(config: Config) -> list[tuple[str, int, int]]:
    """Return name, first epoch and end of every stage; epochs count from 0 over both."""
    head = config["head_epochs"]
    both = [("head", 0, head)]
    if config["unfreeze_blocks"]:
        both.append(("finetune", head, head + config["finetune_epochs"]))
    return both


def begin(network: Any, config: Config, stage: str) -> None:
    """Freeze and unfreeze the blocks as the stage wants them, and compile with its rate."""
    thawed = BLOCKS[: config["unfreeze_blocks"]] if stage == "finetune" else ()
    base = network.get_layer("backbone").base
    base.trainable = bool(thawed)
    for name, pair in convolutions(base).items():
        for layer in pair:
            layer.trainable = name.split(".")[0] in thawed
    network.compile(
        optimizer=keras.optimizers.Adam(config[f"{stage}_learning_rate"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[METRIC],
    )


def fit(
    network: Any,
    config: Config,
    train: Any,
    *,
    noting: Any,
    epochs: int,
    initial_epoch: int = 0,
    callbacks: Sequence[Any] = (),
    **named: Any,
) -> dict[str, float]:
    """Train the epochs from `initial_epoch` to `epochs`, each in its own stage.

    Hyperband gives both. A trial that it goes on with has the weights of its best epoch so far,
    and a new optimizer as every model of Keras Tuner has.

    Returns:
        The best validation accuracy, in the name that `fit` gives it.
    """
    accuracies: list[float] = []
    for stage, first, end in stages(config):
        first, end = max(first, initial_epoch), min(end, epochs)
        if first < end:
            begin(network, config, stage)
            again = {"epochs": end, "initial_epoch": first, "callbacks": [*callbacks, noting]}
            history = network.fit(train, **again, **named).history
            accuracies += history[f"val_{METRIC}"]
    if not accuracies:
        return _as_it_is(network, config, initial_epoch, callbacks, named["validation_data"])
    return {f"val_{METRIC}": max(accuracies)}


def _as_it_is(
    network: Any, config: Config, epoch: int, callbacks: Sequence[Any], validation: Any
) -> dict[str, float]:
    """Return the accuracy of a trial that had all of its epochs before Hyperband promoted it.

    Hyperband needs it, and the checkpoint that a callback writes at the end of an epoch.
    """
    begin(network, config, stages(config)[-1][0])
    accuracy = network.evaluate(validation, verbose=0, return_dict=True)[METRIC]
    found = {f"val_{METRIC}": float(accuracy)}
    keras.callbacks.CallbackList(list(callbacks), model=network).on_epoch_end(epoch - 1, found)
    return found
