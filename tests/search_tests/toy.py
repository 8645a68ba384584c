"""A toy experiment whose learning curves are a formula, and a driver that stands in for Ray."""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import study
from search.book import Assignment, Book
from search.experiment import Experiment, Preset
from search.folder import StudyFolder
from search.manifest import make_manifest
from search.plan import Plan
from trainables.data import Data, DataSpec

DEFAULTS = {"kind": "a", "depth": 2, "rate": 1e-3, "drop": 0.0}


def space(trial: Any) -> dict[str, Any]:
    config: dict[str, Any] = {"kind": trial.suggest_categorical("kind", ["a", "b"])}
    if config["kind"] == "b":
        config["depth"] = trial.suggest_int("depth", 1, 3)
    config["rate"] = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    config["drop"] = trial.suggest_float("drop", 0.0, 0.6, step=0.2)
    return config


@dataclass(frozen=True)
class Toy(Experiment):
    def space(self) -> Any:
        return space

    def defaults(self) -> dict[str, Any]:
        return dict(DEFAULTS)


PRESETS = {name: Preset(8, 4) for name in ("quick", "standard", "thorough")}
EXPERIMENT = Toy("toy", "a toy", "beans", None, PRESETS, None)
DATA = Data(
    DataSpec("beans", "embedded"), ("x", "y"), "f00d", {"train": 6, "validation": 2, "test": 2}, ()
)


def accuracy(config: dict[str, Any], seed: int, epoch: int) -> float:
    """Grows with the epochs to a height that peaks at rate 1e-2; a tenth of it is luck."""
    height = 0.9 - 0.2 * abs(math.log10(config["rate"]) + 2) - 0.2 * config["drop"]
    return round(height * epoch / (epoch + 1) + 0.1 * (seed % 97) / 97, 6)


def row(epoch: int, val_accuracy: float, **changes: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "stage": "train",
        "train_loss": 0.5,
        "train_accuracy": 0.75,
        "val_loss": round(1 - val_accuracy, 6) if val_accuracy == val_accuracy else 1.0,
        "val_accuracy": val_accuracy,
        "learning_rate": 0.01,
        "epoch_s": 1.0,
        "peak_memory_mb": 64.0,
        "parameters": 10,
        "trainable_parameters": 9,
        "frozen_images": 0,
        "prepared_s": 0.0,
    } | changes


def events(given: Assignment, folder: Path, max_epochs: int) -> Iterator[dict[str, Any]]:
    """What a worker sends: a row per epoch, then its outcome. Keeps files as trainables do."""
    config = given.config
    best = -1.0
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in range(1, max_epochs + 1):
        if config.get("depth") == 3:
            yield {"outcome": "infeasible", "error": "out of memory"}
            return
        if config["rate"] > 0.02 and epoch == 2:
            yield {"outcome": "infeasible", "error": "diverged: epoch 2"}
            return
        if config["drop"] == 0.6 and config["kind"] == "a":
            yield {"outcome": "failed", "error": "ValueError: no"}
            return
        value = accuracy(config, given.seed, epoch)
        if value > best and value >= given.keep_above:
            (folder / "best.pt").write_text(json.dumps([given.number, epoch]))
        best = max(best, value)
        (folder / "checkpoint.pt").write_text(str(epoch))
        yield row(epoch, value)
    yield {"outcome": "completed", "error": ""}


def drive(book: Book, concurrent: int = 1) -> list[int]:
    """Run the study to its end, so many trials at a time; return the numbers as handed out."""
    running: dict[int, Iterator[dict[str, Any]]] = {}
    handed = []
    while True:
        while len(running) < concurrent and (given := book.next()) is not None:
            handed.append(given.number)
            folder = book.folder.trial(given.number)
            running[given.number] = events(given, folder, book.plan.max_epochs)
        if not running:
            return handed
        for number, coming in list(running.items()):
            event = next(coming)
            if "outcome" in event:
                book.end(number, event["outcome"], event["error"])
                del running[number]
            elif book.report(number, event):
                del running[number]


_MANIFESTS: dict[str, dict[str, Any]] = {}  # each asks git and every library for its version


def manifest(plan: Plan) -> dict[str, Any]:
    if repr(plan) not in _MANIFESTS:
        command = ["python", "-m", "search.run", "toy"]
        _MANIFESTS[repr(plan)] = make_manifest(EXPERIMENT, plan, DATA, command)
    return copy.deepcopy(_MANIFESTS[repr(plan)])


def begin(plan: Plan, root: Path) -> study.OpenStudy:
    return study.begin(EXPERIMENT, plan, root, manifest(plan))


def go_on(plan: Plan, root: Path) -> study.OpenStudy:
    return study.go_on(EXPERIMENT, plan, root, manifest(plan))


def folder_of(root: Path) -> StudyFolder:
    return StudyFolder(root, tuple(DEFAULTS))
