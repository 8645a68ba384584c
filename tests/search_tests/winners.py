"""Finished studies of the real experiments, one trial each, on tiny images: made in seconds.

One of lenet_beans may then be confirmed, by hand.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from search import study
from search.catalog import find
from search.manifest import make_manifest
from search.model import network
from search.plan import Plan
from search.weights import complete_best
from trainables.budget import Budget
from trainables.data import DataSpec, open_data
from trainables.data.cache import resize
from trainables.weights import RANDOM

# What makes a trial of each cheap; everything else is as published.
CHEAP: dict[str, dict[str, Any]] = {
    "lenet_beans": {"image_size": 64, "kernel_size": 3, "filters": "3/8/60", "batch_size": 16},
    "inception_beans": {"unfreeze_blocks": 2, "head_epochs": 1, "finetune_epochs": 1},
    "mnist_cnn": {"filters": "16/32", "batch_size": 8, "learning_rate": 0.01},
    "cifar10_net": {"batch_size": 8},
    "cifar10_transfer": {"batch_size": 25},
}


def make_images(root: Path, classes: int, each: int = 10, side: int = 32) -> Path:
    """Noise around a brightness of the class's own: can be learned, is never quite sure."""
    draws = np.random.default_rng(0)
    for label in range(classes):
        (root / f"kind {label}").mkdir(parents=True)
        for number in range(each):
            low = 20 + 200 * label // classes
            pixels = draws.integers(low, low + 60, (side, side, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"kind {label}" / f"{number}.png")
    return root


def make_study(root: Path, name: str, data: DataSpec, epochs: int = 2) -> Path:
    """Train the published configuration, made cheap, as the one trial of a study in `root`."""
    experiment, found = find(name), open_data(data)
    weights = RANDOM if experiment.pretrained else None
    plan = Plan(trials=1, max_epochs=epochs, precision="float32", fixed=CHEAP[name])
    content = make_manifest(experiment, plan, found, ["python", "-m", "search.run"], weights)
    content["resources"] = {"precision": "float32"}
    opened = study.begin(experiment, plan, root, content)
    given = opened.book.next()
    assert given is not None
    budget = Budget(
        epochs=epochs,
        seed=given.seed,
        device="cpu",
        precision="float32",
        folder=opened.book.folder.trial(0),
        weights=weights,
    )
    for result in experiment.trainable()(given.config, found, budget):
        opened.book.report(0, asdict(result))
    opened.book.end(0, "completed")
    opened.close()
    if weights is not None:
        complete_best(experiment, opened.book, weights)
    return root


def validation_images(data: DataSpec, size: int | None, to: Path) -> tuple[list[Path], list[int]]:
    """Write the validation split as PNG files; return them and their labels."""
    split = open_data(data).split("validation", None)
    to.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(split.images):
        paths.append(to / f"{number:04d}.png")
        Image.fromarray(resize(image, size).squeeze()).save(paths[-1])
    return paths, [int(label) for label in split.labels]


def spread(mean: float, n: int = 3) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.01, "low": mean - 0.02, "high": mean + 0.02, "n": n}


def configuration(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "configuration": number, "config": {"kernel_size": number}, "trials": [0],
        "val_accuracy": spread(0.7), "test_accuracy": spread(0.8), "optimism": 0.1, **changed,
    }  # fmt: skip


def confirmed(searched: Path, to: Path, answer: int, **budget: Any) -> Path:
    """Copy a study, confirmed: another network, which says class `answer` of every image.

    The study is one of lenet_beans, on images of 3 classes.
    """
    to.mkdir()
    for name in ("study.json", "trials.csv", "curves.csv", "best.json", "best.pt"):
        (to / name).write_bytes((searched / name).read_bytes())
    (to / "journal.log").touch()
    manifest = json.loads((to / "study.json").read_text())
    (to / "study.json").write_text(json.dumps(manifest | {"budget": manifest["budget"] | budget}))
    best = json.loads((to / "best.json").read_text())
    config = best["config"] | {"kernel_size": 5}
    assert config != best["config"]
    model = network(find("lenet_beans"), config, 3, (64, 64, 3))
    state = {name: torch.zeros(value.shape) for name, value in model.state_dict().items()}
    state[list(state)[-1]][answer] = 1.0  # the bias of the logits
    numbers = {"epoch": 1, "val_accuracy": best["val_accuracy"]}
    torch.save({"model": state, **numbers}, to / "confirm.pt")
    told = best | {"confirmed": True, "configuration": 2, "trial": 7, "config": config}
    (to / "confirm_best.json").write_text(json.dumps(told))
    content = {
        "test_images": 7,
        "recommended": 2,
        "configurations": [configuration(2, config=config)],
    }
    (to / "confirm.json").write_text(json.dumps(content))
    return to
