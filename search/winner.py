"""The best model of a study, ready for use: what it was, what images it takes, its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.catalog import find
from search.confirmed import JSON_NAME, read_confirmation
from search.data_option import spec_of
from search.errors import StudyFailed
from search.experiment import Experiment
from search.folder import CHOSEN, chosen
from search.manifest import read_manifest
from search.plan import repeats
from search.progress import say
from search.weights import weights_of
from trainables.data.source import DataSpec
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from trainables.deployed import Deployed, Shape

_BEST: dict[str, type | tuple[type, ...]] = {
    "trial": int,
    "config": dict,
    "epoch": int,
    "val_accuracy": (int, float),
}


@dataclass(frozen=True)
class Winner:
    """The model to use of the study in `folder`: what `search.folder.chosen` names.

    `best` is what its JSON file holds. `data_dir` says where the data lies, if not where the study
    found it.
    """

    folder: Path
    experiment: Experiment
    manifest: Mapping[str, Any]
    best: Mapping[str, Any]
    shape: "Shape"
    data_dir: Path | None = None

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration."""
        return dict(self.best["config"])

    @property
    def name(self) -> str:
        """Which trial of what it is, and how good on validation, in words."""
        sweep = repeats(self.manifest["budget"])
        accuracy = f"{self.best['val_accuracy']:.4f}"
        return f"{model_name(self.best, sweep)}, validation accuracy {accuracy}"

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the logits."""
        return [str(name) for name in self.manifest["data"]["classes"]]

    @property
    def precision(self) -> str:
        """What the study's forward passes ran in: bfloat16, float32 or auto."""
        return str(self.manifest.get("resources", {}).get("precision", "auto"))

    @property
    def data(self) -> DataSpec:
        """The data of the study."""
        return spec_of(self.manifest["data"], self.data_dir)

    def network(self) -> "Deployed":
        """Return the network with its weights of the best epoch, on the CPU, in evaluation mode.

        Raises:
            StudyFailed: best.pt is missing, damaged, or of another trial than best.json.
            TrellisError: pretrained weights that best.pt still lacks cannot be had.
        """
        from search.model import restored
        from trainables.deployed import Deployed

        path, weights = chosen(self.folder)[1], weights_of(self.manifest)
        check_weights(self.folder, self.best)
        classes = len(self.classes)
        model = restored(self.experiment, self.config, path, classes, self.shape, weights)
        return Deployed(model).eval()


def model_name(about: Mapping[str, Any], is_sweep: bool) -> str:
    """Return which trial a model is of: the study's own, or its confirmation's.

    `about` is its best.json, or confirm_best.json. A sweep has trained its seeds itself.
    """
    if not about.get("confirmed"):
        return f"trial {about['trial']}"
    place = "" if is_sweep else " of confirm/"
    return f"configuration {about['configuration']} as confirmed (trial {about['trial']}{place})"


def check_weights(folder: Path, best: Mapping[str, Any]) -> None:
    """Make sure that the best model's weights are of the trial that `best`, its JSON, tells of.

    While a study runs, one of the two files is newer for a moment.

    Raises:
        StudyFailed: they are of another trial, missing or damaged.
    """
    about, path = chosen(folder)
    saved = _read_weights(path)
    if any(saved[name] != best.get(name, saved[name]) for name in ("epoch", "val_accuracy")):
        raise StudyFailed(
            f"{path} is of another trial than {about.name}; let the study end, or go on with it "
            "by --resume"
        )


def tell_of_another(folder: Path, best: Mapping[str, Any]) -> None:
    """Tell the user where `best`, the model that is taken, is not the recommended one."""
    if told := another(folder, best):
        say(f"note: {told}")


def another(folder: Path, best: Mapping[str, Any]) -> str:
    """Return in what `best`, the model that is taken, is not the recommended one, or "".

    Raises:
        TrellisError: confirm.json is damaged.
    """
    confirmation = read_confirmation(folder) or {}
    number = confirmation.get("recommended")
    if number is None:
        return ""
    if not best.get("confirmed"):
        return (
            f"{CHOSEN[0]} or {CHOSEN[1]}, of what search.confirm recommends, is missing: "
            "the best trial of the search is used"
        )
    for each in confirmation["configurations"]:
        if each.get("configuration") == number and each.get("config") == best["config"]:
            return ""
    return (
        f"{JSON_NAME} recommends configuration {number}, but {CHOSEN[1]}, which is used, is of "
        "another; run search.confirm again, which mends it or says how"
    )


def read_winner(folder: Path, data_dir: Path | None = None) -> Winner:
    """Return the best trial of a study; its data lies in `data_dir`, if not where it was.

    Raises:
        StudyFailed: it has none yet, or a file of it is damaged.
        TrellisError: study.json cannot be used, or the images' size cannot be told.
    """
    manifest = read_manifest(folder / "study.json")
    experiment = find(manifest["experiment"])
    best = read_best(folder)
    tell_of_another(folder, best)
    data = manifest["data"]
    shape = _shape(experiment, spec_of(data, data_dir), best["config"], data.get("image"))
    return Winner(folder, experiment, manifest, best, shape, data_dir)


def read_best(folder: Path) -> dict[str, Any]:
    """Return best.json, or confirm_best.json where the study was confirmed.

    Raises:
        StudyFailed: there is none, or it is damaged.
    """
    path = chosen(folder)[0]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyFailed(f"{path} is missing: no trial of the study has finished yet") from None
    except (OSError, ValueError) as error:
        raise StudyFailed(f"{path} is damaged: {error}; {_mended(path)}") from None
    sound = isinstance(content, dict) and all(
        isinstance(content.get(name), kind) for name, kind in _BEST.items()
    )
    if not sound:
        lacks = f"it lacks one of {', '.join(_BEST)}"
        raise StudyFailed(f"{path} is damaged: {lacks}; {_mended(path)}")
    return dict(content)


def _mended(path: Path) -> str:
    if path.name == CHOSEN[0]:
        return "remove it, and the best trial of the search counts; or confirm the study again"
    return "run the study again with --resume"


def _read_weights(path: Path) -> dict[str, Any]:
    from trainables.checkpoint import load_weights

    if not path.is_file():
        raise StudyFailed(
            f"{path} is missing: workers of other machines kept the weights (--results-dir takes "
            "a folder that all nodes share, or a store), or no trial has finished"
        )
    try:
        saved = load_weights(path)
        return {name: saved[name] for name in ("model", "epoch", "val_accuracy")}
    except TrellisError as error:
        raise StudyFailed(str(error)) from error
    except (OSError, KeyError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StudyFailed(f"{path} is damaged: {what}") from error


def _shape(
    experiment: Experiment, spec: DataSpec, config: Mapping[str, Any], told: Sequence[int] | None
) -> "Shape":
    """Return the shape of the images that the network was trained on.

    `told` is what study.json says of images that are taken as they are; an older one says nothing.
    """
    from trainables import shapes
    from trainables.data.sources import open_source
    from trainables.deployed import Shape

    size = config.get("image_size", experiment.image_size)
    if spec.kind != "folder":
        height, width, channels = shapes.published(spec.dataset).image
    elif size is not None:
        height, width, channels = size, size, 3
    elif told is not None:
        height, width, channels = told
    else:  # as the images are: only they can tell
        try:
            source = open_source(spec)
            height, width, channels = next(iter(source.images("train")))[0].shape
        except TrellisError as error:
            raise TrellisError(
                f"the size of the images can no longer be told: {error} (--data-dir says where "
                "the data lies now)"
            ) from None
    # A pretrained network takes colours: gray images were repeated for it.
    return Shape(size or height, size or width, 3 if experiment.pretrained else channels)
