"""The checkpoint's damage, owner and rhythm, and the weights of the best epoch."""

import errno
import logging
import math
import pickle
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainables_tests.tiny_stages import (
    Net,
    Trial,
    budget,
    count_epochs,
    equal,
    one_stage,
    stage,
    told,
)
from trainables import checkpoint
from trainables.budget import EpochResult, best_of
from trainables.checkpoint import Keeper, load_weights, read_checkpoint, save_weights
from trainables.errors import TrellisError
from trainables.evaluation import evaluate, images_to_floats

EPOCHS = 4


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_MAX_SHARE", math.inf)


@pytest.fixture
def cut(tmp_path: Path, _every_epoch: None) -> Path:
    """A folder whose trial was interrupted after its second epoch."""
    stream = one_stage().run(budget(EPOCHS, tmp_path))
    assert [next(stream).epoch, next(stream).epoch] == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "checkpoint.pt"]
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed() -> tuple[list[dict[str, Any]], list[torch.Tensor]]:
    trial = one_stage()
    return told(list(trial.run(budget(EPOCHS)))), trial.weights()


# --- damage


class Bomb:
    """Makes a file where it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def truncated(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return damage


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros_at_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))


def flipped_bit(path: Path) -> None:
    """Inside a stored tensor, where torch.load alone would not notice."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if "/data/" in name]
        stored = max((archive.read(name) for name in names), key=len)
    content = bytearray(path.read_bytes())
    content[content.index(stored) + 40] ^= 0x40
    path.write_bytes(content)
    torch.load(path, weights_only=True)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"identity": "a"}))


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "not of torch")


def changed(**values: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        torch.save({k: v for k, v in (state | values).items() if v is not None}, path)

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "half": truncated(0.5),
    "almost whole": truncated(0.999),
    "first bytes": truncated(0.001),
    "garbage": garbage,
    "empty": empty,
    "zeros at the end": zeros_at_the_end,
    "flipped bit": flipped_bit,
    "plain pickle": plain_pickle,
    "other archive": other_archive,
    "no identity": changed(identity=None),
    "no history": changed(history=None),
    "no models": changed(models=None),
    "no optimizer": changed(optimizer=None),
    "history of another version": changed(history=[{"epoch": 1, "colour": "red"}]),
    "a list": lambda path: torch.save([1, 2, 3], path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_starts_the_trial_anew(
    damage: str,
    cut: Path,
    undisturbed: tuple[list[dict[str, Any]], list[torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    DAMAGES[damage](cut / "checkpoint.pt")
    trained = count_epochs(monkeypatch)
    trial = one_stage()
    with caplog.at_level(logging.WARNING, logger="trainables.checkpoint"):
        results = told(list(trial.run(budget(EPOCHS, cut))))
    assert trained == [1, 2, 3, 4]
    assert results == undisturbed[0]
    assert equal(trial.weights(), undisturbed[1])
    assert [r.message for r in caplog.records if "the trial starts anew" in r.message]


@pytest.mark.parametrize("packed", [True, False])
def test_a_checkpoint_that_would_run_code_does_not(
    packed: bool, cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, path = tmp_path / "ran", cut / "checkpoint.pt"
    state = torch.load(path, weights_only=True) | {"models": Bomb(mark)}
    if packed:
        torch.save(state, path)
        torch.load(path, weights_only=False)  # the bomb is live
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
        pickle.loads(path.read_bytes())
    assert mark.exists()
    mark.unlink()

    trained = count_epochs(monkeypatch)
    assert len(list(one_stage().run(budget(EPOCHS, cut)))) == EPOCHS
    assert trained == [1, 2, 3, 4]
    assert not mark.exists()


def test_running_out_of_memory_is_not_damage(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError, match="no more"):
        read_checkpoint(budget(EPOCHS, cut), "a")
    assert (cut / "checkpoint.pt").exists()


# --- whose it is


def test_an_untouched_checkpoint_is_taken(
    cut: Path,
    undisturbed: tuple[list[dict[str, Any]], list[torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = read_checkpoint(budget(EPOCHS, cut), "a")
    assert found is not None
    assert told(found.history) == undisturbed[0][:2]
    assert [sorted(model) for model in found.models] == [
        ["conv.bias", "conv.weight", "dense.bias", "dense.weight"]
    ]
    trained = count_epochs(monkeypatch)
    assert told(list(one_stage().run(budget(EPOCHS, cut)))) == undisturbed[0]
    assert trained == [3, 4]


def test_a_checkpoint_of_another_identity_is_not_taken(
    cut: Path,
    undisturbed: tuple[list[dict[str, Any]], list[torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained = count_epochs(monkeypatch)
    assert told(list(one_stage().run(budget(EPOCHS, cut), "b"))) == undisturbed[0]
    assert trained == [1, 2, 3, 4]
    assert "another configuration, seed or data set wrote it" in caplog.text


def test_a_checkpoint_beyond_the_budget_is_not_taken(
    cut: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [r.epoch for r in one_stage().run(budget(1, cut))] == [1]
    assert "it has 2 epochs, the budget 1" in caplog.text


def test_without_a_folder_there_is_neither_checkpoint_nor_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_checkpoint(budget(), "a") is None
    assert len(list(one_stage().run(budget(2)))) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_absent_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(budget(folder=tmp_path), "a") is None
    assert read_checkpoint(budget(folder=tmp_path / "absent"), "a") is None


# --- when it is written


def result(epoch: int, accuracy: float = 0.5) -> EpochResult:
    return EpochResult(epoch, "train", 1.0, 0.5, 1.0, accuracy, 0.1, 1.0, 1.0, 10, 10)


@pytest.mark.parametrize(
    ("write_s", "bytes_per_s", "written"),
    # Epochs of one second, and 8 bytes to write. After s seconds of writing the next waits until
    # s / 0.03 have passed: 4.7 s, 2.3 s; so does the first, by its size: 0.1 s of writing, 3.3 s.
    [
        (0.0, 1e9, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (0.14, 1e9, [1, 6, 11]),
        (0.07, 1e9, [1, 4, 7, 10]),
        (0.14, 80.0, [4, 9]),
    ],
)
def test_writing_takes_three_hundredths_of_the_time_at_most(
    write_s: float,
    bytes_per_s: float,
    written: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, seen = SimpleNamespace(now=100.0), []
    history: list[EpochResult] = []

    def slow(path: Path, _: Callable[[Path], object]) -> None:
        clock.now += write_s
        seen.append((path.name, history[-1].epoch))

    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(checkpoint, "replace_file", slow)
    monkeypatch.setattr(checkpoint, "_BYTES_PER_S", bytes_per_s)
    model = nn.Linear(1, 1)
    keeper = Keeper(budget(12, tmp_path), "a", history)
    for epoch in range(1, 13):
        clock.now += 1.0
        history.append(result(epoch))
        keeper.keep(model, torch.optim.SGD(model.parameters()))
    # The twelfth epoch is the last: nothing to go on to.
    assert [epoch for name, epoch in seen if name == "checkpoint.pt"] == written
    assert [epoch for name, epoch in seen if name == "best.pt"] == [1]


@pytest.mark.usefixtures("_every_epoch")
def test_the_weights_come_before_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    monkeypatch.setattr(checkpoint, "replace_file", lambda path, _: names.append(path.name))
    model = nn.Linear(1, 1)
    Keeper(budget(3, tmp_path), "a", [result(1)]).keep(model, torch.optim.SGD(model.parameters()))
    assert names == ["best.pt", "checkpoint.pt"]


@pytest.mark.usefixtures("_every_epoch")
def test_a_full_disk_leaves_the_older_checkpoint_whole(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (cut / "checkpoint.pt").read_bytes()
    save = torch.save

    def full(state: Any, path: Path) -> None:
        save(state, path)
        path.write_bytes(path.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        list(one_stage().run(budget(EPOCHS, cut)))
    assert (cut / "checkpoint.pt").read_bytes() == before
    assert sorted(path.name for path in cut.iterdir()) == ["best.pt", "checkpoint.pt"]


# --- the best weights


@pytest.mark.parametrize(
    ("keep_above", "epochs"),
    # Accuracies 0.5, 0.5, 0.7, 0.6, 0.7, 0.8: new bests at 1, 3 and 6; equals are not new.
    [(-1.0, [1, 3, 6]), (0.5, [1, 3, 6]), (0.6, [3, 6]), (0.7, [3, 6]), (0.8, [6]), (0.81, [])],
)
def test_weights_are_kept_from_the_accuracy_that_is_worth_it(
    keep_above: float, epochs: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[EpochResult] = []
    kept = []

    def save(path: Path, _: nn.Module, row: EpochResult) -> None:
        assert path == tmp_path / "best.pt"
        kept.append(row.epoch)

    monkeypatch.setattr(checkpoint, "save_weights", save)
    model = nn.Linear(1, 1)
    keeper = Keeper(budget(6, tmp_path, keep_above=keep_above), "a", history)
    for epoch, accuracy in enumerate([0.5, 0.5, 0.7, 0.6, 0.7, 0.8], 1):
        history.append(result(epoch, accuracy))
        keeper.keep(model, torch.optim.SGD(model.parameters()))
    assert kept == epochs


def test_epochs_done_again_elsewhere_count_as_they_were_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = list(one_stage().run(budget(2)))
    # Another machine had told these two, and its checkpoint was lost.
    told_there = tuple(
        replace(each, val_accuracy=accuracy, train_loss=9.0)
        for each, accuracy in zip(first, (0.25, 0.99), strict=True)
    )
    trial = one_stage()
    results = list(trial.run(budget(EPOCHS, tmp_path, told=told_there)))
    assert tuple(results[:2]) == told_there
    assert results[2].train_loss < 9.0
    kept = load_weights(tmp_path / "best.pt")
    assert (kept["epoch"], kept["val_accuracy"]) == (2, 0.99)  # as the journal says of it
    assert "epoch 2, done again, has validation accuracy" in caplog.text
    # What comes out alike is not worth a word.
    caplog.clear()
    list(one_stage().run(budget(2, told=tuple(first))))
    assert not caplog.text


@pytest.mark.parametrize("interrupted", [0, 1, 3, 5, 8])
def test_the_best_weights_are_those_of_the_best_epoch(interrupted: int, tmp_path: Path) -> None:
    given = budget(9, tmp_path, precision="float32")
    stream = Trial(lambda _: stage(Net(dropout=0.0))).run(given)
    for _ in range(interrupted):
        next(stream)
    results = list(Trial(lambda _: stage(Net(dropout=0.0))).run(given))
    best = best_of(results)
    assert 1 < best.epoch < 9  # neither the first nor the last would prove anything
    saved = load_weights(tmp_path / "best.pt")
    net = Net(seed=99)
    net.load_state_dict(saved["model"])
    found = evaluate(net, stage(net).validation, images_to_floats, nullcontext())
    assert found == (best.val_loss, best.val_accuracy)
    told_there = {name: value for name, value in saved.items() if name != "model"}
    assert told([EpochResult(**told_there)]) == told([best])


@pytest.mark.parametrize("interrupted", [0, 2, 4])
def test_the_last_weights_are_kept_if_they_are_asked_for(interrupted: int, tmp_path: Path) -> None:
    def two_stages() -> Trial:  # of two epochs each
        return Trial(*[lambda _, n=n: stage(Net(seed=n, dropout=0.0), epochs=2) for n in (1, 2)])

    given = budget(9, tmp_path, keep_last=True)
    stream = two_stages().run(given)
    for _ in range(interrupted):
        next(stream)
    trial = two_stages()
    results = list(trial.run(given))
    assert len(results) == 4
    saved = load_weights(tmp_path / "last.pt")
    assert saved["epoch"] == 4
    if interrupted < 4:
        assert equal(list(saved["model"].values()), trial.weights())
    assert not list((tmp_path).glob(".*part*"))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.usefixtures("_every_epoch")
def test_the_last_weights_are_there_whenever_it_was_killed(
    before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a trial that ends before its budget does: its last epoch has a checkpoint, too."""
    given = budget(9, tmp_path, keep_last=True)
    keep_last, killed = checkpoint.Keeper.keep_last, KeyboardInterrupt("killed")

    def dies(keeper: Any, model: Any) -> None:
        if not before:
            keep_last(keeper, model)
        raise killed

    with monkeypatch.context() as changed:
        changed.setattr(checkpoint.Keeper, "keep_last", dies)
        with pytest.raises(KeyboardInterrupt):
            list(one_stage(epochs=2).run(given))
    trial = one_stage(epochs=2)
    assert len(list(trial.run(given))) == 2
    saved = load_weights(tmp_path / "last.pt")
    assert saved["epoch"] == 2
    assert equal(list(saved["model"].values()), trial.weights())
    # An older version could leave a checkpoint of all epochs, and no last weights.
    (tmp_path / "last.pt").unlink()
    assert len(list(one_stage(epochs=2).run(given))) == 2
    assert equal(list(load_weights(tmp_path / "last.pt")["model"].values()), trial.weights())


def test_last_weights_are_not_kept_unasked(tmp_path: Path) -> None:
    list(one_stage().run(budget(2, tmp_path)))
    assert not (tmp_path / "last.pt").exists()


def test_the_last_epoch_of_the_budget_is_the_last(tmp_path: Path) -> None:
    list(one_stage().run(budget(3, tmp_path, keep_last=True)))
    assert load_weights(tmp_path / "last.pt")["epoch"] == 3


def test_saved_weights_are_plain_and_load_with_care(tmp_path: Path) -> None:
    path, mark = tmp_path / "best.pt", tmp_path / "ran"
    net = Net()
    save_weights(path, net, result(3, 0.75))
    saved = load_weights(path)
    assert (saved["epoch"], saved["val_accuracy"], saved["stage"]) == (3, 0.75, "train")
    assert equal(list(saved["model"].values()), list(net.state_dict().values()))
    torch.save({"model": Bomb(mark)}, path)
    with pytest.raises(TrellisError, match=r"best\.pt is damaged: no file of tensors") as told:
        load_weights(path)
    assert "weights_only" not in str(told.value)  # torch advises to switch it off
    assert not mark.exists()


def test_a_flipped_bit_in_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    save_weights(path, Net(), result(3, 0.75))
    flipped_bit(path)
    with pytest.raises(TrellisError, match=r"best\.pt is damaged: .*\(ValueError\); restore it"):
        load_weights(path)


def test_a_failed_write_of_weights_keeps_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.pt"
    save_weights(path, Net(), result(1))
    before = path.read_bytes()

    def broken(_: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="Input/output"):
        save_weights(path, Net(), result(2))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_bytes_of_a_state_are_those_of_its_tensors() -> None:
    model = nn.Linear(3, 5)  # 15 weights and 5 biases of 4 bytes
    adam = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    adam.step()
    # Adam keeps two moments of each, and a step count of 4 bytes for each of two parameters.
    assert checkpoint._bytes([model.state_dict(), adam.state]) == 80 + 2 * 80 + 2 * 4
    assert checkpoint._bytes([{"a": 1, "b": "text"}, None]) == 0


def test_a_disk_that_does_not_answer_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine, or this one later, goes on from it."""
    path = tmp_path / checkpoint.CHECKPOINT_NAME
    path.write_bytes(b"whole")

    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(checkpoint, "_read", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        read_checkpoint(budget(folder=tmp_path), "a")
    assert path.read_bytes() == b"whole"
