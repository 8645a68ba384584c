"""What the frozen convolutions make of the target's images: computed once, stored, shared.

Two convolutions leave 800 numbers of an image, one leaves 6,272 (see trainables/frozen.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import device as machine
from trainables import frozen
from trainables.budget import Budget
from trainables.data import Data
from trainables.evaluation import Examples, evaluation_batch_size, images_to_floats
from trainables.frozen import Cut
from trainables.nets.transfer import TransferNet
from trainables.transfer_source import Source, members

_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Features:
    """The target's splits as features [n, height, width, channels] bfloat16 with their labels."""

    train: Examples
    validation: Examples
    computed: int  # images that were run through the frozen convolutions for this
    seconds: float  # that computing them took, whenever that was
    waited_s: float  # that this call took to get them


def features_to_floats(batch: Tensor) -> Tensor:
    """bfloat16 [n, height, width, channels] -> float32 [n, channels, height, width].

    Channels last in memory, as the convolutions want it and `flatten` leaves it.
    """
    return batch.permute(0, 3, 1, 2).float()


def target_features(
    data: Data, classes: tuple[int, ...], model: TransferNet, source: Source, budget: Budget
) -> Features:
    """Return what the frozen convolutions of `model`, which are the source's, make of the target.

    Raises:
        DataError: no images of these classes, or the cache cannot be written.
    """
    device = next(model.parameters()).device
    layers = ["conv1", "conv2"][: model.frozen_layers]
    cut = Cut(
        data=f"{data.fingerprint} {','.join(map(str, classes))}",
        weights=source.fingerprint(layers),
        name=layers[-1],
        size=None,
        precision=machine.precision(budget, device),
    )
    examples: dict[str, Examples] = {}
    computed, waited_s = 0, 0.0
    for split in _SPLITS:
        whole = data.split(split, None, budget.progress)
        chosen = members(whole.labels, classes, split)
        compute = partial(_compute, model, whole.images, chosen, budget)
        found = frozen.stored([cut], split, len(chosen), compute, budget.progress)
        computed += found.computed
        waited_s += found.seconds
        labels = torch.from_numpy(whole.labels[chosen])
        examples[split] = Examples(found.values[cut.name].to(device), labels.to(device))
    return Features(
        **examples,
        computed=computed,
        waited_s=waited_s,
        seconds=sum(frozen.seconds_of(cut, split) for split in _SPLITS),
    )


@torch.inference_mode()
def _compute(
    model: TransferNet,
    images: NDArray[np.uint8],
    index: NDArray[np.intp],
    budget: Budget,
    _missing: Sequence[Cut],
) -> Iterator[Sequence[Tensor]]:
    """Yield features [b, height, width, channels] of the images at `index`, batch after batch."""
    device = next(model.parameters()).device
    model.eval()
    for batch in torch.from_numpy(index).split(evaluation_batch_size(images[0].size)):
        pixels = torch.from_numpy(images[batch.numpy()]).to(device)
        with machine.autocast(budget, device):
            features = model.head(images_to_floats(pixels))
        yield [features.permute(0, 2, 3, 1)]
