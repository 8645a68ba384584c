"""Stored activations: computed once, whole or absent, made again when damaged."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.trainables_tests.test_store import with_free
from trainables import store
from trainables.errors import DataError
from trainables.frozen import Cut, stored

CUT = Cut("pixels", "weights", "pool", 32, "float32")
MAPS = replace(CUT, name="Mixed_7b")
# 1/3 in bfloat16 (8 bits of mantissa): 171 / 512.
THIRD = 171 / 512


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))
    return tmp_path / "activations"


class Network:
    """Stands for the frozen layers: counts the images that it was given."""

    def __init__(self, count: int = 5, batch: int = 2) -> None:
        self.images = torch.arange(count, dtype=torch.float32)
        self.batch = batch
        self.passes: list[tuple[int, tuple[str, ...]]] = []

    def __call__(self, cuts: Sequence[Cut]) -> Iterator[list[Tensor]]:
        for images in self.images.split(self.batch):
            self.passes.append((len(images), tuple(cut.name for cut in cuts)))
            yield [self.at(cut, images) for cut in cuts]

    def at(self, cut: Cut, images: Tensor) -> Tensor:
        if cut.name == "pool":
            return torch.stack((images, torch.full_like(images, 1 / 3)), 1)
        return images[:, None, None, None].expand(-1, 2, 2, 3) * 2


def test_one_pass_gives_all_cuts_rounded_to_bfloat16() -> None:
    network = Network()
    found = stored([CUT, MAPS], "train", 5, network)
    assert found.computed == 5
    assert network.passes == [(n, ("pool", "Mixed_7b")) for n in (2, 2, 1)]
    assert found.values["pool"].dtype == torch.bfloat16
    assert found.values["pool"].tolist() == [[float(i), THIRD] for i in range(5)]
    assert found.values["Mixed_7b"].shape == (5, 2, 2, 3)
    assert found.values["Mixed_7b"][:, 1, 1, 2].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_second_call_computes_nothing_and_a_new_cut_only_itself() -> None:
    network = Network()
    first = stored([CUT], "train", 5, network)
    again = stored([CUT], "train", 5, network)
    assert (first.computed, again.computed) == (5, 0)
    assert torch.equal(first.values["pool"], again.values["pool"])
    assert len(network.passes) == 3
    assert stored([CUT, MAPS], "train", 5, network).computed == 5
    assert network.passes[3:] == [(n, ("Mixed_7b",)) for n in (2, 2, 1)]


@pytest.mark.parametrize(
    "other",
    [
        replace(CUT, data="pixels2"),
        replace(CUT, weights="weights2"),
        replace(CUT, name="Mixed_7c"),
        replace(CUT, size=33),
        replace(CUT, size=None),
        replace(CUT, precision="bfloat16"),
    ],
)
def test_whatever_differs_has_activations_of_its_own(other: Cut) -> None:
    network = Network()
    stored([CUT], "train", 5, network)
    assert stored([other], "train", 5, network).computed == 5
    assert stored([CUT], "validation", 5, network).computed == 5


def test_values_are_a_map_of_the_file_and_not_a_copy() -> None:
    stored([CUT], "train", 5, Network())
    values = stored([CUT], "train", 5, Network()).values["pool"]
    with (CUT.folder("train") / "values.npy").open("r+b") as file:
        file.seek(-20, os.SEEK_END)  # the first of 5 x 2 values of 2 bytes
        file.write(b"\x80\x3f")  # 1.0 in bfloat16: 0x3f80
    assert values[0, 0] == 1.0


def test_an_error_midway_leaves_nothing(cache: Path) -> None:
    class Breaks(Network):
        def at(self, cut: Cut, images: Tensor) -> Tensor:
            if images[0] > 1:
                raise RuntimeError("out of memory")
            return super().at(cut, images)

    with pytest.raises(RuntimeError, match="out of memory"):
        stored([CUT, MAPS], "train", 5, Breaks())
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert stored([CUT], "train", 5, Network()).computed == 5


def test_fewer_images_than_there_are_leave_nothing(cache: Path) -> None:
    with pytest.raises(ValueError, match="6 activations were to be computed, but got 5"):
        stored([CUT], "train", 6, Network())
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def _cut_short(folder: Path) -> None:
    path = folder / "values.npy"
    path.write_bytes(path.read_bytes()[:-1])


def _wrong_count(folder: Path) -> None:
    with (folder / "values.npy").open("rb") as file:
        content = file.read().replace(b"(5, 2)", b"(4, 2)")
    (folder / "values.npy").write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut short": _cut_short,
    "wrong count": _wrong_count,
    "no values": lambda folder: (folder / "values.npy").unlink(),
    "no meta": lambda folder: (folder / store.META).unlink(),
    "garbage": lambda folder: (folder / store.META).write_text("{"),
    "empty meta": lambda folder: (folder / store.META).write_text("{}"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_ones_are_made_again(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    stored([CUT], "train", 5, Network())
    DAMAGE[kind](CUT.folder("train"))
    again = stored([CUT], "train", 5, Network())
    assert again.computed == 5
    assert again.values["pool"][4, 0] == 4.0
    assert "is damaged and is made again" in caplog.text
    assert stored([CUT], "train", 5, Network()).computed == 0


def test_the_cache_is_kept_within_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stored([CUT], "train", 5, Network())
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000001")
    stored([MAPS], "train", 5, Network())
    assert MAPS.folder("train").exists()  # what was just made stays, however large it is
    assert not CUT.folder("train").exists()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write the cache in .*Not a directory; make room"):
        stored([CUT], "train", 5, Network())


def test_what_the_disk_cannot_take_is_refused_after_the_first_batch(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 images of 2 bytes for each of 2 values at one cut, 2 x 2 x 3 at the other: 140 bytes."""
    network = Network()
    with_free(139, monkeypatch)
    told = f"the activations of the train images take 0.00014 MB, and the disk of {cache} has"
    with pytest.raises(DataError, match=told):
        stored([CUT, MAPS], "train", 5, network)
    assert len(network.passes) == 1
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    with_free(140, monkeypatch)
    assert stored([CUT, MAPS], "train", 5, network).computed == 5


def test_what_was_made_is_told_beside_the_values() -> None:
    stored([CUT], "train", 5, Network())
    told = json.loads((CUT.folder("train") / store.META).read_text())
    assert told.pop("seconds") >= 0
    assert told == {
        "data": "pixels",
        "weights": "weights",
        "name": "pool",
        "size": 32,
        "precision": "float32",
        "split": "train",
        "images": 5,
        "shape": [2],
        "bytes": 128 + 5 * 2 * 2,
    }


def _slowly(started: Path, log: Path) -> None:
    """Compute in another process; a file tells that it began, and another lets it go on."""

    class Slow(Network):
        def at(self, cut: Cut, images: Tensor) -> Tensor:
            started.touch()
            _wait_for(started.with_name("go on"))
            with log.open("a") as file:
                file.write(f"{len(images)}\n")
            return super().at(cut, images)

    stored([CUT], "train", 5, Slow())


def _start(started: Path, log: Path) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_slowly, args=(started, log))
    process.start()
    return process


def _wait_for(path: Path) -> None:
    for _ in range(4000):  # a child that imports torch on a busy machine may need a minute
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def test_one_process_computes_while_another_waits_and_says_so(tmp_path: Path) -> None:
    process = _start(tmp_path / "began", tmp_path / "log")
    _wait_for(tmp_path / "began")
    said: list[str] = []

    def hear(what: str, *_: object) -> None:
        said.append(what)
        (tmp_path / "go on").touch()

    network = Network()
    found = stored([CUT], "train", 5, network, hear)
    process.join(200)
    assert process.exitcode == 0
    assert (found.computed, network.passes) == (0, [])
    assert found.values["pool"][4, 0] == 4.0
    assert (tmp_path / "log").read_text().split() == ["2", "2", "1"]
    assert set(said) == {"waiting for another process to compute train activations"}


def test_a_kill_midway_leaves_nothing_that_looks_whole(tmp_path: Path, cache: Path) -> None:
    process = _start(tmp_path / "began", tmp_path / "log")
    _wait_for(tmp_path / "began")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(200)
    assert not CUT.folder("train").exists()
    assert any(".tmp-" in path.name for path in cache.iterdir())
    assert stored([CUT], "train", 5, Network()).computed == 5
    assert not any(".tmp-" in path.name for path in cache.iterdir())
