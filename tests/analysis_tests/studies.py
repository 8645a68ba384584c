"""Study folders written by hand: rows as dictionaries, the rest of a row filled in."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.catalog import find
from search.domains import configuration
from search.folder import StudyFolder

TRIAL = {
    "trial": 0,
    "status": "completed",
    "epochs": 20,
    "best_epoch": 12,
    "val_accuracy": 0.75,
    "val_loss": 0.7,
    "train_accuracy": 0.9,
    "parameters": 1000,
    "trainable_parameters": 900,
    "wall_s": 100.0,
    "peak_memory_mb": 500.0,
    "seed": 1,
    "error": "",
}
EPOCH = {
    "trial": 0,
    "epoch": 1,
    "stage": "train",
    "train_loss": 0.5,
    "train_accuracy": 0.8,
    "val_loss": 0.7,
    "val_accuracy": 0.7,
    "learning_rate": 0.001,
    "epoch_s": 2.0,
}
CONFIRMED = {
    "configuration": 1,
    "published": True,
    "trial": 0,
    "seed": 1,
    "val_accuracy": 0.75,
    "val_loss": 0.7,
    "train_accuracy": 0.9,
    "test_accuracy": 0.72,
    "test_loss": 0.8,
    "f1_macro": 0.7,
    "f1_weighted": 0.7,
    "precision_macro": 0.7,
    "precision_weighted": 0.7,
    "recall_macro": 0.7,
    "recall_weighted": 0.7,
    "last_test_accuracy": 0.7,
    "last_val_accuracy": 0.7,
    "epochs": 20,
    "best_epoch": 12,
    "parameters": 1000,
    "trainable_parameters": 900,
    "epoch_s": 2.0,
    "wall_s": 100.0,
}


def config(experiment: str, **changed: Any) -> dict[str, Any]:
    """The published configuration with some values changed."""
    known = find(experiment)
    return configuration(known.space(), {**known.defaults(), **changed})


def study(
    folder: Path,
    experiment: str = "lenet_beans",
    trials: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[Mapping[str, Any]] = (),
    kind: str = "tfds",
    weights: str | None = None,
    fingerprint: str = "abc",
    seeds: int = 1,
    planned: int = 0,
    location: str = "",
    path: str = "",
) -> Path:
    """Write a study; a trial's configuration stands under "config", else it is the published.

    `planned` are its trials in all, `location` is the data's, `path` that of the weights.
    """
    known = find(experiment)
    folder.mkdir(parents=True)
    data = {
        "kind": kind,
        "dataset": known.dataset,
        "location": location,
        "fingerprint": fingerprint,
        "sizes": {"train": 1034, "validation": 133, "test": 128},
    }
    found = {"source": weights, "path": path, "fingerprint": "w"} if weights else None
    budget = {"trials": planned, "seeds": seeds, "configurations": []}
    manifest = {"experiment": experiment, "data": data, "weights": found, "budget": budget}
    (folder / "study.json").write_text(json.dumps(manifest))
    names = StudyFolder(folder, tuple(known.defaults())).names
    _write(folder / "trials.csv", TRIAL, trials, names, experiment)
    _write(folder / "curves.csv", EPOCH, curves, (), experiment)
    return folder


def confirm(
    folder: Path, experiment: str, rows: Sequence[Mapping[str, Any]], **extra: Any
) -> None:
    """Write confirm.csv and a confirm.json with what readers need of it."""
    names = tuple(find(experiment).defaults())
    _write(folder / "confirm.csv", CONFIRMED, rows, names, experiment)
    first = rows[0].get("config", config(experiment))
    content = {
        "experiment": experiment,
        "study": folder.name,
        "seeds": len(rows),
        "opened": ["2026-11-22T12:00:00+00:00"],
        "test_images": 128,
        "recommended": 1,
        "configurations": [{"configuration": 1, "published": True, "config": first}],
    }
    (folder / "confirm.json").write_text(json.dumps({**content, **extra}))


def _write(
    path: Path,
    like: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    experiment: str,
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*like, *(f"config.{name}" for name in names)])
        for row in rows:
            unknown = set(row) - set(like) - {"config"}
            assert not unknown, unknown
            chosen = row.get("config", config(experiment))
            values = [{**like, **row}[key] for key in like]
            writer.writerow([*values, *(chosen.get(name, "") for name in names)])
