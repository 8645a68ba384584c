"""mnist_cnn as a notebook calls it: tiny grey and coloured images, real training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget, equal, told
from trainables import mnist_cnn
from trainables.budget import Diverged, drive
from trainables.checkpoint import load_weights
from trainables.data import DataSpec, open_data
from trainables.mnist_cnn import build, epochs
from trainables.training import Stage

CONFIG: dict[str, Any] = {
    "learning_rate": 0.05,
    "momentum": 0.5,
    "batch_size": 4,
    "kernel_size": 3,
    "filters": "3/4",
    "dropout": 0.2,
}
GREY = (12, 12, 1)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data() -> TinyData:
    return tiny_data(GREY)


def stage_of(config: dict[str, Any], data: TinyData, seed: int = 11) -> Stage:
    return mnist_cnn._stage(config, data, budget(3, seed=seed), torch.device("cpu"))


def test_the_stage_is_what_the_configuration_says(data: TinyData) -> None:
    stage = stage_of(CONFIG, data)
    assert isinstance(stage.optimizer, torch.optim.SGD)
    assert stage.optimizer.defaults["lr"] == 0.05
    assert stage.optimizer.defaults["momentum"] == 0.5
    assert (stage.name, stage.epochs, stage.batch_size) == ("train", 3, 4)
    assert (stage.augment, stage.penalty) == (None, None)
    assert stage.loss is torch.nn.functional.cross_entropy
    assert getattr(stage.model.get_submodule("dropout"), "p", None) == 0.2


def test_images_keep_their_own_size_and_the_test_split_is_not_read(data: TinyData) -> None:
    drive(epochs(CONFIG, data, budget(1)), None)
    assert data.asked == [("train", None), ("validation", None)]


@pytest.mark.parametrize("shape", [(12, 12, 1), (12, 12, 3), (9, 14, 1)])
def test_it_learns_what_brightness_tells(shape: tuple[int, int, int]) -> None:
    best = drive(epochs(CONFIG | {"dropout": 0.0}, tiny_data(shape), budget(40)), None)
    assert best.val_accuracy == 1.0


def test_every_epoch_is_told(data: TinyData) -> None:
    rows = list(epochs(CONFIG, data, budget(3)))
    assert [r.epoch for r in rows] == [1, 2, 3]
    # 9 3 + 3, 9 3 4 + 4, 6 6 4 128 + 128, 128 3 + 3
    assert {r.parameters for r in rows} == {30 + 112 + 18560 + 387}
    assert {r.trainable_parameters for r in rows} == {19089}
    assert {r.learning_rate for r in rows} == {0.05}


def test_black_goes_in_as_minus_one_and_white_as_one(data: TinyData) -> None:
    stage = stage_of(CONFIG, data)
    seen: list[torch.Tensor] = []
    stage.model.get_submodule("conv1").register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    pixels = torch.tensor([0, 51, 255, 0], dtype=torch.uint8).repeat(36).reshape(1, 12, 12, 1)
    stage.model(stage.prepare(pixels))
    assert seen[0][0, 0, 0, :4].tolist() == pytest.approx([-1, -0.6, 1, -1])


def test_weights_start_from_the_trial_s_seed_alone(data: TinyData) -> None:
    before = torch.get_rng_state()
    starts = [list(stage_of(CONFIG, data, seed).model.parameters()) for seed in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    first, second, third = ([p.detach() for p in start] for start in starts)
    assert equal(first, second)
    assert not equal(first, third)


@pytest.mark.parametrize("done", [1, 2])
def test_interrupted_equals_undisturbed(
    done: int, data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", float("inf"))
    expected = told(list(epochs(CONFIG, data, budget(4))))
    stream = epochs(CONFIG, data, budget(4, tmp_path))
    assert told([next(stream) for _ in range(done)]) == expected[:done]
    assert told(list(epochs(CONFIG, data, budget(4, tmp_path)))) == expected
    assert load_weights(tmp_path / "best.pt")["epoch"] in range(1, 5)


def test_divergence_is_told_as_such(data: TinyData) -> None:
    with pytest.raises(Diverged, match=r"^epoch 1: loss"):
        drive(epochs(CONFIG | {"learning_rate": 1e30}, data, budget(2)), None)


def test_filters_must_be_two(data: TinyData) -> None:
    with pytest.raises(ValueError, match=r"^filters must be 2 .* as in 32/64, but got 1/2/3$"):
        drive(epochs(CONFIG | {"filters": "1/2/3"}, data, budget(1)), None)


def test_build_takes_other_channels_classes_and_sizes() -> None:
    with torch.device("meta"):
        model = build(CONFIG, classes=5, channels=3, size=(20, 30))
        assert model(torch.empty(1, 3, 20, 30)).shape == (1, 5)


@pytest.mark.slow
def test_real_digits_train(shared_dir: Path) -> None:
    source = open_data(DataSpec("mnist", "tfds", str(shared_dir / "tensorflow_datasets")))
    whole = {name: source.split(name, None) for name in ("train", "validation")}
    few = tiny_data((28, 28, 1), classes=10)
    for name, split in whole.items():
        assert split.images.shape[1:] == (28, 28, 1)
        few.splits[name] = type(split)(split.images[:400], split.labels[:400])
    config = CONFIG | {"filters": "8/16", "batch_size": 16, "momentum": 0.9, "learning_rate": 0.01}
    best = drive(epochs(config, few, budget(4)), None)
    assert best.val_accuracy > 0.6  # chance is 0.1
