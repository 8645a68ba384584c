"""Reading prepared TFDS directories: the split, the order, the fingerprint, the real data."""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.trainables_tests import tfds_files
from tests.trainables_tests.tfds_reading import open_in, serving_tiny
from trainables.data.source import DataSpec
from trainables.data.tfds_source import TfdsSource, open_tfds, stratified_share
from trainables.errors import DataError

SHARED = Path(__file__).parents[2].parent / "shared" / "tensorflow_datasets"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no prepared data in {SHARED}")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with tiny beans and mnist, prepared once; their servers are gone afterwards."""
    directory = tmp_path_factory.mktemp("tfds")
    for dataset in ("beans", "mnist"):
        with serving_tiny(dataset):
            open_in(directory, dataset)
    return directory


@pytest.fixture
def copied(prepared: Path, tmp_path: Path) -> Path:
    for dataset in ("beans", "mnist"):
        shutil.copytree(prepared / dataset, tmp_path / dataset)
    return tmp_path


def names_of(source: TfdsSource, split: str) -> list[tuple[int, int]]:
    """Return (index among the served images, label) of tiny mnist, in the order read."""
    return [(int(image[0, 0, 0]), label) for image, label in source.images(split)]


def test_validation_is_a_tenth_of_every_class_and_gone_from_train(prepared: Path) -> None:
    source = open_in(prepared, "mnist")
    train, validation = names_of(source, "train"), names_of(source, "validation")
    assert Counter(label for _, label in validation) == {3: 2, 7: 1}
    assert Counter(label for _, label in train) == {3: 18, 7: 9}
    assert sorted(train + validation) == [(i, 3 if i < 20 else 7) for i in range(30)]


def test_the_split_follows_the_seed_alone(prepared: Path) -> None:
    drawn = {seed: names_of(open_in(prepared, "mnist", seed), "validation") for seed in range(6)}
    assert all(names_of(open_in(prepared, "mnist", s), "validation") == drawn[s] for s in range(6))
    assert len({tuple(names) for names in drawn.values()}) > 1


def test_train_keeps_the_order_of_the_files(prepared: Path) -> None:
    import tensorflow_datasets as tfds

    stored = tfds.builder_from_directory(str(prepared / "mnist" / "3.0.1")).as_data_source("train")
    order = [(int(item["image"][0, 0, 0]), int(item["label"])) for item in stored]
    assert len(order) == 30
    assert order != sorted(order)  # TFDS shuffles while it writes: an order worth keeping
    source = open_in(prepared, "mnist")
    for split in ("train", "validation"):
        names = names_of(source, split)
        assert names == [name for name in order if name in names]


def test_the_share_is_drawn_class_by_class_from_the_derived_seed() -> None:
    labels = np.array([1, 0] * 10 + [1] * 11)  # ten of 0, twenty-one of 1
    digest = hashlib.sha256(b"5\0validation").digest()
    rng = np.random.default_rng(int.from_bytes(digest[:4], "big") >> 1)
    zeros = rng.permutation([i for i in range(31) if labels[i] == 0])[:1]
    ones = rng.permutation([i for i in range(31) if labels[i] == 1])[:2]
    found = stratified_share(labels, 0.1, seed=5)
    assert found.tolist() == sorted([*zeros.tolist(), *ones.tolist()])


def test_a_small_class_gives_one_image_and_keeps_one() -> None:
    found = stratified_share(np.array([0, 0, 1, 2, 2, 2]), 0.1, seed=0)
    assert [int(label) for label in np.array([0, 0, 1, 2, 2, 2])[found]] == [0, 2]


def test_beans_keep_their_own_validation_whatever_the_seed(prepared: Path) -> None:
    first, second = open_in(prepared, seed=0), open_in(prepared, seed=1)
    assert first.sizes == second.sizes == {"train": 9, "validation": 3, "test": 4}
    assert first.fingerprint == second.fingerprint
    assert first.notes == ()


def test_the_fingerprint_does_not_depend_on_the_place(prepared: Path, copied: Path) -> None:
    for dataset in ("beans", "mnist"):
        fingerprint = open_in(prepared, dataset).fingerprint
        assert len(fingerprint) == 64
        assert open_in(copied, dataset).fingerprint == fingerprint


def test_the_fingerprint_follows_content_names_and_seed(prepared: Path, copied: Path) -> None:
    found = {open_in(prepared, "mnist").fingerprint, open_in(prepared, "mnist", 1).fingerprint}
    assert len(found) == 2
    labels = copied / "beans" / "0.1.0" / "label.labels.txt"
    found.add(open_in(copied).fingerprint)
    labels.write_text("spot\nrust\nhealthy\n")
    found.add(open_in(copied).fingerprint)
    shard = copied / "beans" / "0.1.0" / "beans-test.array_record-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 300] ^= 255  # inside the first JPEG file
    shard.write_bytes(content)
    found.add(open_in(copied).fingerprint)
    assert len(found) == 5


def test_a_home_directory_is_expanded(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(prepared.parent))
    source = open_tfds(DataSpec("beans", "tfds", f"~/{prepared.name}"))
    assert source.sizes["train"] == 9


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data set 'bean' .*choose beans, mnist, cifar10"):
        open_in(tmp_path, "bean")
    assert list(tmp_path.iterdir()) == []


@real_data
@pytest.mark.parametrize(
    ("dataset", "sizes", "shape", "first", "classes"),
    [
        ("beans", (1034, 133, 128), (500, 500, 3), 1, "angular_leaf_spot bean_rust healthy"),
        ("mnist", (18000, 2000, 4000), (28, 28, 1), None, "0 1 2 3 4 5 6 7 8 9"),
        ("cifar10", (18000, 2000, 4000), (32, 32, 3), None, " ".join(tfds_files.CIFAR10)),
    ],
)
def test_real_data(
    dataset: str, sizes: tuple[int, ...], shape: tuple[int, ...], first: int | None, classes: str
) -> None:
    import tensorflow_datasets as tfds

    source = open_in(SHARED, dataset)
    assert tuple(source.sizes[s] for s in ("train", "validation", "test")) == sizes
    assert source.classes == tuple(classes.split())
    image, label = next(source.images("test"))
    assert image.shape == shape
    assert image.dtype == np.uint8
    reference = tfds.data_source(dataset, split="test", data_dir=str(SHARED), download=False)[0]
    assert label == reference["label"]
    np.testing.assert_array_equal(image, reference["image"])
    if first is not None:
        assert next(source.images("train"))[1] == first


@real_data
def test_real_validation_holds_a_tenth_of_each_class() -> None:
    source = open_in(SHARED, "mnist")
    held_out = Counter(label for _, label in source.images("validation"))
    kept = Counter(label for _, label in source.images("train"))
    assert sum(held_out.values()) == 2000
    assert all(abs(held_out[c] - 0.1 * (held_out[c] + kept[c])) <= 0.5 for c in range(10))
