"""Trials of inception_beans on a few images: stages, stored activations, agreement, resume."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.trainables_tests.tiny_data import TinyData, tiny_data
from trainables import checkpoint, inception_beans, store, training
from trainables import device as machine
from trainables.augment import OPS
from trainables.budget import Budget, EpochResult, Weights
from trainables.checkpoint import load_weights
from trainables.errors import DataError, TrellisError
from trainables.evaluation import images_to_floats
from trainables.frozen import Cut
from trainables.inception_beans import (
    _Trial,
    as_maps,
    build,
    epochs,
    kept_logits,
    prepare,
    shared_bytes,
    whole_state,
)
from trainables.inception_features import Backbone, backbone_of, warn_of_a_small_cache
from trainables.nets.inception import InceptionV3
from trainables.optimizers import KERAS_EPSILON
from trainables.weights import RANDOM

CPU = torch.device("cpu")
CONFIG: dict[str, Any] = {
    "unfreeze_blocks": 2,
    "head_learning_rate": 1e-3,
    "finetune_learning_rate": 1e-4,
    "head_epochs": 2,
    "finetune_epochs": 1,
    "head_width": 8,
    "dropout": 0.0,
    "batch_size": 4,
    "augmentation": "none",
}
# 6 train and 3 validation images: nine in all go through the frozen layers.
IMAGES = 9


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # One for the whole file, so that most tests compute no activations.
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path_factory.getbasetemp() / "inception"))


def data(name: str = "shared") -> TinyData:
    made = tiny_data((20, 20, 3), train=6, validation=3)
    object.__setattr__(made, "fingerprint", f"tiny-{name}")
    return made


def budget(folder: Path | None = None, **changes: Any) -> Budget:
    parts: dict[str, Any] = {"epochs": 9, "precision": "float32", "weights": RANDOM, "threads": 2}
    return Budget(**parts | changes, folder=folder)


def told(result: EpochResult) -> tuple[Any, ...]:
    """All that must not depend on the machine's mood."""
    return (
        *(result.epoch, result.stage, result.train_loss, result.train_accuracy),
        *(result.val_loss, result.val_accuracy, result.learning_rate),
    )


def test_two_stages_on_one_clock() -> None:
    results = list(epochs(CONFIG, data(), budget()))
    assert [(r.epoch, r.stage) for r in results] == [(1, "head"), (2, "head"), (3, "finetune")]
    assert [r.learning_rate for r in results] == [1e-3, 1e-3, 1e-4]
    head = 2048 * 8 + 8 + 8 * 3 + 3
    assert {r.parameters for r in results} == {21_802_784 + head}
    blocks = 13_216_131 - 2_101_251  # published: depth 2 less the published head
    assert [r.trainable_parameters for r in results] == [head, head, blocks + head]


def test_depth_0_is_the_head_alone() -> None:
    results = list(epochs(CONFIG | {"unfreeze_blocks": 0}, data(), budget()))
    assert [r.stage for r in results] == ["head", "head"]


def test_each_image_goes_through_the_frozen_layers_once_per_cut() -> None:
    fresh = data("counted")
    first = list(epochs(CONFIG, fresh, budget()))
    # One pass gives what head and fine-tuning need.
    assert [r.frozen_images for r in first] == [IMAGES, 0, 0]
    again = list(epochs(CONFIG | {"head_width": 16}, fresh, budget(seed=5)))
    assert [r.frozen_images for r in again] == [0, 0, 0]
    deeper = list(epochs(CONFIG | {"unfreeze_blocks": 3}, fresh, budget()))
    assert [r.frozen_images for r in deeper] == [IMAGES, 0, 0]


@pytest.mark.parametrize(("gigabytes", "warned"), [("0.0069", True), ("0.0070", False)])
def test_a_cache_that_cannot_hold_what_all_trials_need_is_told_of(
    gigabytes: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Copies of 6 train images, 4 of each, and 3 of validation: 27 images at both cuts."""
    monkeypatch.setenv("TRELLIS_CACHE_GB", gigabytes)
    needed = 27 * 2 * (2048 + 8 * 8 * 1280)
    assert needed + 9 * 3 * 299**2 == 6_948_099
    assert data().sizes == {"train": 6, "validation": 3}
    choices = {"unfreeze_blocks": (0, 2), "augmentation": ("none", "flip")}
    assert shared_bytes(choices, data()) == needed
    warn_of_a_small_cache(data(), needed)
    assert ("set TRELLIS_CACHE_GB=1 or higher" in caplog.text) is warned
    assert bool(caplog.records) is warned


def test_a_disk_without_room_for_all_passes_is_told_before_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is stored is bfloat16, however it was computed; what is there takes no room."""
    passed = list[tuple[str, int]]()

    def compute(_: Backbone, split: str, cuts: list[Cut], __: str, copy: int) -> Any:
        passed.append((split, copy))
        shapes = {"pool": (2048,), "Mixed_7b": (8, 8, 1280)}
        count = {"train": 6, "validation": 3}[split]
        yield [torch.zeros((count, *shapes[cut.name])) for cut in cuts]

    def with_free(free: int) -> None:
        usage = SimpleNamespace(total=10**15, free=free)
        monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage)

    monkeypatch.setattr(Backbone, "_compute", compute)
    monkeypatch.delenv("TRELLIS_CACHE_GB", raising=False)
    choices = {"unfreeze_blocks": (2,), "augmentation": ("flip",)}
    given, fresh = budget(), data("roomy")
    needed = 27 * 2 * (2048 + 8 * 8 * 1280)
    with_free(needed - 1)
    with pytest.raises(DataError, match=r"^the activations that all trials share take 4\.53 MB"):
        prepare(choices, fresh, given)
    assert passed == []
    with_free(needed)
    assert prepare(choices, fresh, given)["images"] == 27
    assert passed == [("validation", 0), *(("train", copy) for copy in range(4))]
    with_free(0)
    assert prepare(choices, fresh, given)["images"] == 0


@pytest.mark.slow
def test_preparing_computes_every_cut_in_one_pass() -> None:
    fresh, heard = data("prepared"), []
    given = budget(progress=lambda what, done, total: heard.append((what, done, total)))
    choices = {"unfreeze_blocks": (0, 2, 3, 6), "augmentation": ("none",)}
    done = prepare(choices, fresh, given)
    assert done == {"cuts": ["pool", "Mixed_7b", "Mixed_7a", "Mixed_6c"], "images": IMAGES}
    assert heard == [
        ("computing validation activations", 3, 3),
        ("computing train activations", 6, 6),
    ]
    assert prepare(choices, fresh, given)["images"] == 0
    for depth in (0, 2, 3, 6):
        results = list(epochs(CONFIG | {"unfreeze_blocks": depth}, fresh, budget(epochs=1)))
        assert [r.frozen_images for r in results] == [0]


@pytest.mark.parametrize(
    ("depth", "precision"),
    [
        (2, "float32"),
        pytest.param(2, "bfloat16", marks=pytest.mark.slow),  # emulated on many CPUs
        pytest.param(6, "float32", marks=pytest.mark.slow),
        pytest.param(6, "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_stored_activations_agree_with_the_plain_network(depth: int, precision: str) -> None:
    """Losses of three steps on the same batch, against the whole network on the images."""
    given, source = budget(precision=precision), data()
    config = CONFIG | {"unfreeze_blocks": depth}
    trial = _Trial(config, source, given)
    trial.head_stage(CPU)
    stage = trial.finetune_stage(CPU)
    plain = build(config, 3)
    assert isinstance(plain, InceptionV3)
    plain.load_state_dict(whole_state(stage.model.state_dict(), RANDOM))
    plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [p for p in plain.parameters() if p.requires_grad]
    other = torch.optim.Adam(trained, lr=1e-4, eps=KERAS_EPSILON)
    images = images_to_floats(torch.from_numpy(source.split("train", 299).images))
    losses = []
    for model, inputs, optimizer in (
        (stage.model, stage.prepare(stage.train.inputs[:]), stage.optimizer),
        (plain, images, other),
    ):
        losses.append([])
        model.train()
        for _ in range(3):
            with machine.autocast(given, CPU):
                logits = model(inputs).float()
            loss = functional.cross_entropy(logits, stage.train.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    # bfloat16 has 8 bits: one part in 256 of rounding, at the cut and in each layer behind it.
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    assert losses[0][0] != losses[0][2]


def test_the_statistics_of_the_blocks_stay_what_they_were(tmp_path: Path) -> None:
    list(epochs(CONFIG, data(), budget(tmp_path)))
    state = load_weights(tmp_path / "best.pt")["model"]
    before = whole_state({}, RANDOM)
    whole = whole_state(state, RANDOM)
    assert before.keys() <= whole.keys()
    fixed = [n for n in before if n.endswith(("running_mean", "running_var", "bn.weight"))]
    assert len(fixed) == 94 * 3
    assert all(torch.equal(whole[name], before[name]) for name in fixed)


def test_the_best_weights_complete_the_network(tmp_path: Path) -> None:
    list(epochs(CONFIG | {"head_epochs": 1}, data(), budget(tmp_path, keep_above=-1)))
    saved = load_weights(tmp_path / "best.pt")
    assert len(saved["model"]) < 300
    model = build(CONFIG, 3)
    model.load_state_dict(whole_state(saved["model"], RANDOM))
    images = torch.from_numpy(data().split("validation", 299).images)
    with torch.inference_mode():
        found = model.eval()(images_to_floats(images)).argmax(1)
    labels = torch.from_numpy(data().split("validation", 299).labels)
    assert (found == labels).float().mean().item() == pytest.approx(saved["val_accuracy"])


@pytest.mark.parametrize("kept", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_resumed_trial_ends_like_the_undisturbed_one(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the border between the stages, and from inside the second."""
    monkeypatch.setattr(checkpoint, "_MAX_SHARE", math.inf)  # one after every epoch
    trained: list[int] = []
    plain = training.run_epoch

    def counted(stage: Any, given: Budget, epoch: int, device: Any) -> EpochResult:
        trained.append(epoch)
        return plain(stage, given, epoch, device)

    monkeypatch.setattr(training, "run_epoch", counted)
    config = CONFIG | {"dropout": 0.5, "finetune_epochs": 2}
    whole = [told(r) for r in epochs(config, data(), budget())]
    assert trained == [1, 2, 3, 4]
    part = epochs(config, data(), budget(tmp_path))
    for _ in range(kept):  # the checkpoint of an epoch is written before it is told
        next(part)
    part.close()
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (len(saved["history"]), len(saved["models"])) == (kept, kept - 1)
    trained.clear()
    resumed = [told(r) for r in epochs(config, data(), budget(tmp_path))]
    assert resumed == whole
    assert trained == list(range(kept + 1, 5))


def test_other_weights_take_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint, "_MAX_SHARE", math.inf)
    part = epochs(CONFIG, data(), budget(tmp_path))
    next(part)
    part.close()
    assert (tmp_path / "checkpoint.pt").exists()
    other = budget(tmp_path, weights=Weights("random", "", "random-1"))
    with pytest.raises(TrellisError, match="random has other weights now"):
        list(epochs(CONFIG, data(), other))
    assert "another configuration, seed or data set wrote it" in caplog.text


def test_without_weights_a_trial_says_what_to_give() -> None:
    with pytest.raises(TrellisError, match=r"no pretrained weights were given: Budget\(weights="):
        list(epochs(CONFIG, data(), budget(weights=None)))


def test_a_trial_is_settled_on_the_precision_of_its_device(monkeypatch: Any) -> None:
    """Its stages on the meta device, for the prediction of memory, could not tell."""
    settled: list[str] = []

    def stages(_stages: object, given: Budget, _identity: str) -> list[EpochResult]:
        settled.append(given.precision)
        return []

    monkeypatch.setattr(inception_beans, "run_stages", stages)
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: device == CPU)
    list(epochs(CONFIG, data(), budget(precision="auto", device="cpu")))
    list(epochs(CONFIG, data(), budget(precision="float32", device="cpu")))
    assert settled == ["bfloat16", "float32"]


@pytest.mark.slow
def test_augmented_copies_are_taken_in_turn() -> None:
    fresh = data("augmented")
    config = CONFIG | {"augmentation": "flip+transpose", "unfreeze_blocks": 0, "head_epochs": 5}
    results = list(epochs(config, fresh, budget()))
    # The images as they are and three copies of the train split; validation is never augmented.
    assert [r.frozen_images for r in results] == [4 * 6 + 3, 0, 0, 0, 0]
    stage = _Trial(config, fresh, budget()).head_stage(CPU)
    assert len(stage.copies) == 3
    assert stage.frozen_images == 0
    seen = [stage.examples(epoch).inputs for epoch in range(1, 6)]
    assert seen[0] is seen[4] is stage.train.inputs
    for i in range(4):
        for j in range(i):
            assert not torch.equal(seen[i], seen[j])
    plain = backbone_of(fresh, budget(), CPU).activations("train", [0])
    assert torch.equal(plain.values["pool"], stage.train.inputs)
    # The order in the name means nothing: the same copies.
    swapped = config | {"augmentation": "transpose+flip"}
    assert _Trial(swapped, fresh, budget()).head_stage(CPU).frozen_images == 0


@pytest.mark.slow
def test_preparing_makes_the_copies_of_an_augmentation_too() -> None:
    fresh = data("copies")
    choices = {"unfreeze_blocks": (0, 2), "augmentation": ("flip",)}
    # 3 of validation, and 6 of train as they are and in three copies.
    assert prepare(choices, fresh, budget())["images"] == 3 + 4 * 6
    for depth in (0, 2):
        config = CONFIG | {"augmentation": "flip", "unfreeze_blocks": depth}
        results = list(epochs(config, fresh, budget(epochs=1)))
        assert [r.frozen_images for r in results] == [0]


def test_the_space_knows_all_augmentations() -> None:
    from spaces.inception_beans import _AUGMENTATIONS, READERS

    assert set(_AUGMENTATIONS) == set(OPS)
    assert READERS["augmentation"]("flip+zoom") == "flip+zoom"
    for wrong in ("flop", "flip+flip", "flip+none", ""):
        with pytest.raises(ValueError, match="none, or joined by"):
            READERS["augmentation"](wrong)


def test_stored_maps_become_channels_last_batches() -> None:
    stored = torch.arange(24, dtype=torch.bfloat16).reshape(1, 2, 3, 4)
    maps = as_maps(stored, torch.float32)
    assert maps.shape == (1, 4, 2, 3)
    assert maps.dtype == torch.float32
    assert maps[0, 3, 1, 2] == 23
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert as_maps(torch.ones(2, 5), torch.bfloat16).shape == (2, 5)


@pytest.mark.parametrize(("depth", "end"), [(0, "last"), (2, "last"), (2, "best")])
def test_logits_from_stored_activations_are_those_of_the_whole_network(
    depth: int, end: str, tmp_path: Path
) -> None:
    images, config = data(), CONFIG | {"unfreeze_blocks": depth}
    given = budget(tmp_path, keep_last=True, precision="float32")
    results = list(epochs(config, images, given))
    state = load_weights(tmp_path / f"{end}.pt")["model"]
    if end == "best":  # as after the head stage
        state = {name: value for name, value in state.items() if name.startswith("head.")}
    found = kept_logits(state, config, images, "validation", given)
    whole = build(config, 3)
    whole.load_state_dict(whole_state(state, RANDOM), assign=True)
    pixels = torch.from_numpy(images.split("validation", 299).images)
    with torch.inference_mode():
        expected = whole.eval()(images_to_floats(pixels))
    # The activations are kept in bfloat16: 8 bits.
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
    assert len(results) == (2 if depth == 0 else 3)


def test_kept_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    given = budget(tmp_path)
    with pytest.raises(RuntimeError, match="Missing key"):
        kept_logits({}, CONFIG, data(), "validation", given)
