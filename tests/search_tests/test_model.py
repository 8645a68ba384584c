"""Networks of finished trials, restored: they are as right as the trial told."""

from pathlib import Path
from typing import Any

import pytest

from search.catalog import find
from search.errors import StudyFailed, UsageError
from search.model import check_fits, restored, split_of
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables.budget import drive
from trainables.metrics import split_logits
from trainables.weights import RANDOM

pytestmark = pytest.mark.usefixtures("one_thread")

TRANSFER = {"source_classes": "0,1", "target_classes": "2,3", "dense_width": 12, "batch_size": 8}
INCEPTION = {
    "unfreeze_blocks": 0, "head_epochs": 2, "finetune_epochs": 1, "head_width": 8, "batch_size": 4,
}  # fmt: skip
EXPERIMENTS: list[tuple[str, dict[str, Any], TinyData]] = [
    ("lenet_beans", {"image_size": 64, "batch_size": 8}, tiny_data((70, 70, 3))),
    ("cifar10_net", {"batch_size": 8}, tiny_data((32, 32, 3))),
    ("cifar10_transfer", TRANSFER, tiny_data((16, 16, 3), classes=4, train=40, validation=16)),
    ("inception_beans", INCEPTION, tiny_data((20, 20, 3), train=6, validation=3)),
]


@pytest.mark.parametrize(("name", "changes", "data"), EXPERIMENTS, ids=lambda each: str(each)[:16])
def test_a_restored_network_has_the_accuracy_that_the_trial_told(
    name: str, changes: dict[str, Any], data: TinyData, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    experiment = find(name)
    config = experiment.defaults() | changes
    given = RANDOM if experiment.pretrained else None
    trial = budget(2, tmp_path, weights=given, precision="float32")
    best = drive(experiment.trainable()(config, data, trial), None)
    split = split_of(experiment, config, data, "validation")
    height, width, channels = split.images.shape[1:]
    shape = (height, width, channels)
    model = restored(experiment, config, tmp_path / "best.pt", len(data.classes), shape, given)
    assert not model.training
    found = split_logits(model, split, "float32").argmax(1).numpy()
    right = float((found == split.labels).mean())
    # Stored activations are bfloat16: one image may fall on the other side.
    assert right == pytest.approx(best.val_accuracy, abs=1 / len(split.labels) + 1e-6)


def test_a_transfer_is_judged_on_the_classes_of_the_target() -> None:
    data = tiny_data((16, 16, 3), classes=4, train=40, validation=16)
    experiment = find("cifar10_transfer")
    split = split_of(experiment, {"target_classes": "1,3"}, data, "validation")
    assert split.labels.tolist() == [1, 3] * 4


def test_images_have_the_size_of_the_configuration() -> None:
    data = tiny_data((20, 20, 3))
    assert split_of(find("lenet_beans"), {"image_size": 10}, data, "train").images.shape == (
        24, 10, 10, 3,
    )  # fmt: skip


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    data = tiny_data((12, 12, 1))
    experiment = find("mnist_cnn")
    config = experiment.defaults() | {"batch_size": 8, "filters": "16/32"}
    drive(experiment.trainable()(config, data, budget(1, tmp_path)), None)
    with pytest.raises(StudyFailed, match=r"best.pt does not fit its configuration: Error"):
        restored(experiment, config | {"filters": "32/64"}, tmp_path / "best.pt", 3, (12, 12, 1))


def test_images_that_are_too_small_for_the_network_are_told() -> None:
    experiment = find("cifar10_net")
    check_fits(experiment, experiment.defaults(), 3, (22, 24, 3))
    with pytest.raises(
        UsageError,
        match=r"^images of 24x21: images must have at least 22x22 pixels; got 21$",
    ):
        check_fits(experiment, experiment.defaults(), 3, (24, 21, 3))
