"""Keras's networks and training are the same problem; skipped where Keras is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.peers import networks, records, with_keras_tuner
from search.catalog import find

from .peer_data import tiny_task
from .test_peers_training import NETWORKS, SHAPES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras_tuner", reason="the peers are not installed: `make bench`")


def both(experiment: str, **changes: Any) -> tuple[Any, Any]:
    from benchmarks.peers.keras_networks import compiled

    config = {**find(experiment).defaults(), **NETWORKS[experiment], **changes}
    channels, height, width = SHAPES[experiment]
    keras = compiled(experiment, config, (height, width, channels), 4)
    return keras, networks.build(experiment, config, SHAPES[experiment], 4)


@pytest.mark.parametrize("experiment", NETWORKS)
def test_networks_have_the_same_layers(experiment: str) -> None:
    keras, stock = both(experiment)
    sizes = [int(np.prod(each.shape)) for each in keras.trainable_weights]
    assert sizes == [each.numel() for each in stock.parameters()]
    # Uniform with the same bound: the same largest weight, nearly.
    for mine, other in zip(keras.trainable_weights, stock.parameters(), strict=True):
        if mine.ndim > 1:
            largest = float(other.detach().abs().max())
            assert float(np.abs(mine.numpy()).max()) == pytest.approx(largest, rel=0.1)


def test_the_penalty_is_added_to_the_loss() -> None:
    keras, _ = both("lenet_beans", regularizer="l2", strength=0.5)
    kernels = [each.numpy() for each in keras.trainable_weights if each.ndim == 4]
    assert len(kernels) == 3
    wanted = 0.5 * sum(float((kernel**2).sum()) for kernel in kernels)
    assert float(sum(keras.losses)) == pytest.approx(wanted, rel=1e-5)


def test_a_trial_learns_and_notes_every_epoch(tmp_path: Path) -> None:
    import keras
    import keras_tuner

    fixed = find("mnist_cnn").defaults() | {
        "learning_rate": 0.03,
        "filters": "16/32",
        "batch_size": 4,
        "dropout": 0.1,
    }
    task, _ = tiny_task(tmp_path, "mnist_cnn", fixed=fixed)
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    searched = with_keras_tuner.hypermodel(task)
    hp = keras_tuner.HyperParameters()
    searched.fit(hp, searched.build(hp), epochs=6)
    found = records.read(task.records, 0)
    assert [each.epoch for each in found] == [1, 2, 3, 4, 5, 6]
    assert {each.trial for each in found} == {records.key(fixed)}
    assert max(each.val_accuracy for each in found) > 0.8
