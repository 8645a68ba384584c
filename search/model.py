"""A trained network as others use it: predictions, the test split, exports, robustness.

Every network of the catalog takes images float [n, channels, height, width] in [0, 1] and gives
logits [n, classes]; what else a network wants of its input is its own first layer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import StudyFailed, UsageError
from search.experiment import Experiment
from trainables.budget import Weights
from trainables.data import Data, Split

if TYPE_CHECKING:
    from torch import nn


def network(
    experiment: Experiment, config: Mapping[str, Any], classes: int, shape: tuple[int, int, int]
) -> "nn.Module":
    """Return the network of a configuration on the meta device, without weights.

    `shape` is that of an image as the data has it: (height, width, channels).
    """
    import torch

    height, width, channels = shape
    with torch.device("meta"):
        return experiment.module().build(config, classes, channels, (height, width))  # type: ignore[no-any-return]


def restored(
    experiment: Experiment,
    config: Mapping[str, Any],
    path: Path,
    classes: int,
    shape: tuple[int, int, int],
    weights: Weights | None = None,
) -> "nn.Module":
    """Return the network with the weights of a trial, on the CPU, in evaluation mode.

    Args:
        experiment: That the trial is of.
        config: The trial's.
        path: best.pt or last.pt, as `trainables.checkpoint.save_weights` writes them.
        classes: Number of classes in the data.
        shape: (height, width, channels) of an image.
        weights: The pretrained ones of the study, if any. Read where the file holds only what was
            trained: in a trial's folder, and until the study ends.

    Raises:
        StudyFailed: the file belongs to another network.
        TrellisError: the file is damaged, or pretrained weights that the file lacks cannot be had.
    """
    from trainables.checkpoint import load_weights

    saved = load_weights(path)
    try:
        state = saved["model"]
        model = network(experiment, config, classes, shape)
        if weights is not None and not set(model.state_dict()) <= set(state):
            state = experiment.module().whole_state(state, weights)
        model.load_state_dict(state, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise StudyFailed(f"{path} does not fit its configuration: {what}") from error
    return model.eval()


def split_of(experiment: Experiment, config: Mapping[str, Any], data: Data, name: str) -> Split:
    """Return what a configuration is judged on: a split at its image size.

    Of cifar10_transfer these are the images of the target's classes.
    """
    if "target_classes" in config:
        from trainables.transfer_source import only, parse_classes

        return only(data, name, parse_classes(config["target_classes"]))
    return data.split(name, config.get("image_size", experiment.image_size))


def check_fits(
    experiment: Experiment, config: Mapping[str, Any], classes: int, shape: Sequence[int]
) -> None:
    """Check that a network can take images of a shape, [height, width, channels], as they are.

    Raises:
        UsageError: they are too small for it.
    """
    height, width, channels = shape
    try:
        network(experiment, config, classes, (height, width, channels))
    except ValueError as error:
        raise UsageError([f"images of {height}x{width}: {error}"]) from None
