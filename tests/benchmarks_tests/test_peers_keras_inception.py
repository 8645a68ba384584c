"""Keras's Inception is torchvision's, and its two stages go on where Hyperband stopped them.

Skipped where Keras is not installed.
"""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.peers import networks, records, stock, with_keras_tuner
from benchmarks.peers.task import Task
from search.catalog import find

from .peer_data import tiny_task

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 75  # the smallest that Keras takes
CONFIG = find("inception_beans").defaults() | {
    **{"unfreeze_blocks": 2, "head_epochs": 2, "finetune_epochs": 1},
    **{"head_width": 8, "batch_size": 8, "head_learning_rate": 3e-3},
}
METRIC = "val_sparse_categorical_accuracy"


@pytest.fixture(autouse=True)
def _keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras_tuner", reason="the peers are not installed: `make bench`")


@pytest.fixture
def task(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of few small images with weights in torchvision's names."""
    monkeypatch.setattr(stock, "image_size", lambda experiment, config: SIDE)
    made, _ = tiny_task(tmp_path, "inception_beans", epochs=3, fixed=CONFIG)
    return replace(made, weights=str(weights))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict that keeps activations of one size through all layers; no batch norm idles."""
    torch.manual_seed(0)
    state = networks.build("inception_beans", CONFIG, (3, SIDE, SIDE), 3).state_dict()
    for name, value in state.items():
        if name.endswith("conv.weight"):
            nn.init.kaiming_normal_(value)
        elif name.endswith(("bn.weight", "running_var")):
            value.uniform_(0.5, 1.5)
        elif name.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.2)
    path = tmp_path_factory.mktemp("weights") / "state.pt"
    torch.save({n: v for n, v in state.items() if not n.startswith("fc.")}, path)
    return path


@pytest.fixture
def unpadded(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's average poolings without the padding in their means, as Keras's are."""
    from torchvision.models import inception

    names = ("relu", "max_pool2d", "adaptive_avg_pool2d")
    like = SimpleNamespace(**{name: getattr(functional, name) for name in names})
    like.avg_pool2d = lambda maps, **given: functional.avg_pool2d(
        maps, count_include_pad=False, **given
    )
    monkeypatch.setattr(inception, "F", like)


def logits(weights: Path, images: Tensor) -> tuple[Tensor, Tensor]:
    """What Keras's network and the PyTorch peers' say [n, 3] with the same weights and head."""
    from benchmarks.peers import keras_inception

    keras = keras_inception.build(CONFIG, (SIDE, SIDE, 3), 3, str(weights))
    theirs = networks.build("inception_beans", CONFIG, (3, SIDE, SIDE), 3)
    theirs.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    first, _, last = theirs.get_submodule("fc")
    for mine, other in zip(keras.layers[-3::2], (first, last), strict=True):
        mine.set_weights([other.weight.detach().numpy().T, other.bias.detach().numpy()])
    with torch.no_grad():
        found = keras(images.permute(0, 2, 3, 1), training=False)
        return torch.as_tensor(found), theirs.eval()(images)


def apart(mine: Tensor, other: Tensor) -> float:
    return float((mine - other).norm() / other.norm())


@pytest.mark.usefixtures("unpadded")
def test_outputs_are_torchvision_s(weights: Path) -> None:
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mine, other = logits(weights, images)
    assert mine.shape == (2, 3)
    assert apart(other[0], other[1]) > 0.01, "the image does not reach the output"
    assert apart(mine, other) < 1e-4


def test_they_differ_by_the_padding_of_average_poolings(weights: Path) -> None:
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert apart(*logits(weights, images)) > 0.01


@pytest.mark.parametrize(
    ("depth", "published"), [(0, 2_101_251), (2, 13_216_131), (3, 14_913_155), (6, 20_431_747)]
)
def test_it_trains_what_was_published(depth: int, published: int) -> None:
    from benchmarks.peers import keras_inception

    config = find("inception_beans").defaults() | {"unfreeze_blocks": depth}
    network = keras_inception.build(config, (SIDE, SIDE, 3), 3)
    assert network.count_params() == 23_904_035
    for stage, _, _ in keras_inception.stages(config):
        keras_inception.begin(network, config, stage)
    assert sum(int(np.prod(each.shape)) for each in network.trainable_weights) == published
    learning_rate = config["finetune_learning_rate" if depth else "head_learning_rate"]
    assert float(network.optimizer.learning_rate) == pytest.approx(learning_rate)


def test_stages_by_hand() -> None:
    from benchmarks.peers import keras_inception

    published = find("inception_beans").defaults()
    assert keras_inception.stages(published) == [("head", 0, 20), ("finetune", 20, 26)]
    assert keras_inception.stages(published | {"unfreeze_blocks": 0}) == [("head", 0, 20)]


def test_every_name_is_of_a_convolution_of_torchvision() -> None:
    from benchmarks.peers import keras_inception

    network = networks.build("inception_beans", CONFIG, (3, SIDE, SIDE), 3)
    wanted = {name[:-5] for name, each in network.named_modules() if isinstance(each, nn.Conv2d)}
    assert len(keras_inception.NAMES) == 94
    assert set(keras_inception.NAMES) == wanted


def test_a_file_that_lacks_weights_is_refused(tmp_path: Path, weights: Path) -> None:
    from benchmarks.peers import keras_inception

    state = torch.load(weights, weights_only=True)
    del state["Mixed_7c.branch3x3_2b.bn.bias"]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(ValueError, match=r"less\.pt lacks \['Mixed_7c\.branch3x3_2b\.bn\.bias'\]"):
        keras_inception.build(CONFIG, (SIDE, SIDE, 3), 3, str(tmp_path / "less.pt"))


def trial(task: Task, checkpoint: Path, first: int, end: int, resumed: Path | None = None) -> Any:
    """Train epochs as Hyperband does, from another trial's checkpoint where there is one."""
    import keras
    import keras_tuner
    from keras_tuner.src.engine.tuner_utils import SaveBestEpoch

    keras.utils.set_random_seed(0)
    searched, hp = with_keras_tuner.hypermodel(task), keras_tuner.HyperParameters()
    network = searched.build(hp)
    if resumed:
        network.load_weights(resumed)
    before = weights_of(network)
    saving = SaveBestEpoch(keras_tuner.Objective(METRIC, "max"), str(checkpoint))
    found = searched.fit(hp, network, epochs=end, initial_epoch=first, callbacks=[saving])
    return found, before, weights_of(network)


def weights_of(network: Any) -> dict[str, Any]:
    """The weights by torchvision's names, and of the head."""
    from benchmarks.peers import keras_inception

    base = network.get_layer("backbone").base
    found = {"head": network.layers[-1].kernel.numpy().copy()}
    for name, (convolution, norm) in keras_inception.convolutions(base).items():
        parts = (convolution.kernel, norm.beta, norm.moving_mean, norm.moving_variance)
        for part, value in zip(("kernel", "beta", "mean", "variance"), parts, strict=True):
            found[f"{name} {part}"] = value.numpy().copy()
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def thawed(names: set[str]) -> set[str]:
    """What fine-tuning of two blocks has to change: the head, kernels and offsets."""
    last = {each for each in names if each.startswith(("Mixed_7c", "Mixed_7b"))}
    return {"head"} | {each for each in last if each.endswith(("kernel", "beta"))}


def test_a_trial_trains_its_head_and_then_its_last_blocks(task: Task, tmp_path: Path) -> None:
    found, before, after = trial(task, tmp_path / "a.weights.h5", 0, 3)
    noted = records.read(task.records, 0)
    assert [each.epoch for each in noted] == [1, 2, 3]
    assert {each.trial for each in noted} == {records.key(CONFIG)}
    assert found == {METRIC: max(each.val_accuracy for each in noted)}
    assert found[METRIC] > 0.8, "by chance a third"
    assert len(before) == 1 + 4 * 94
    assert changed(before, after) == thawed(set(before))


@pytest.mark.slow
def test_a_promoted_trial_goes_on_from_its_checkpoint(task: Task, tmp_path: Path) -> None:
    _, begun, head = trial(task, tmp_path / "a.weights.h5", 0, 1)
    assert changed(begun, head) == {"head"}
    # One epoch more of the head, and then fine-tuning.
    _, before, after = trial(task, tmp_path / "b.weights.h5", 1, 9, tmp_path / "a.weights.h5")
    assert np.array_equal(before["head"], head["head"])
    assert changed(before, after) == thawed(set(before))
    assert [each.epoch for each in records.read(task.records, 0)] == [1, 2, 3]
    # From a checkpoint with unfrozen blocks into the middle of fine-tuning.
    longer = replace(task, fixed=CONFIG | {"finetune_epochs": 2})
    _, before, last = trial(longer, tmp_path / "c.weights.h5", 3, 9, tmp_path / "b.weights.h5")
    assert changed(before, last) == thawed(set(before))
    assert [each.epoch for each in records.read(task.records, 0)] == [1, 2, 3, 4]


def test_promoted_past_its_head_a_trial_is_fine_tuned(task: Task, tmp_path: Path) -> None:
    _, before, after = trial(task, tmp_path / "a.weights.h5", 2, 9)
    assert changed(before, after) == thawed(set(before))
    assert [each.epoch for each in records.read(task.records, 0)] == [3]


def test_promoted_past_its_end_a_trial_keeps_its_score(task: Task, tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.weights.h5"
    found, before, after = trial(task, checkpoint, 3, 9)
    assert 0 <= found[METRIC] <= 1
    # The next round begins with this trial's checkpoint; an epoch was not trained.
    assert (changed(before, after), checkpoint.exists()) == (set(), True)
    assert records.read(task.records, 0) == []


@pytest.mark.slow
def test_a_whole_search(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = "head_learning_rate"
    fixed = {name: value for name, value in CONFIG.items() if name != drawn}
    task = replace(task, fixed=fixed | {"head_epochs": 1})
    task.write(tmp_path / "task.json")
    monkeypatch.setattr(sys, "argv", ["with_keras_tuner", str(tmp_path / "task.json")])
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    with_keras_tuner.main()
    found = records.read(task.records, 0)
    # Of 3 epochs at most: three trials of 1, the best of them to 3, and two of 3; each has 2 of
    # its own.
    assert sorted(each.epoch for each in found) == [1] * 5 + [2] * 3
    assert len({each.trial for each in found}) == 5
