"""Pretrained weights of Inception-v3 without its top: found for a study, read for a trial.

The fingerprint is of the tensors, not of the file: the same weights in another file give the same
activations.
"""

import os
from pathlib import Path

from torch import Tensor

from trainables.backbone import check_backbone, fingerprint, random_backbone
from trainables.budget import Weights
from trainables.data.source import Progress, silent
from trainables.errors import WeightsError
from trainables.weights_download import imagenet_file
from trainables.weights_file import load_state

# Counts the ways in which random weights were ever drawn: another way needs another number.
RANDOM = Weights("random", "", "random-0")


def find_weights(asked: str | None, progress: Progress = silent) -> Weights:
    """Return the weights that are asked for, looked at and found fit for use.

    Args:
        asked: None for torchvision's ImageNet weights, downloaded into torch's hub folder unless
            they are there; "random"; or the path of a state dict ("~" is read).
        progress: Hears of the bytes of a download.

    Raises:
        WeightsError: the weights cannot be had, or are not those of Inception-v3. Without a
            network within 10 seconds.
    """
    if asked == RANDOM.source:
        return RANDOM
    if asked is None:
        source, path = "torchvision", imagenet_file(progress)
    else:
        source, path = "file", Path(os.path.expanduser(asked)).absolute()
    return Weights(source, str(path), fingerprint(_read(path)))


def read_backbone(weights: Weights) -> dict[str, Tensor]:
    """Return the state dict of everything below the top: Conv2d_1a_3x3 to Mixed_7c, float32.

    Names and shapes are torchvision's; a `num_batches_tracked` that the file lacks is 0.

    Raises:
        WeightsError: the file cannot be used, or holds other weights than `find_weights` found.
    """
    if weights.source == RANDOM.source:
        tensors, found = random_backbone(), RANDOM.fingerprint
    else:
        tensors = _read(_here(weights))
        found = fingerprint(tensors)
    if found != weights.fingerprint:
        raise WeightsError(
            f"{weights.path or weights.source} has other weights now: fingerprint {found[:12]} "
            f"instead of {weights.fingerprint[:12]}; put the old file back or begin a new study"
        )
    return tensors


def _here(weights: Weights) -> Path:
    """Return the file; on another node of a cluster torchvision's is fetched if it is missing."""
    path = Path(weights.path)
    return imagenet_file(silent) if weights.source == "torchvision" and not path.exists() else path


def _read(path: Path) -> dict[str, Tensor]:
    return check_backbone(load_state(path), str(path))
