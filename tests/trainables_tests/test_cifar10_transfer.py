"""cifar10_transfer as a notebook calls it: the source once, then the target on its features."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spaces.cifar10_transfer import DEFAULTS
from tests.trainables_tests.test_transfer_source import count_epochs
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import CPU, budget, told
from trainables import cifar10_transfer
from trainables.assembly import initialised
from trainables.budget import Diverged, EpochResult, drive
from trainables.checkpoint import load_weights
from trainables.cifar10_transfer import build, epochs, optimizer_of, source_of, target_stage
from trainables.errors import DataError
from trainables.evaluation import Examples
from trainables.nets.lenet import keras_init
from trainables.nets.transfer import TransferNet, TransferTail
from trainables.training import Stage, run_stages
from trainables.transfer_source import only

CONFIG: dict[str, Any] = DEFAULTS | {
    "source_classes": "0,1",
    "target_classes": "2,3",
    "dense_width": 12,
    "dropout": 0.3,
    "target_learning_rate": 5e-3,
    "batch_size": 8,
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No source and no features yet; the other tests share theirs."""
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data() -> TinyData:
    return tiny_data((16, 16, 3), classes=4, train=40, validation=16)


@pytest.mark.usefixtures("fresh_cache")
def test_the_stage_is_what_the_configuration_says(data: TinyData) -> None:
    given = budget(3)
    stage = target_stage(CONFIG, data, given, source_of(CONFIG, data, given), 0.5, CPU)
    assert (stage.name, stage.epochs, stage.batch_size) == ("target", 3, 8)
    assert (len(stage.train.labels), len(stage.validation.labels)) == (20, 8)
    assert stage.train.labels.unique().tolist() == [2, 3]
    assert stage.frozen_images == 28
    assert isinstance(stage.model, TransferTail)
    assert stage.model.output.out_features == 4  # for all classes of the data, as published
    assert stage.model.dropout.p == 0.3
    assert isinstance(stage.optimizer, torch.optim.Adam)
    assert (stage.optimizer.defaults["lr"], stage.optimizer.defaults["eps"]) == (5e-3, 1e-7)
    trained = [p for group in stage.optimizer.param_groups for p in group["params"]]
    assert [tuple(p.shape) for p in trained] == [(12, 32), (12,), (4, 12), (4,)]


@pytest.mark.usefixtures("fresh_cache")
@pytest.mark.parametrize("frozen", [1, 2])
def test_convolutions_start_as_the_source_and_frozen_ones_stay(
    frozen: int, data: TinyData, tmp_path: Path
) -> None:
    config = CONFIG | {"frozen_layers": frozen}
    source = source_of(config, data, budget(3))
    rows = list(epochs(config, data, budget(3, tmp_path)))
    # 16: 13, 6; 3, 1. 16 3 32 + 32, 16 32 32 + 32, 32 12 + 12, 12 4 + 4.
    assert {r.parameters for r in rows} == {1568 + 16416 + 396 + 52}
    assert {r.trainable_parameters for r in rows} == {448 if frozen == 2 else 16416 + 448}
    assert [r.frozen_images for r in rows] == [28, 0, 0]
    assert {r.stage for r in rows} == {"target"}
    saved = load_weights(tmp_path / "best.pt")["model"]
    model = build(config, 4, 3, (16, 16))
    model.load_state_dict(saved)  # the whole network, no name missing
    same = {
        name: torch.equal(source.weights[f"{name}.weight"], saved[f"{name}.weight"])
        for name in ("conv1", "conv2")
    }
    assert same == {"conv1": True, "conv2": frozen == 2}


class Rounding(TransferNet):
    """The whole network on images; features are rounded as they are when stored."""

    def head(self, images: Tensor) -> Tensor:
        return super().head(images).bfloat16().float()


def plain_stage(config: dict[str, Any], data: TinyData, precision: str) -> Stage:
    """The same stage on images: frozen layers run again in every epoch."""
    given = budget(3, precision=precision)
    source = source_of(config, data, given)
    build_plain = partial(cifar10_transfer._build, Rounding, config, 4, 3, (16, 16))
    model = initialised(build_plain, keras_init, given.seed, CPU)
    convolutions = {k: v for k, v in source.weights.items() if k.startswith("conv")}
    model.load_state_dict(model.state_dict() | convolutions)
    train, validation = (only(data, name, (2, 3)) for name in ("train", "validation"))
    return Stage(
        name="target",
        epochs=3,
        model=model,
        optimizer=optimizer_of(config, model),
        train=Examples.of(train, CPU),
        validation=Examples.of(validation, CPU),
        batch_size=config["batch_size"],
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("frozen", [1, 2])
def test_stored_features_train_as_the_whole_network_does(
    frozen: int, precision: str, data: TinyData
) -> None:
    config = CONFIG | {"frozen_layers": frozen}
    given = budget(3, precision=precision)
    stored = list(epochs(config, data, given))
    plain = list(run_stages([lambda _: plain_stage(config, data, precision)], given, "plain"))
    rows = [
        [[r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy] for r in results]
        for results in (stored, plain)
    ]
    assert len(rows[0]) == 3
    # 9 steps; a bfloat16 has 8 bits, and sums in batches of another size may round otherwise.
    tolerance = 1e-5 if precision == "float32" else 2e-3
    assert rows[0] == [pytest.approx(row, rel=tolerance) for row in rows[1]]
    assert rows[0][0][0] != rows[0][2][0]


@pytest.mark.usefixtures("fresh_cache")
def test_the_source_is_trained_once_for_two_trials(
    data: TinyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = count_epochs(monkeypatch)
    drive(epochs(CONFIG, data, budget(2, seed=1)), None)
    best = drive(epochs(CONFIG | {"dropout": 0.1}, data, budget(2, seed=2)), None)
    assert trained == list(range(1, 11))
    assert best.frozen_images == 0
    drive(epochs(CONFIG | {"source_learning_rate": 3e-3}, data, budget(1)), None)
    assert len(trained) == 20


def test_the_clock_counts_the_target_alone(data: TinyData) -> None:
    rows = list(epochs(CONFIG, data, budget(2)))
    assert [r.epoch for r in rows] == [1, 2]
    source = source_of(CONFIG, data, budget(2))
    assert len(source.history) == 10


def test_it_learns_what_brightness_tells() -> None:
    data = tiny_data((16, 16, 3), classes=4, train=200, validation=40)
    config = CONFIG | {"dropout": 0.0, "dense_width": 64}
    best = drive(epochs(config, data, budget(25)), None)
    assert best.val_accuracy == 1.0


@pytest.mark.parametrize(
    ("frozen", "done"),
    [(2, 3), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1, 1), (1, 3), (2, 1)))],
)
def test_interrupted_equals_undisturbed(
    frozen: int, done: int, data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", float("inf"))
    config = CONFIG | {"frozen_layers": frozen}

    def without_frozen(rows: list[EpochResult]) -> list[dict[str, Any]]:
        return told([replace(r, frozen_images=0) for r in rows])  # the first to come computes

    expected = without_frozen(list(epochs(config, data, budget(4))))
    stream = epochs(config, data, budget(4, tmp_path))
    assert without_frozen([next(stream) for _ in range(done)]) == expected[:done]
    assert without_frozen(list(epochs(config, data, budget(4, tmp_path)))) == expected


def test_a_checkpoint_upon_another_source_is_not_taken(
    data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", float("inf"))
    next(epochs(CONFIG, data, budget(3, tmp_path)))
    real = source_of(CONFIG, data, budget(3))
    changed = replace(
        real, weights=dict(real.weights) | {"conv1.bias": real.weights["conv1.bias"] + 0.1}
    )
    monkeypatch.setattr(cifar10_transfer, "source_of", lambda *_: changed)
    assert len(list(epochs(CONFIG, data, budget(3, tmp_path)))) == 3
    assert "another configuration, seed or data set wrote it" in caplog.text


def test_divergence_is_told_as_such(data: TinyData) -> None:
    with pytest.raises(Diverged, match=r"^epoch 1: loss"):
        drive(epochs(CONFIG | {"target_learning_rate": 1e30}, data, budget(2)), None)


@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("source_classes", "0", ValueError, "classes must be two numbers or more"),
        ("target_classes", "x", ValueError, "classes must be two numbers or more"),
        ("source_classes", "7,8", DataError, "the train split has no images of the classes 7, 8"),
        ("target_classes", "7,8", DataError, "the train split has no images of the classes 7, 8"),
        ("frozen_layers", 3, ValueError, "frozen_layers must be 0, 1 or 2, but got 3"),
    ],
)
def test_values_that_do_not_exist_are_refused(
    name: str, value: Any, error: type[Exception], said: str, data: TinyData
) -> None:
    with pytest.raises(error, match=f"^{said}"):
        drive(epochs(CONFIG | {name: value}, data, budget(1)), None)


def test_build_takes_other_channels_classes_and_sizes() -> None:
    with torch.device("meta"):
        model = build(DEFAULTS, classes=5, channels=1, size=(40, 30))
        assert model(torch.empty(1, 1, 40, 30)).shape == (1, 5)


@pytest.mark.usefixtures("fresh_cache")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_limit_of_memory_is_no_hindrance(precision: str, data: TinyData, tmp_path: Path) -> None:
    """As every trial of a study has one: its stage is looked at on the device meta first."""
    free = list(epochs(CONFIG, data, budget(2, tmp_path / "free", precision=precision)))
    limited = budget(2, tmp_path / "limited", precision=precision, memory_mb=8000.0)
    assert told(list(epochs(CONFIG, data, limited))) == [
        {**row, "frozen_images": 0} for row in told(free)
    ]
