"""Preparing beans, MNIST and CIFAR-10 from a server on 127.0.0.1, and reading them back."""

import contextlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.trainables_tests import tfds_files
from tests.trainables_tests.tfds_reading import (
    assert_all_beans,
    files_in,
    greys,
    open_in,
    serving_tiny,
)
from tests.trainables_tests.tfds_server import FileServer
from trainables.data import tfds_prepare
from trainables.data.source import DataSpec
from trainables.data.tfds_source import open_tfds
from trainables.data.tfds_without_tensorflow import import_tfds, tensorflow_replaced
from trainables.errors import DataError

FULL = "No space left on device"


@pytest.fixture
def beans() -> Iterator[FileServer]:
    with serving_tiny("beans") as server:
        yield server


def test_beans_are_downloaded_prepared_and_read_back(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data_dir = tmp_path / "new" / "data"
    assert_all_beans(open_in(data_dir))
    assert beans.requests == {"train.zip": 1, "validation.zip": 1, "test.zip": 1}
    assert "beans/0.1.0/beans-train.array_record-00000-of-00001" in files_in(data_dir)
    assert not [name for name in files_in(data_dir) if ".tmp" in name or "incomplete" in name]
    assert not list(data_dir.glob("downloads/extracted*"))
    assert_all_beans(open_in(data_dir))  # prepared now: nothing is asked again
    assert sum(beans.requests.values()) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]  # no temporary files


def test_mnist_pixels_are_those_served(tmp_path: Path) -> None:
    with serving_tiny("mnist"):
        source = open_in(tmp_path, "mnist")
    assert source.classes == tuple("0123456789")
    assert source.sizes == {"train": 27, "validation": 3, "test": 4}
    seen = {"train": set[int](), "test": set[int]()}
    for split, stored in (("train", "train"), ("validation", "train"), ("test", "test")):
        for image, label in source.images(split):
            index = int(image[0, 0, 0]) - (100 if split == "test" else 0)
            assert label == tfds_files.MNIST_LABELS[stored][index]
            np.testing.assert_array_equal(image, tfds_files.mnist_image(stored, index))
            seen[stored].add(index)
    assert seen == {"train": set(range(30)), "test": set(range(4))}


def test_cifar10_pixels_are_those_served(tmp_path: Path) -> None:
    with serving_tiny("cifar10"):
        source = open_in(tmp_path, "cifar10")
    assert source.classes == tuple(tfds_files.CIFAR10)
    assert source.sizes == {"train": 10, "validation": 10, "test": 2}
    seen = []
    for split in ("train", "validation", "test"):
        for image, label in source.images(split):
            name = int(image[0, 0, 0])
            assert label == name % 10
            np.testing.assert_array_equal(image, tfds_files.cifar10_image(name))
            seen.append(name)
    assert sorted(seen) == [*range(20), 200, 203]


def test_parquet_is_written_where_array_record_is_not_installed(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == "array_record" else find_spec(name, *rest),
    )
    assert_all_beans(open_in(tmp_path))
    assert "beans/0.1.0/beans-train.parquet-00000-of-00001" in files_in(tmp_path)


def test_an_undecodable_image_is_named_when_it_is_read(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beans.files["test.zip"] = tfds_files.zipped({"test/healthy/a.jpg": b"not an image at all"})
    tfds_files.point_builder_at(beans.url, "beans", beans.files, monkeypatch)
    source = open_in(tmp_path)  # opening decodes nothing, and test least of all
    assert source.sizes["test"] == 1
    assert greys(source, "train") == tfds_files.BEANS_GREYS["train"]
    with pytest.raises(DataError, match=r"beans-test\.array_record.*image 0 cannot be decoded"):
        list(source.images("test"))


def test_progress_counts_bytes_then_images(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tfds_prepare.PUBLISHED_IMAGES, "beans", 16)
    told: dict[str, list[tuple[int, int | None]]] = {}
    open_tfds(
        DataSpec("beans", "tfds", str(tmp_path)),
        lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )
    assert list(told) == ["downloading beans", "preparing beans"]
    n_bytes = sum(len(content) for content in beans.files.values())
    downloaded = [done for done, _ in told["downloading beans"]]
    assert downloaded == sorted(downloaded)
    assert len(downloaded) >= 3
    assert told["downloading beans"][-1] == (n_bytes, n_bytes)
    assert told["preparing beans"] == [(n, 16) for n in range(1, 17)]


@pytest.mark.parametrize("fault", ["", "404"])
def test_what_was_replaced_in_tfds_is_put_back(
    beans: FileServer, tmp_path: Path, fault: str
) -> None:
    import_tfds()
    from absl import logging
    from tensorflow_datasets.core import dataset_builder, dataset_info
    from tensorflow_datasets.core.download import extractor
    from tensorflow_datasets.core.features import image_feature
    from tensorflow_datasets.core.utils import tqdm_utils
    from tensorflow_datasets.image_classification import cifar, mnist

    def state() -> list[object]:
        return [
            *(vars(module)["tf"] for module in (extractor, mnist, cifar)),
            vars(dataset_builder)["importlib_resources"],
            vars(dataset_builder)["termcolor"],
            image_feature._ImageEncoder._encode_image,
            dataset_info.DatasetInfo.initialize_from_bucket,
            tqdm_utils._active,
            logging.get_absl_logger().disabled,
        ]

    before = state()
    with tensorflow_replaced():
        assert all(a is not b for a, b in zip(before, state(), strict=True))
    beans.faults["validation.zip"] = fault
    with pytest.raises(DataError) if fault else contextlib.nullcontext():
        open_in(tmp_path)
    assert all(a is b for a, b in zip(before, state(), strict=True))


def test_an_image_of_a_wrong_shape_is_not_encoded() -> None:
    tfds = import_tfds()
    feature = tfds.features.Image(shape=(28, 28, 1))
    with tensorflow_replaced(), pytest.raises(ValueError, match=r"\(28, 28, 1\) was due, got"):
        feature.encode_example(np.zeros((28, 27, 1), np.uint8))


def test_a_directory_below_a_file_is_told(beans: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = r"beans is not prepared in .*file.*cannot be written there \(.+\): give a directory"
    with pytest.raises(DataError, match=message):
        open_in(tmp_path / "file" / "data")
    assert not beans.requests


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the right of root to write everywhere, where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_directory_is_told(beans: FileServer) -> None:
    import_tfds()  # as root: another user may not be able to read the installed packages
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is hidden from other users
        Path(directory).chmod(0o555)
        with as_nobody(), pytest.raises(DataError, match=r"Permission denied.*--data-dir DIR"):
            open_in(Path(directory))
        assert files_in(Path(directory)) == []
        Path(directory).chmod(0o755)
    assert not beans.requests


@pytest.mark.parametrize(
    ("module", "function", "error"),
    [
        ("trainables.data.tfds_without_tensorflow", "_encode_image", OSError(FULL)),
        ("trainables.data.tfds_without_tensorflow", "_encode_image", RuntimeError(FULL)),
        ("tensorflow_datasets.core.download.extractor", "_copy", OSError(FULL)),
    ],
)
def test_a_full_disk_is_told_and_leaves_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, function: str, error: Exception
) -> None:
    def no_space(*_args: object) -> bytes:
        raise error

    with serving_tiny("mnist"):
        with monkeypatch.context() as patch:
            patch.setattr(importlib.import_module(module), function, no_space)
            with pytest.raises(DataError, match=rf"^mnist is not .*{FULL}\): give .*$"):
                open_in(tmp_path, "mnist")
        assert not (tmp_path / "mnist").exists()
        assert not list(tmp_path.glob("downloads/extracted*"))
        assert open_in(tmp_path, "mnist").sizes["train"] == 27
