"""The source network of cifar10_transfer: trained once per data, classes and rate, then kept.

Every trial and study that starts from the same source reads it from the cache; one process trains
it while the others wait. What a killed process left is not there: an entry appears whole.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import device as machine
from trainables import store
from trainables.assembly import initialised
from trainables.budget import Budget
from trainables.data import Data, Split
from trainables.data.source import Progress, silent
from trainables.errors import DataError
from trainables.evaluation import Examples
from trainables.files import sha256_of
from trainables.nets.lenet import keras_init
from trainables.nets.transfer import TransferNet
from trainables.optimizers import KERAS_EPSILON, Adam
from trainables.seeds import derive
from trainables.training import Stage, run_epoch

# As published. An epoch there is 200 steps of 100 images; here it is every image once, which
# makes 225 steps of CIFAR-10's five classes less their validation images.
EPOCHS = 10
BATCH_SIZE = 100
DENSE_WIDTH = 256

FORMAT = 1  # raise it when the same recipe would give another network
_WEIGHTS = "weights.pt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a source network is made from; nothing of it depends on the trial that asks."""

    data: str  # fingerprint
    classes: tuple[int, ...]
    learning_rate: float
    precision: str  # bfloat16 or float32
    device: str  # cpu or cuda: they round, and take time, differently

    def as_json(self) -> dict[str, Any]:
        """Return everything that decides the weights."""
        rest = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "dense_width": DENSE_WIDTH}
        return {**asdict(self), "classes": list(self.classes), **rest, "format": FORMAT}

    @property
    def name(self) -> str:
        """Name of the folder in the cache."""
        text = json.dumps(self.as_json(), sort_keys=True)
        return f"cifar10_transfer-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class Source:
    """A trained source network. `history` has val_accuracy, seconds and images of every epoch.

    `device` and `threads` tell what the seconds were taken on.
    """

    weights: Mapping[str, Tensor]
    history: Sequence[Mapping[str, float]]
    device: str
    threads: int

    @property
    def seconds(self) -> float:
        """How long its training took."""
        return float(sum(row["seconds"] for row in self.history))

    def fingerprint(self, layers: Sequence[str]) -> str:
        """Return the SHA-256 hex digest over the weights of `layers`, such as conv1."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            if name.split(".")[0] in layers:
                values = self.weights[name].contiguous()
                digest.update(f"{name} {list(values.shape)} {values.dtype}".encode())
                digest.update(values.numpy().tobytes())
        return digest.hexdigest()


def parse_classes(text: str) -> tuple[int, ...]:
    """Return the class numbers of a text such as "0,1,2", in ascending order.

    Raises:
        ValueError: not at least two different numbers.
    """
    words = text.split(",")
    numbers = {int(word) for word in words if word.isdecimal()}
    if not len(numbers) == len(words) > 1:
        raise ValueError(f"classes must be two numbers or more such as 0,1,2, but got {text!r}")
    return tuple(sorted(numbers))


def members(labels: NDArray[np.int64], classes: Sequence[int], split: str) -> NDArray[np.intp]:
    """Return the ascending indices of the images of some classes.

    Raises:
        DataError: the split has none.
    """
    chosen = np.flatnonzero(np.isin(labels, list(classes)))
    if not len(chosen):
        names = ", ".join(str(number) for number in classes)
        raise DataError(f"the {split} split has no images of the classes {names}: hold others")
    return chosen


def only(data: Data, split: str, classes: Sequence[int], progress: Progress = silent) -> Split:
    """Return the images of some classes as a split of their own: a copy. Labels stay as they are.

    `progress` hears of data that has to be prepared for that.

    Raises:
        DataError: the split has none.
    """
    whole = data.split(split, None, progress)
    chosen = members(whole.labels, classes, split)
    return Split(whole.images[chosen], whole.labels[chosen])


def source_network(
    data: Data, classes: tuple[int, ...], learning_rate: float, budget: Budget
) -> Source:
    """Return the network trained on `classes`; from the cache, where it is trained if missing.

    Of the budget only device, precision, threads and progress count. The weights are those of
    the last epoch, as published.

    Raises:
        DataError: no images of these classes, or the cache cannot be written.
        Diverged: a loss that is not finite.
    """
    device = machine.choose_device(budget)
    precision = machine.precision(budget, device)
    recipe = Recipe(data.fingerprint, classes, learning_rate, precision, device.type)
    place = store.root() / "sources"
    final = place / recipe.name
    found = _read(final, recipe)
    if found is not None:
        return found
    waiting = "waiting for another process to train the source network"
    with store.locked(place, recipe.name, waiting, budget.progress):
        # Another process may have trained it while this one waited for the lock.
        found = _read(final, recipe)
        if found is None:
            found = _train(data, recipe, budget, device)
            with store.writing(place), store.scratch(place, recipe.name) as scratch:
                _write(scratch / "new", recipe, found)
                store.put(scratch / "new", final)
            store.trim(keep={final})
    return found


def _train(data: Data, recipe: Recipe, budget: Budget, device: torch.device) -> Source:
    stage = _stage(data, recipe, device, budget.progress)
    # Never the trial's seed: all trials share this network.
    seed = derive(0, "source")
    own = Budget(EPOCHS, seed, budget.threads, budget.device, recipe.precision)
    history = []
    for epoch in range(1, EPOCHS + 1):
        budget.progress("training the source network", epoch - 1, EPOCHS)
        result = run_epoch(stage, own, epoch, device)
        told = {"val_accuracy": result.val_accuracy, "val_loss": result.val_loss}
        images = len(stage.train.labels)
        history.append({"epoch": epoch, **told, "seconds": result.epoch_s, "images": images})
    budget.progress("training the source network", EPOCHS, EPOCHS)
    weights = {name: w.to("cpu", copy=True) for name, w in stage.model.state_dict().items()}
    return Source(weights, history, device.type, torch.get_num_threads())


def _stage(data: Data, recipe: Recipe, device: torch.device, progress: Progress) -> Stage:
    splits = [only(data, name, recipe.classes, progress) for name in ("train", "validation")]
    height, width, channels = splits[0].images.shape[1:]
    build = partial(
        TransferNet,
        frozen_layers=0,
        size=(height, width),
        channels=channels,
        classes=len(recipe.classes),
        dense_width=DENSE_WIDTH,
        dropout=0.0,
    )
    model = initialised(build, keras_init, derive(0, "source"), device)
    train, validation = (
        # One output per source class, in the order of the list.
        Examples.of(Split(s.images, np.searchsorted(recipe.classes, s.labels)), device)
        for s in splits
    )
    rate = recipe.learning_rate
    adam = Adam(model.parameters(), lr=rate, eps=KERAS_EPSILON)
    return Stage("source", EPOCHS, model, adam, train, validation, BATCH_SIZE)


def _write(folder: Path, recipe: Recipe, source: Source) -> None:
    folder.mkdir()
    with (folder / _WEIGHTS).open("wb") as file:
        torch.save(dict(source.weights), file)
        store.sync(file)
    meta = {
        "recipe": recipe.as_json(),
        "sha256": sha256_of(folder / _WEIGHTS),
        "device": source.device,
        "threads": source.threads,
        "history": list(source.history),
    }
    with (folder / store.META).open("wb") as file:
        file.write(json.dumps(meta, indent=1).encode())
        store.sync(file)


def _read(folder: Path, recipe: Recipe) -> Source | None:
    if not folder.exists():
        return None
    try:
        meta = json.loads((folder / store.META).read_text())
        if meta["recipe"] != recipe.as_json():
            raise ValueError(f"{store.META} is about another network")
        if meta["sha256"] != sha256_of(folder / _WEIGHTS):
            raise ValueError(f"{_WEIGHTS} does not match its checksum")
        weights = torch.load(folder / _WEIGHTS, weights_only=True, map_location="cpu")
        history = [dict(row) for row in meta["history"]]
        found = Source(dict(weights), history, str(meta["device"]), int(meta["threads"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        _log.warning("%s is damaged and is made again: %s", folder, error)
        return None
    store.touch(folder)
    return found
