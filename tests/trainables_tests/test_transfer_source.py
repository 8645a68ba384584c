"""The source network: trained once for all who ask, whole or absent, made again if damaged."""

import json
import logging
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables import transfer_source
from trainables.budget import EpochResult
from trainables.errors import DataError
from trainables.nets.transfer import TransferNet
from trainables.transfer_source import (
    Source,
    members,
    only,
    parse_classes,
    source_network,
)

CLASSES, RATE = (0, 2, 3), 1e-3

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; its sources."""
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))
    return tmp_path / "sources"


@pytest.fixture
def data() -> TinyData:
    return tiny_data((13, 13, 3), classes=5, train=40, validation=20)


def count_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of every source epoch that is really trained."""
    trained: list[int] = []
    original = transfer_source.run_epoch

    def counted(stage: Any, given: Any, epoch: int, device: Any) -> EpochResult:
        trained.append(epoch)
        return original(stage, given, epoch, device)

    monkeypatch.setattr(transfer_source, "run_epoch", counted)
    return trained


def folders(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def equal(one: Source, other: Source) -> bool:
    assert one.weights
    return all(torch.equal(w, other.weights[name]) for name, w in one.weights.items())


def test_class_lists_are_numbers_in_order() -> None:
    assert parse_classes("3,0,10") == (0, 3, 10)
    for text in ("", "3", "3,3", "1,x", "1,"):
        with pytest.raises(ValueError, match=r"^classes must be two numbers or more such as 0,1"):
            parse_classes(text)


def test_only_the_images_of_some_classes_by_hand() -> None:
    data = tiny_data((2, 2, 1), classes=5, train=12)
    assert members(np.array([4, 1, 0, 1, 3]), (1, 3), "train").tolist() == [1, 3, 4]
    found = only(data, "train", (1, 4))
    assert found.labels.tolist() == [1, 4, 1, 4, 1]  # labels go round: 0, 1, 2, 3, 4, 0, ...
    assert np.array_equal(found.images, data.splits["train"].images[[1, 4, 6, 9, 11]])
    with pytest.raises(DataError, match=r"^the train split has no images of the classes 5, 6: "):
        only(data, "train", (5, 6))


def test_it_has_an_output_per_source_class_and_ten_epochs(data: TinyData) -> None:
    told: list[tuple[str, int, int | None]] = []
    given = budget(1, progress=lambda *words: told.append(words))
    source = source_network(data, CLASSES, RATE, given)
    # 13, 10, 5, 2, 1 pixels: 32 features.
    assert {name: tuple(w.shape) for name, w in source.weights.items() if w.ndim > 1} == {
        "conv1.weight": (32, 3, 4, 4),
        "conv2.weight": (32, 32, 4, 4),
        "dense.weight": (256, 32),
        "output.weight": (3, 256),
    }
    assert [row["epoch"] for row in source.history] == list(range(1, 11))
    assert {row["images"] for row in source.history} == {24}  # of 40, three classes of five
    assert source.seconds == pytest.approx(sum(row["seconds"] for row in source.history))
    assert all(0 <= row["val_accuracy"] <= 1 for row in source.history)
    assert (source.device, source.threads) == ("cpu", 1)
    assert told == [("training the source network", n, 10) for n in range(11)]
    assert {split for split, _ in data.asked} == {"train", "validation"}


def test_it_learns_what_brightness_tells() -> None:
    data = tiny_data((13, 13, 3), classes=4, train=800, validation=40)
    source = source_network(data, (0, 3), 3e-3, budget(1))
    assert source.history[-1]["val_accuracy"] == 1.0  # one of two, from 40 steps


def test_it_is_trained_once_whatever_the_trial(
    data: TinyData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = count_epochs(monkeypatch)
    first = source_network(data, CLASSES, RATE, budget(1, seed=1))
    second = source_network(data, CLASSES, RATE, budget(9, seed=2))
    assert trained == list(range(1, 11))
    assert equal(first, second)
    assert list(first.history) == list(second.history)
    (folder,) = folders(cache)
    assert sorted(path.name for path in folder.iterdir()) == ["meta.json", "weights.pt"]
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["recipe"]["classes"] == [0, 2, 3]
    assert meta["recipe"]["learning_rate"] == RATE
    assert (meta["recipe"]["epochs"], meta["recipe"]["batch_size"]) == (10, 100)


def test_another_recipe_is_another_network(data: TinyData, cache: Path) -> None:
    plain = source_network(data, CLASSES, RATE, budget(1, precision="float32"))
    others = [
        source_network(data, (0, 1, 4), RATE, budget(1, precision="float32")),
        source_network(data, CLASSES, 3e-3, budget(1, precision="float32")),
        source_network(data, CLASSES, RATE, budget(1, precision="bfloat16")),
        source_network(
            tiny_data((13, 13, 3), 5, 40, 20, seed=9),
            CLASSES,
            RATE,
            budget(1, precision="float32"),
        ),
    ]
    assert len(folders(cache)) == 5
    assert not any(equal(plain, other) for other in others)
    prints = {each.fingerprint(("conv1", "conv2")) for each in (plain, *others)}
    assert len(prints) == 5


def test_the_fingerprint_is_that_of_the_named_layers(data: TinyData) -> None:
    source = source_network(data, CLASSES, RATE, budget(1))
    first, both = source.fingerprint(["conv1"]), source.fingerprint(["conv1", "conv2"])
    changed = dict(source.weights) | {"conv2.bias": source.weights["conv2.bias"] + 1}
    other = Source(changed, source.history, "cpu", 1)
    assert other.fingerprint(["conv1"]) == first
    assert other.fingerprint(["conv1", "conv2"]) != both
    assert len({first, both}) == 2
    assert len(first) == 64


def test_the_same_weights_when_made_again(data: TinyData, cache: Path) -> None:
    first = source_network(data, CLASSES, RATE, budget(1))
    for path in folders(cache)[0].iterdir():
        path.unlink()
    folders(cache)[0].rmdir()
    assert equal(first, source_network(data, CLASSES, RATE, budget(1)))


def test_weights_load_into_the_network(data: TinyData) -> None:
    source = source_network(data, CLASSES, RATE, budget(1))
    model = TransferNet(
        frozen_layers=0, size=(13, 13), channels=3, classes=3, dense_width=256, dropout=0.0
    )
    model.load_state_dict(dict(source.weights))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: flip(f / "weights.pt"), "weights.pt does not match its checksum"),
        (lambda f: (f / "weights.pt").unlink(), "No such file"),
        (lambda f: (f / "meta.json").write_text("{"), "Expecting property name"),
        (lambda f: (f / "meta.json").write_text("[]"), "list indices"),
        (lambda f: (f / "meta.json").write_text('{"recipe": {}}'), "about another network"),
    ],
)
def test_a_damaged_one_is_made_again_with_a_note(
    damage: Any,
    said: str,
    data: TinyData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = source_network(data, CLASSES, RATE, budget(1))
    damage(folders(cache)[0])
    trained = count_epochs(monkeypatch)
    with caplog.at_level(logging.WARNING):
        again = source_network(data, CLASSES, RATE, budget(1))
    assert len(trained) == 10
    assert equal(first, again)
    assert "is damaged and is made again: " in caplog.text
    assert said in caplog.text
    caplog.clear()
    assert equal(first, source_network(data, CLASSES, RATE, budget(1)))
    assert (len(trained), caplog.text) == (10, "")


def test_an_error_in_the_middle_leaves_nothing(
    data: TinyData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer_source.torch, "save", full)
    with pytest.raises(DataError, match=r"cannot write the cache .* No space left on device"):
        source_network(data, CLASSES, RATE, budget(1))
    assert folders(cache) == []


def die_in_the_middle(data: TinyData, where: str) -> None:
    """In a process of its own: dies as if killed, in the third epoch or before the rename."""
    original = transfer_source.run_epoch

    def run(stage: Any, given: Any, epoch: int, device: Any) -> EpochResult:
        if (where, epoch) == ("epoch", 3):
            os._exit(9)
        return original(stage, given, epoch, device)

    def put(*_: object) -> None:
        os._exit(9)

    transfer_source.run_epoch = run
    if where == "put":
        transfer_source.store.put = put
    source_network(data, CLASSES, RATE, budget(1))


@pytest.mark.parametrize("where", ["epoch", "put"])
def test_a_crash_leaves_nothing_that_is_taken_for_whole(
    where: str, data: TinyData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=die_in_the_middle, args=(data, where)
    )
    process.start()
    process.join(280)
    assert process.exitcode == 9
    assert len(folders(cache)) == (1 if where == "put" else 0)  # scratch at most
    trained = count_epochs(monkeypatch)
    source_network(data, CLASSES, RATE, budget(1))
    assert len(trained) == 10
    (folder,) = folders(cache)  # and what the dead process left is gone
    assert ".tmp-" not in folder.name


def test_others_wait_and_train_nothing(
    data: TinyData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this process holds the lock, another asks; then it finds the network."""
    told: list[str] = []
    expected = source_network(data, CLASSES, RATE, budget(1))
    (folder,) = folders(cache)
    aside = folder.with_name("aside")
    folder.rename(aside)  # as if it were still in the making
    lock = transfer_source.store.locked(cache, folder.name, "", lambda *_: None)

    def progress(what: str, done: int, _total: int | None) -> None:
        told.append(what)
        aside.rename(folder)
        lock.__exit__(None, None, None)

    trained = count_epochs(monkeypatch)
    lock.__enter__()
    found = source_network(data, CLASSES, RATE, budget(1, progress=progress))
    assert told == ["waiting for another process to train the source network"]
    assert trained == []
    assert equal(found, expected)


def test_the_source_does_not_depend_on_who_asks_first(
    data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for seed in (1, 2):
        monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / str(seed)))
        found.append(source_network(data, CLASSES, RATE, budget(1, seed=seed)))
    assert equal(*found)
