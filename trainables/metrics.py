"""Beyond accuracy: what a trained network makes of a split, class by class, by scikit-learn."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor, nn

from trainables import device as machine
from trainables.budget import Budget
from trainables.checkpoint import load_weights
from trainables.data import Split
from trainables.evaluation import Examples, evaluation_batch_size, images_to_floats


def class_metrics(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> dict[str, Any]:
    """Return accuracy, macro and weighted F1, precision and recall, and the confusion matrix.

    Macro: the plain mean over the classes that have images or predictions. Weighted: each by its
    number of images. A class that is never predicted has precision 0. Row i, column j of the
    matrix counts images of class i taken for class j.

    Raises:
        ValueError: no images.
    """
    if len(labels) == 0:
        raise ValueError("metrics need at least one image, but got none")
    names = list(range(classes))
    return {
        "images": len(labels),
        "accuracy": float((labels == predicted).mean()),
        **_averages(labels, predicted, np.union1d(labels, predicted), "macro"),
        **_averages(labels, predicted, names, "weighted"),
        "confusion_matrix": confusion_matrix(labels, predicted, labels=names).tolist(),
    }


def _averages(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], names: Any, average: str
) -> dict[str, float]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=names, average=average, zero_division=0
    )
    found = {"f1": f1, "precision": precision, "recall": recall}
    return {f"{name}_{average}": float(value) for name, value in found.items()}


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor, lower: AbstractContextManager[object]) -> Tensor:
    """Return the logits of each image, float32 [n, classes] on the CPU.

    Images are uint8 [n, height, width, channels], on the device of the model.
    """
    model.eval()
    found = []
    for batch in images.split(evaluation_batch_size(images[0].numel())):
        with lower:
            found.append(model(images_to_floats(batch)).float().cpu())
    return torch.cat(found)


def split_logits(
    model: nn.Module, split: Split, precision: str = "auto", device: str = "auto"
) -> Tensor:
    """Return the logits [n, classes] of a split, float32 on the CPU.

    Runs on `device` (auto: a GPU where there is one), at the precision of the trial, so that
    accuracies agree.
    """
    given = Budget(epochs=1, precision=precision, device=device)
    place = machine.set_up(given)
    model = model.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    examples = Examples.of(split, place)
    return logits_of(model, examples.inputs, machine.autocast(given, place))


def weights_metrics(
    model: nn.Module,
    weights: Path,
    split: Split,
    classes: int,
    precision: str = "auto",
    device: str = "auto",
) -> dict[str, Any]:
    """Return the `class_metrics` on a split of weights that a trial kept (`save_weights`).

    `model` is the network of the trial's configuration, from the meta device or not.
    """
    model.load_state_dict(load_weights(weights)["model"], assign=True)
    found = split_logits(model, split, precision, device).argmax(1).numpy()
    return class_metrics(split.labels, found, classes)
