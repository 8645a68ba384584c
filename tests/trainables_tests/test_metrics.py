"""Metrics by hand, and those of kept weights against the trial's own accuracy."""

import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.trainables_tests.tiny_data import tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables import device as machine
from trainables import mnist_cnn
from trainables.budget import drive
from trainables.metrics import class_metrics, logits_of, weights_metrics

CONFIG = {
    "learning_rate": 0.02,
    "momentum": 0.5,
    "batch_size": 8,
    "kernel_size": 3,
    "filters": "3/4",
    "dropout": 0.2,
}


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 2, 2])
    found = class_metrics(labels, predicted, 3)
    assert found["images"] == 8
    assert found["confusion_matrix"] == [[3, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert found["accuracy"] == 6 / 8
    # Of class 0: precision 3/4, recall 3/4; class 1: 1/2, 1/2; class 2: 1, 1. Weights 4, 2, 2.
    mean = (4 * 0.75 + 2 * 0.5 + 2 * 1) / 8
    assert found["precision_weighted"] == pytest.approx(mean)
    assert found["recall_weighted"] == pytest.approx(mean)
    assert found["f1_weighted"] == pytest.approx(mean)  # F1 of a and a is a
    for name in ("precision_macro", "recall_macro", "f1_macro"):
        assert found[name] == pytest.approx((0.75 + 0.5 + 1) / 3)


def test_f1_is_the_harmonic_mean_in_each_class() -> None:
    found = class_metrics(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 2)
    # Class 0: precision 1, recall 1/3, F1 1/2; class 1: precision 1/3, recall 1, F1 1/2.
    assert found["precision_weighted"] == pytest.approx((3 * 1 + 1 / 3) / 4)
    assert found["recall_weighted"] == pytest.approx((3 * 1 / 3 + 1) / 4)
    assert found["f1_weighted"] == pytest.approx(0.5)


@pytest.mark.filterwarnings("error")
def test_a_class_without_images_or_predictions_counts_nothing() -> None:
    found = class_metrics(np.array([0, 0]), np.array([1, 0]), 4)
    assert found["confusion_matrix"] == [[1, 1, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert found["precision_weighted"] == 1.0
    assert found["recall_weighted"] == 0.5
    # Classes 2 and 3 have neither images nor predictions; class 1 a wrong prediction.
    assert found["precision_macro"] == 0.5
    assert found["recall_macro"] == 0.25


def test_no_images_have_no_metrics() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(ValueError, match=r"^metrics need at least one image, but got none$"):
        class_metrics(none, none, 3)


class Named(nn.Module):
    """Takes the first pixel, 0, 1 or 2 of 255, for the class."""

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        return torch.eye(3)[(images[:, 0, 0, 0] * 255).round().long()]


def test_logits_of_several_batches_come_in_order() -> None:
    expected = np.arange(1024 + 5) % 3  # 1024 of so small ones at once
    images = torch.tensor(expected, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    found = logits_of(Named(), images, nullcontext()).argmax(1).numpy()
    assert (found == expected).all()


@pytest.mark.filterwarnings("error")
def test_images_that_nobody_may_write_to_raise_no_warning(tmp_path: Path) -> None:
    """As the cache hands them out: read-only maps, of which torch warns."""
    data = tiny_data((12, 12, 1))
    with warnings.catch_warnings():  # training silences it: not here, in the driver
        drive(mnist_cnn.epochs(CONFIG, data, budget(1, tmp_path)), None)
    split = data.split("validation", None)
    split.images.setflags(write=False)
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match="not writable"):
            torch.from_numpy(split.images)
        model = mnist_cnn.build(CONFIG, 3, 1, (12, 12))
        assert weights_metrics(model, tmp_path / "best.pt", split, 3)["images"] == 9
    finally:
        torch.set_warn_always(before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kept_weights_have_the_accuracy_that_the_trial_told(
    precision: str, tmp_path: Path
) -> None:
    data = tiny_data((12, 12, 1), validation=30)
    best = drive(mnist_cnn.epochs(CONFIG, data, budget(4, tmp_path, precision=precision)), None)
    split = data.split("validation", None)
    with torch.device("meta"):
        model = mnist_cnn.build(CONFIG, 3, 1, (12, 12))
    found = weights_metrics(model, tmp_path / "best.pt", split, 3, precision)
    assert found["accuracy"] == pytest.approx(best.val_accuracy)
    matrix = np.array(found["confusion_matrix"])
    assert matrix.shape == (3, 3)
    assert matrix.sum(axis=1).tolist() == [10, 10, 10]
    assert np.trace(matrix) / 30 == pytest.approx(best.val_accuracy)


def test_on_the_cpu_no_gpu_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data((12, 12, 1))
    drive(mnist_cnn.epochs(CONFIG, data, budget(1, tmp_path)), None)
    monkeypatch.setattr(machine, "can_compute", lambda: pytest.fail("was looked for"))
    split, model = data.split("validation", None), mnist_cnn.build(CONFIG, 3, 1, (12, 12))
    found = weights_metrics(model, tmp_path / "best.pt", split, 3, "float32", "cpu")
    assert found["images"] == 9
