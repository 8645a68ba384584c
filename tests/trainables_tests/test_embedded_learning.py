"""How hard the embedded data is: good configurations learn it, not perfectly; bad ones don't."""

import numpy as np
import pytest
import torch
from torch import nn

from trainables.budget import Budget, EpochResult
from trainables.data import Split, open_data
from trainables.data.source import DataSpec
from trainables.lenet_beans import train_and_evaluate

PUBLISHED = {
    "regularizer": "none",
    "strength": 0.0,
    "dropout": 0.0,
    "kernel_size": 5,
    "filters": "6/16/120",
    "learning_rate": 1e-3,
    "batch_size": 32,
    "augmentation": "none",
    "image_size": 96,
}


def best_accuracy(epochs: int, seed: int, **changes: float | str) -> float:
    data = open_data(DataSpec("beans", "embedded"))
    reached: list[float] = []

    def note(result: EpochResult) -> None:
        reached.append(result.val_accuracy)

    train_and_evaluate(PUBLISHED | changes, data, Budget(epochs, seed=seed, threads=1), note)
    assert len(reached) == epochs
    return max(reached)


@pytest.mark.slow
def test_lenet_tells_good_configurations_from_bad_ones() -> None:
    good = [best_accuracy(12, seed, learning_rate=5e-4) for seed in range(3)]
    bad = [
        best_accuracy(6, 0, learning_rate=1e-5),
        best_accuracy(6, 0, regularizer="l1", strength=0.1),
    ]
    assert 0.70 < np.median(good) < 0.98
    assert max(bad) < np.median(good) - 0.10


@pytest.mark.slow
def test_small_network_learns_the_objects_partly() -> None:
    data = open_data(DataSpec("cifar10", "embedded"))
    train, validation = data.split("train", None), data.split("validation", None)
    assert (len(train.labels), len(validation.labels)) == (2000, 400)
    accuracy = small_network_accuracy(train, validation)
    assert 0.35 < accuracy < 0.95  # chance is 0.1


def small_network_accuracy(train: Split, validation: Split) -> float:
    """Train two convolutions for six epochs; return the share of right answers."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 6 * 6, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    images, labels = torch.from_numpy(train.images.copy()), torch.from_numpy(train.labels.copy())
    for _ in range(6):
        for chosen in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            logits = model(images[chosen].permute(0, 3, 1, 2) / 255)
            nn.functional.cross_entropy(logits, labels[chosen]).backward()
            optimizer.step()
    with torch.no_grad():
        answers = model(
            torch.from_numpy(validation.images.copy()).permute(0, 3, 1, 2) / 255
        ).argmax(1)
    return float((answers.numpy() == validation.labels).mean())
