"""cifar10_net as a notebook calls it: tiny images, both optimizers and losses, real training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget, told
from trainables import cifar10_net
from trainables.augment import augment
from trainables.budget import Diverged, drive
from trainables.cifar10_net import build, epochs
from trainables.losses import mean_squared_error
from trainables.training import Stage

CONFIG: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "momentum": 0.9,
    "batch_size": 4,
    "kernel_size": 3,
    "filters": "3/4/5",
    "dropout_1": 0.2,
    "dropout_2": 0.2,
    "dropout_3": 0.1,
    "loss": "cross_entropy",
    "augmentation": "mirror+crop",
}
# A configuration of Adam has no momentum.
ADAM = {k: v for k, v in CONFIG.items() if k != "momentum"} | {
    "optimizer": "adam",
    "learning_rate": 0.005,
}
PLAIN = {"dropout_1": 0.0, "dropout_2": 0.0, "dropout_3": 0.0, "augmentation": "none"}
COLOUR = (22, 22, 3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data() -> TinyData:
    return tiny_data(COLOUR)


def stage_of(config: dict[str, Any], data: TinyData) -> Stage:
    return cifar10_net._stage(config, data, budget(3), torch.device("cpu"))


def test_the_stage_is_what_the_configuration_says(data: TinyData) -> None:
    stage = stage_of(CONFIG, data)
    assert isinstance(stage.optimizer, torch.optim.SGD)
    assert stage.optimizer.defaults["lr"] == 0.05
    assert stage.optimizer.defaults["momentum"] == 0.9
    assert (stage.name, stage.epochs, stage.batch_size) == ("train", 3, 4)
    assert stage.loss is torch.nn.functional.cross_entropy
    drops = [stage.model.get_submodule(f"dropout{number}") for number in (1, 2, 3)]
    assert [getattr(drop, "p", None) for drop in drops] == [0.2, 0.2, 0.1]
    assert data.asked == [("train", None), ("validation", None)]
    other = stage_of(ADAM | {"loss": "mean_squared_error"}, data)
    assert isinstance(other.optimizer, torch.optim.Adam)
    assert other.loss is mean_squared_error


def test_augmentation_sees_images_before_they_are_scaled(data: TinyData) -> None:
    """Crops move black in, -1 for the network; scaled before, they would move grey in."""
    stage = stage_of(CONFIG, data)
    images = stage.prepare(stage.train.inputs)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert stage.augment is not None
    shown = stage.augment(images, torch.Generator().manual_seed(1))
    assert torch.equal(shown, augment(images, "mirror+crop", torch.Generator().manual_seed(1)))
    seen: list[torch.Tensor] = []
    stage.model.get_submodule("conv1").register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    stage.model(shown)
    assert torch.equal(seen[0], 2 * shown - 1)


@pytest.mark.parametrize(
    ("config", "loss", "rate"),
    [
        (CONFIG, "cross_entropy", 0.01),
        (CONFIG, "mean_squared_error", 0.1),
        (ADAM, "cross_entropy", 0.005),
        (ADAM, "mean_squared_error", 0.005),
    ],
)
def test_it_learns_what_brightness_tells(
    config: dict[str, Any], loss: str, rate: float, data: TinyData
) -> None:
    changed = config | PLAIN | {"loss": loss, "learning_rate": rate}
    best = drive(epochs(changed, data, budget(40)), None)
    assert best.val_accuracy == 1.0
    if loss == "mean_squared_error":
        assert best.val_loss < 2 / 3  # its bound for three classes


def test_losses_told_are_of_the_configured_kind(data: TinyData) -> None:
    # No step worth the name: three classes at nearly equal logits.
    still = CONFIG | PLAIN | {"learning_rate": 1e-12, "batch_size": 32}
    (cross,) = epochs(still, data, budget(1))
    (squared,) = epochs(still | {"loss": "mean_squared_error"}, data, budget(1))
    assert cross.val_loss == pytest.approx(1.0986, abs=0.05)  # log 3
    assert squared.val_loss == pytest.approx(2 / 9, abs=0.02)  # (4 + 1 + 1) / 9, over 3
    assert cross.train_loss == pytest.approx(1.0986, abs=0.05)
    assert squared.train_loss == pytest.approx(2 / 9, abs=0.02)


def test_grey_images(data: TinyData) -> None:
    grey = tiny_data((24, 22, 1))
    rows = list(epochs(CONFIG, grey, budget(2)))
    assert [r.epoch for r in rows] == [1, 2]
    # 9 3 + 3, 9 3 4 + 4, 9 4 5 + 5, 1 1 5 128 + 128, 128 256 + 256, 256 3 + 3
    assert {r.parameters for r in rows} == {30 + 112 + 185 + 768 + 33024 + 771}


@pytest.mark.parametrize("config", [CONFIG, ADAM])
@pytest.mark.parametrize("done", [1, 2])
def test_interrupted_equals_undisturbed(
    config: dict[str, Any],
    done: int,
    data: TinyData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With dropout, augmentation and what the optimizer remembers."""
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", float("inf"))
    expected = told(list(epochs(config, data, budget(4))))
    stream = epochs(config, data, budget(4, tmp_path))
    assert told([next(stream) for _ in range(done)]) == expected[:done]
    assert told(list(epochs(config, data, budget(4, tmp_path)))) == expected


def test_divergence_is_told_as_such(data: TinyData) -> None:
    with pytest.raises(Diverged, match=r"^epoch 1: loss"):
        drive(epochs(CONFIG | {"learning_rate": 1e30}, data, budget(2)), None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("filters", "3/4", "filters must be 3 positive numbers as in 64/128/256, but got 3/4"),
        ("optimizer", "lion", "optimizer must be sgd or adam, but got 'lion'"),
        ("loss", "hinge", "loss must be one of cross_entropy, .* but got 'hinge'"),
        ("augmentation", "spin", "unknown augmentation 'spin'"),
        ("kernel_size", 4, "kernel_size must be odd and at least 3, but got 4"),
    ],
)
def test_values_that_do_not_exist_are_refused(
    name: str, value: Any, said: str, data: TinyData
) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        drive(epochs(CONFIG | {name: value}, data, budget(1)), None)


def test_images_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^images must have at least 22x22 pixels; got 20$"):
        drive(epochs(CONFIG, tiny_data((20, 32, 3)), budget(1)), None)


def test_build_takes_other_channels_classes_and_sizes() -> None:
    with torch.device("meta"):
        model = build(CONFIG, classes=5, channels=1, size=(40, 30))
        assert model(torch.empty(1, 1, 40, 30)).shape == (1, 5)
