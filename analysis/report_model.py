"""The model to use of a study on its validation images: for confusion matrix and mistakes.

Of a confirmed study that is the recommended one, with the weights that confirming kept.
Only where weights and data are at hand. No data is downloaded for a report, and the test split
stays closed. (Pretrained weights are, where a study was killed before its best.pt had all.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.report_study import ReportedStudy
from search.data_option import data_at_hand, split_at_hand
from search.experiment import Experiment
from search.folder import chosen
from search.winner import another, check_weights, model_name, read_best
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Evaluated:
    """What a model says of validation images, in the order of the split."""

    name: str  # of the model: which trial of what
    classes: tuple[str, ...]
    images: NDArray[np.uint8]  # [n, height, width, channels]
    labels: NDArray[np.int64]  # [n]
    probabilities: NDArray[np.float32]  # [n, classes], rows add up to 1
    note: str = ""  # in what it is not the recommended one

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified right, in [0, 1]."""
        return float((self.probabilities.argmax(axis=1) == self.labels).mean())


def evaluate(study: ReportedStudy, data_dir: Path | None = None) -> Evaluated:
    """Evaluate the model that `search.folder.chosen` names on the validation split.

    Args:
        study: With best.json and best.pt in its folder, or what confirming put in their place.
        data_dir: Where the data lies, if not where the study found it.

    Raises:
        TrellisError: weights or data are not at hand, or not those of the study; the reason.
    """
    experiment = study.experiment
    if experiment is None:
        raise TrellisError(f"{study.manifest.get('experiment')} is not in this version's catalog")
    best = read_best(study.folder)
    check_weights(study.folder, best)
    data = data_at_hand(study.data, data_dir)
    split = split_at_hand(experiment, best["config"], data, "validation")
    height, width, channels = split.images.shape[1:]
    shape = (int(height), int(width), int(channels))
    model = _model(study, experiment, best["config"], len(data.classes), shape)
    import torch

    from trainables.metrics import split_logits

    precision = (study.manifest.get("resources") or {}).get("precision") or "auto"
    logits = split_logits(model, split, precision)
    return Evaluated(
        name=model_name(best, study.is_sweep),
        classes=data.classes,
        images=split.images,
        labels=split.labels,
        probabilities=torch.softmax(logits, dim=1).numpy(),
        note=another(study.folder, best),
    )


def _model(
    study: ReportedStudy,
    experiment: Experiment,
    config: Mapping[str, Any],
    classes: int,
    shape: tuple[int, int, int],
) -> "nn.Module":
    from search.model import restored
    from search.weights import weights_of

    weights, path = weights_of(study.manifest), chosen(study.folder)[1]
    try:
        return restored(experiment, config, path, classes, shape, weights)
    except TrellisError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrellisError(f"{path.name} cannot be used: {what}") from error
