"""The best model of a study folder with the split it is judged on: loaded, checked, ready to ask.

Works for every experiment; an Inception whose study was ended early is completed from the
pretrained weights it began with.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames import read_manifest
from search.catalog import find
from search.data_option import data_at_hand, split_at_hand
from search.experiment import Experiment
from search.folder import chosen
from search.progress import DataProgress
from search.winner import check_weights, read_best, tell_of_another

if TYPE_CHECKING:
    from trainables.data import Data, Split


@dataclass(frozen=True)
class BestModel:
    """The model, its split, and `predict`: uint8 images [n, h, w, c] -> classes [n]."""

    experiment: Experiment
    about: dict[str, Any]  # what `search.winner.read_best` read
    data: "Data"
    split: "Split"
    split_name: str
    predict: Callable[[NDArray[np.uint8]], NDArray[np.int64]]

    @property
    def chance(self) -> float:
        """The accuracy of always naming the split's commonest class."""
        return float(np.bincount(self.split.labels).max() / len(self.split.labels))

    def on(self, split_name: str) -> "BestModel":
        """Return the same model with another split of its data."""
        split = split_at_hand(self.experiment, self.about["config"], self.data, split_name)
        return replace(self, split=split, split_name=split_name)


def load_best(folder: Path, data_dir: Path | None = None) -> BestModel:
    """Return the best model of the study `folder` and the validation split of its data.

    `data_dir` says where the data lies, if not where the study found it.

    Raises:
        StudyFailed: no best.json or best.pt yet, or one that is damaged.
        TrellisError: the data is not there or not the study's, or weights that best.pt lacks
            are not to be had.
    """
    manifest = read_manifest(folder)
    experiment, about = find(str(manifest["experiment"])), read_best(folder)
    tell_of_another(folder, about)
    check_weights(folder, about)
    data = data_at_hand(manifest.get("data", {}), data_dir, DataProgress())
    split = split_at_hand(experiment, about["config"], data, "validation")
    predict = _predictor(folder, manifest, experiment, about, data, split)
    return BestModel(experiment, about, data, split, "validation", predict)


def _predictor(
    folder: Path,
    manifest: dict[str, Any],
    experiment: Experiment,
    best: dict[str, Any],
    data: "Data",
    split: "Split",
) -> Callable[[NDArray[np.uint8]], NDArray[np.int64]]:
    from search.model import restored
    from search.weights import weights_of
    from trainables.data import Split
    from trainables.metrics import split_logits

    path = chosen(folder)[1]
    height, width, channels = split.images.shape[1:]
    shape, classes = (height, width, channels), len(data.classes)
    model = restored(experiment, best["config"], path, classes, shape, weights_of(manifest))
    precision = (manifest.get("resources") or {}).get("precision", "auto")

    def predict(images: NDArray[np.uint8]) -> NDArray[np.int64]:
        asked = Split(images, np.zeros(len(images), np.int64))
        found: NDArray[np.int64] = split_logits(model, asked, precision).argmax(1).numpy()
        return found

    return predict
