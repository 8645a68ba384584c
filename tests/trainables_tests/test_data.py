import logging
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import trainables.data
from tests.trainables_tests.test_store import with_free
from trainables.data import Data, DataSpec, open_data, prepare
from trainables.data.sources import open_source
from trainables.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def folder(tmp_path):
    """Class a: 20 images of level 1 to 20; class b: 40 of level 101 to 140; 14x12 pixels."""
    for name, count, level in (("a", 20, 1), ("b", 40, 101)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(count):
            image = Image.new("RGB", (12, 14), (level + i, 0, 0))
            image.save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def data(folder):
    return open_data(DataSpec("beans", "folder", str(folder)))


@pytest.fixture
def openings(monkeypatch):
    """Kinds of the sources opened from now on."""
    kinds: list[str] = []

    def spy(spec, *rest):
        kinds.append(spec.kind)
        return open_source(spec, *rest)

    monkeypatch.setattr(trainables.data, "open_source", spy)
    return kinds


def entries(cache: Path) -> list[str]:
    return sorted(path.name[33:] for path in cache.iterdir() if path.is_dir())


def test_open_data_tells_what_there_is_and_makes_no_array(folder, cache):
    (folder / "b" / "x.png").touch()
    data = open_data(DataSpec("beans", "folder", str(folder), seed=3))
    assert data.classes == ("a", "b")
    assert data.sizes == {"train": 42, "validation": 9, "test": 9}
    assert data.notes == ("1 image could not be read and was skipped: b/x.png",)
    assert data.spec.seed == 3
    assert data.real
    assert not cache.exists()


def test_data_is_small_to_send_and_equal_after_it(data):
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    assert pickle.loads(sent) == data
    assert hash(pickle.loads(sent)) == hash(data)


def test_prepare_makes_all_sizes_in_one_pass_without_the_test_split(data, cache, openings):
    first = prepare(data, [4, 7, 4])
    assert (first.built, first.reused) == (4, 0)
    assert first.bytes == 51 * (4 * 4 * 3 + 8) + 51 * (7 * 7 * 3 + 8)
    assert first.seconds > 0
    assert openings == ["folder"]
    again = prepare(data, [7, 4, 5])
    assert (again.built, again.reused) == (2, 4)
    assert again.notes == ()
    assert entries(cache) == [f"{s}-{n}-v1" for s in ("train", "validation") for n in (4, 5, 7)]
    openings.clear()
    assert prepare(data, [4, 5, 7]).built == 0
    assert openings == []
    assert prepare(data, [4], splits=["test"]).built == 1
    assert "test-4-v1" in entries(cache)


def test_a_disk_without_room_for_both_splits_is_told_before_the_first(data, cache, monkeypatch):
    with_free(51 * (6 * 6 * 3 + 8) - 1, monkeypatch)  # 42 of train and 9 of validation
    with pytest.raises(DataError, match=r"take 0.00592 MB, .* has 0.00592 MB free; make room"):
        prepare(data, [6])
    assert entries(cache) == []
    with_free(51 * (6 * 6 * 3 + 8), monkeypatch)
    assert prepare(data, [6]).built == 2


def test_what_a_killed_process_left_goes_also_where_nothing_is_made(data, cache):
    prepare(data, [6])
    left = cache / "other-train.tmp-0123abcd"
    left.mkdir()
    assert prepare(data, [6]).built == 0
    assert not left.exists()


def test_split_reads_what_was_prepared(data, openings):
    prepare(data, [6])
    openings.clear()
    split = data.split("train", 6)
    assert split.images.shape == (42, 6, 6, 3)
    assert split.labels.tolist() == [0] * 14 + [1] * 28
    levels = split.images[:, 0, 0, 0].astype(int)
    assert len(set(levels.tolist())) == 42
    assert ((levels >= 101) == (split.labels == 1)).all()
    assert (split.images[..., 0] == levels[:, None, None]).all()
    assert not split.images[..., 1:].any()
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable
    assert not split.labels.flags.writeable
    assert openings == []


def test_split_makes_what_is_missing_and_all_splits_are_disjoint(data, openings):
    levels = [data.split(name, None).images[:, 0, 0, 0] for name in data.sizes]
    assert sorted(np.concatenate(levels).tolist()) == [*range(1, 21), *range(101, 141)]
    assert data.split("test", None).images.shape == (9, 14, 12, 3)
    assert openings == ["folder"] * 3


@pytest.mark.parametrize("size", [6, None])
def test_the_first_image_of_a_split_is_that_of_its_array_and_makes_none(data, cache, size):
    first = data.first("train", size)
    assert not cache.exists()
    assert np.array_equal(first, data.split("train", size).images[0])


def test_first_refuses_changed_data_and_unknown_splits(data, folder):
    with pytest.raises(ValueError, match="unknown split 'val'"):
        data.first("val", 4)
    Image.new("RGB", (5, 5), "white").save(folder / "a" / "new.png")
    with pytest.raises(DataError, match=f"the data in {folder} changed since it was opened"):
        data.first("train", 4)


def test_changed_data_is_refused_and_what_was_made_stays(data, folder):
    prepare(data, [4])
    Image.new("RGB", (5, 5), "white").save(folder / "a" / "new.png")
    assert prepare(data, [4]).built == 0
    message = f"the data in {folder} changed since it was opened; start again"
    with pytest.raises(DataError, match=message):
        prepare(data, [4, 5])
    with pytest.raises(DataError, match=message):
        data.split("test", 4)
    changed = open_data(data.spec)
    assert changed.fingerprint != data.fingerprint
    assert changed.split("train", 4).images.shape[0] == 43  # 21 of class a: 15, 3, 3


def test_another_seed_is_another_split(data, folder):
    other = open_data(replace(data.spec, seed=1))
    assert other.fingerprint != data.fingerprint
    assert other.sizes == data.sizes
    assert not np.array_equal(other.split("train", 4).images, data.split("train", 4).images)


def test_native_size_of_images_of_several_sizes(data, folder):
    Image.new("RGB", (5, 5), "white").save(folder / "a" / "new.png")
    message = "the images differ in size: .*; scale them .* experiment .* such as lenet_beans"
    with pytest.raises(DataError, match=message):
        prepare(open_data(data.spec), [None], splits=("train", "validation", "test"))


def test_damage_is_told(data, cache, caplog):
    prepare(data, [4])
    [images] = cache.glob("*-train-4-v1/images.npy")
    whole = images.read_bytes()
    images.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = prepare(data, [4])
    assert (found.built, found.reused) == (1, 1)
    assert found.notes == (
        f"{images.parent} was damaged and is made again: images.npy does not match its checksum",
    )
    assert images.read_bytes() == whole
    os.truncate(images, 1)
    with caplog.at_level(logging.WARNING):
        assert data.split("train", 4).images.shape == (42, 4, 4, 3)
    assert "images.npy has 1 bytes instead of" in caplog.text


def test_progress_is_told(data):
    calls = []
    prepare(data, [4], splits=["validation"], progress=lambda *call: calls.append(call))
    assert calls[:60] == [("checking images", i, 60) for i in range(1, 61)]
    assert calls[60:] == [("preparing validation images", i, 9) for i in range(1, 10)]


def test_a_split_that_has_to_be_made_is_told(data):
    calls = []
    data.split("validation", 4, lambda *call: calls.append(call))
    assert calls[:60] == [("checking images", i, 60) for i in range(1, 61)]
    assert calls[60:] == [("preparing validation images", i, 9) for i in range(1, 10)]
    calls.clear()
    data.split("validation", 4, lambda *call: calls.append(call))
    assert calls == []


def test_impossible_requests(data):
    with pytest.raises(ValueError, match="unknown split 'val'; choose train, validation, test"):
        data.split("val", 4)
    with pytest.raises(ValueError, match="image size >= 1 must hold, but got 0"):
        prepare(data, [0])


def test_an_unknown_kind():
    message = "unknown data 'web'; choose tfds, embedded or folder:PATH"
    with pytest.raises(DataError, match=message):
        open_data(DataSpec("beans", "web"))


def test_embedded_data_is_not_real():
    spec = DataSpec("beans", "embedded")
    assert not Data(spec, ("a",), "0", {}, ()).real


def test_importing_is_cheap():
    code = "import sys, trainables.data; print(*sys.modules)"
    here = Path(__file__).parents[2]
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here
    ).stdout.split()
    assert "trainables.data.cache" in output
    heavy = {"torch", "tensorflow_datasets", "ray", "optuna", "sklearn", "scipy", "pandas"}
    assert not heavy & set(output)
