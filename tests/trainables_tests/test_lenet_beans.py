"""The trainable as a notebook calls it: no Ray, tiny folders of images, real training."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trainables_tests.tiny_stages import budget, count_epochs, equal, told
from trainables import lenet_beans
from trainables.budget import Budget, Diverged, EpochResult, best_of
from trainables.checkpoint import load_weights
from trainables.data import Data, DataSpec, open_data
from trainables.device import autocast
from trainables.evaluation import evaluate
from trainables.lenet_beans import build, epochs, train_and_evaluate
from trainables.training import Stage

ROOT = Path(__file__).resolve().parents[2]
CLASSES, IMAGES = ("day", "dusk", "night"), 12  # images of each class

# Every kind of randomness is on; 20 pixels: 18, 9, 7, 3, 1.
CONFIG: dict[str, Any] = {
    "regularizer": "l2",
    "strength": 0.01,
    "dropout": 0.2,
    "kernel_size": 3,
    "filters": "2/3/4",
    "learning_rate": 0.01,
    "batch_size": 8,
    "augmentation": "flip+brightness",
    "image_size": 20,
}


pytestmark = pytest.mark.usefixtures("one_thread")


def fill(root: Path, seed: int) -> Data:
    """Images whose brightness tells the class; 36 of them, split 24, 6 and 6."""
    draw = np.random.default_rng(seed)
    for level, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(IMAGES):
            pixels = draw.integers(0, 60, (24, 24, 3)) + 80 * (2 - level)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return open_data(DataSpec("beans", "folder", str(root)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return fill(tmp_path_factory.mktemp("images"), 1)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """Return a list that takes in every stage that is built."""
    stages: list[Stage] = []
    original = lenet_beans._stage

    def kept(*args: Any) -> Stage:
        stages.append(original(*args))
        return stages[-1]

    monkeypatch.setattr(lenet_beans, "_stage", kept)
    return stages


def weights(stage: Stage) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in stage.model.state_dict().values()]


# --- in a notebook

NOTEBOOK = """
import json, sys
from trainables.budget import Budget
from trainables.data import DataSpec, open_data
from trainables.lenet_beans import train_and_evaluate

config = json.loads(sys.argv[1])
data = open_data(DataSpec("beans", "folder", sys.argv[2]))
seen, stopped = [], []
budget = Budget(epochs=3, threads=1)
best = train_and_evaluate(config, data, budget, lambda row: seen.append(row.epoch))
train_and_evaluate(config, data, budget, lambda row: stopped.append(row) or True)
alone = train_and_evaluate(config, data, Budget(epochs=1, threads=1))
strangers = {"ray", "optuna", "tensorflow", "spaces", "search", "analysis"} & set(sys.modules)
print(json.dumps([seen, len(stopped), best.epoch, alone.epoch, sorted(strangers)]))
"""


def test_it_runs_in_a_notebook_with_no_ray(data: Data) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, json.dumps(CONFIG), data.spec.location],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen, stopped, best, alone, strangers = json.loads(done.stdout)
    assert seen == [1, 2, 3]
    assert stopped == 1
    assert best in (1, 2, 3)
    assert alone == 1
    assert strangers == []
    assert done.stderr == ""  # no warning reaches the user


def test_report_hears_every_epoch_and_the_best_is_returned(data: Data) -> None:
    seen: list[EpochResult] = []
    best = train_and_evaluate(CONFIG, data, budget(5), seen.append)
    assert [r.epoch for r in seen] == [1, 2, 3, 4, 5]
    assert best == best_of(seen)
    # 3x3x3 2 + 2, 3x3x2 3 + 3, 3x3x3 4 + 4, 4 50 + 50, 50 3 + 3
    assert {r.parameters for r in seen} == {56 + 57 + 112 + 250 + 153}
    assert {r.trainable_parameters for r in seen} == {628}
    assert {r.stage for r in seen} == {"train"}
    assert {r.learning_rate for r in seen} == {0.01}
    assert all(0 <= r.val_accuracy <= 1 and 0 <= r.train_accuracy <= 1 for r in seen)
    # Splits of 24 and 6 images: shares of those.
    assert all(
        (r.train_accuracy * 24) == pytest.approx(round(r.train_accuracy * 24)) for r in seen
    )
    assert all((r.val_accuracy * 6) == pytest.approx(round(r.val_accuracy * 6)) for r in seen)


def test_a_true_answer_stops(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = count_epochs(monkeypatch)
    best = train_and_evaluate(CONFIG, data, budget(5), lambda r: r.epoch == 2)
    assert trained == [1, 2]
    assert best.epoch in (1, 2)


def test_it_learns_what_brightness_tells(data: Data) -> None:
    plain = CONFIG | {"dropout": 0.0, "augmentation": "none", "regularizer": "none"}
    best = train_and_evaluate(plain, data, budget(40))
    assert best.val_accuracy == 1.0


# --- from configuration to stage


def stage_of(config: dict[str, Any], data: Data, **options: Any) -> Stage:
    return lenet_beans._stage(config, data, budget(3, **options), torch.device("cpu"))


def test_the_stage_is_what_the_configuration_says(data: Data) -> None:
    stage = stage_of(CONFIG, data)
    assert isinstance(stage.optimizer, torch.optim.Adam)
    assert stage.optimizer.defaults["lr"] == 0.01
    assert stage.optimizer.defaults["betas"] == (0.9, 0.999)
    assert stage.optimizer.defaults["eps"] == 1e-7  # Keras's
    assert stage.optimizer.defaults["weight_decay"] == 0
    assert (stage.name, stage.epochs, stage.batch_size) == ("train", 3, 8)
    assert stage.train.inputs.shape == (24, 20, 20, 3)
    assert stage.validation.inputs.shape == (6, 20, 20, 3)
    assert getattr(stage.model.get_submodule("dropout"), "p", None) == 0.2
    kernel = stage.model.get_parameter("conv2.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()


@pytest.mark.parametrize(("kind", "power"), [("l1", 1), ("l2", 2)])
def test_the_penalty_is_the_configured_one(kind: str, power: int, data: Data) -> None:
    stage = stage_of(CONFIG | {"regularizer": kind, "strength": 0.03}, data)
    kernels = [stage.model.get_parameter(f"conv{number}.weight") for number in (1, 2, 3)]
    total = sum(float(k.detach().double().abs().pow(power).sum()) for k in kernels)
    assert stage.penalty is not None
    assert stage.penalty().item() == pytest.approx(0.03 * total, rel=1e-5)


def test_no_penalty_and_no_augmentation_where_none_is_named(data: Data) -> None:
    # A configuration without a regularizer has no strength.
    config = {k: v for k, v in CONFIG.items() if k != "strength"}
    stage = stage_of(config | {"regularizer": "none", "augmentation": "none"}, data)
    assert stage.penalty is None
    assert stage.augment is None


def test_an_unknown_regularizer_or_augmentation_is_refused(data: Data) -> None:
    with pytest.raises(ValueError, match="regularizer must be one of l1, l2, but got 'l3'"):
        train_and_evaluate(CONFIG | {"regularizer": "l3"}, data, budget(1))
    with pytest.raises(ValueError, match="unknown augmentation 'spin'"):
        train_and_evaluate(CONFIG | {"augmentation": "spin"}, data, budget(1))
    with pytest.raises(ValueError, match="image_size must leave at least 1 pixel"):
        train_and_evaluate(CONFIG | {"image_size": 17}, data, budget(1))


def test_weights_start_from_the_trial_s_seed_alone(data: Data) -> None:
    before = torch.get_rng_state()
    starts = [weights(stage_of(CONFIG, data, seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    assert equal(starts[0], starts[1])
    assert not equal(starts[0], starts[2])
    # Glorot-uniform: dense has 4 inputs and 50 outputs.
    dense = starts[0][6]
    assert dense.shape == (50, 4)
    assert 0.9 * math.sqrt(6 / 54) < dense.abs().max().item() <= math.sqrt(6 / 54)
    biases = [start for start in starts[0] if start.ndim == 1]
    assert len(biases) == 5
    assert not any(bias.any() for bias in biases)


def test_filters_that_are_not_three_are_refused(data: Data) -> None:
    with pytest.raises(ValueError, match=r"^filters must be 3 .* as in 6/16/120, but got 6/16$"):
        train_and_evaluate(CONFIG | {"filters": "6/16"}, data, budget(1))


def test_build_takes_other_channels_and_classes() -> None:
    with torch.device("meta"):
        model = build(CONFIG, classes=10, channels=1)
    assert model.get_parameter("conv1.weight").shape == (2, 1, 3, 3)
    assert model.get_parameter("output.weight").shape == (10, 50)


# --- promises


def test_the_same_seed_gives_the_same_trial(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = watch(monkeypatch)
    first = told(list(epochs(CONFIG, data, budget(2, seed=1))))
    torch.manual_seed(77)
    assert told(list(epochs(CONFIG, data, budget(2, seed=1)))) == first
    other = told(list(epochs(CONFIG, data, budget(2, seed=2))))
    assert [row["train_loss"] for row in other] != [row["train_loss"] for row in first]
    assert len(stages) == 3
    assert equal(weights(stages[0]), weights(stages[1]))
    assert not equal(weights(stages[0]), weights(stages[2]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_interrupted_equals_undisturbed(
    done: int, precision: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    stages = watch(monkeypatch)
    given = budget(5, tmp_path, precision=precision)
    expected = told(list(epochs(CONFIG, data, budget(5, precision=precision))))
    stream = epochs(CONFIG, data, given)
    assert told([next(stream) for _ in range(done)]) == expected[:done]
    trained = count_epochs(monkeypatch)
    assert told(list(epochs(CONFIG, data, given))) == expected
    assert trained == list(range(done + 1, 6))
    assert len(stages) == 3
    assert equal(weights(stages[0]), weights(stages[2]))


def test_a_checkpoint_of_another_trial_is_not_taken(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoint._MAX_SHARE", math.inf)
    others = fill(tmp_path / "images", 2)
    assert others.fingerprint != data.fingerprint
    folder = tmp_path / "trial"
    trained = count_epochs(monkeypatch)
    for config, seed, given in [
        (CONFIG, 1, data),
        (CONFIG | {"dropout": 0.3}, 1, data),
        (CONFIG | {"dropout": 0.3}, 2, data),
        (CONFIG | {"dropout": 0.3}, 2, others),
    ]:
        stream = epochs(config, given, budget(3, folder, seed=seed))
        assert [next(stream).epoch, next(stream).epoch] == [1, 2]
    assert trained == [1, 2] * 4
    # In another order the same configuration is the same trial.
    backwards = dict(reversed((CONFIG | {"dropout": 0.3}).items()))
    assert len(list(epochs(backwards, others, budget(3, folder, seed=2)))) == 3
    assert trained == [1, 2] * 4 + [3]


def test_the_best_weights_give_the_best_epoch_s_numbers(data: Data, tmp_path: Path) -> None:
    given = budget(6, tmp_path, precision="float32")
    best = train_and_evaluate(CONFIG, data, given)
    saved = load_weights(tmp_path / "best.pt")
    stage = stage_of(CONFIG, data, seed=99)
    stage.model.load_state_dict(saved["model"])
    lower = autocast(given, torch.device("cpu"))
    found = evaluate(stage.model, stage.validation, stage.prepare, lower)
    assert found == (best.val_loss, best.val_accuracy)
    assert saved["epoch"] == best.epoch


def test_divergence_is_told_as_such(data: Data) -> None:
    with pytest.raises(Diverged, match=r"^epoch 1: loss"):
        train_and_evaluate(CONFIG | {"learning_rate": 1e30}, data, budget(2))


def test_the_test_split_is_never_read(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Data.split

    def noted(self: Data, name: str, *given: Any) -> Any:
        read.append(name)
        return original(self, name, *given)

    monkeypatch.setattr(Data, "split", noted)
    train_and_evaluate(CONFIG, data, Budget(1, threads=1, device="cpu"))
    assert sorted(read) == ["train", "validation"]


@pytest.mark.slow
def test_real_beans_train_at_a_small_size(shared_dir: Path) -> None:
    spec = DataSpec("beans", "tfds", str(shared_dir / "tensorflow_datasets"))
    config = CONFIG | {"image_size": 32, "batch_size": 64, "filters": "3/4/5"}
    result = train_and_evaluate(config, open_data(spec), budget(1))
    assert result.epoch == 1
    assert 0.5 < result.val_loss < 2  # log(3) is 1.1
    assert (result.val_accuracy * 133) == pytest.approx(round(result.val_accuracy * 133))
