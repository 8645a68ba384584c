"""The embedded data: deterministic, balanced, and honest about itself."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from trainables.data import embedded, open_data
from trainables.data.embedded import enlarge_digit, open_embedded, split_digits
from trainables.data.source import SPLITS, DataSpec, Source
from trainables.errors import DataError

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
NAMES = ("beans", "mnist", "cifar10")


def opened(dataset: str, seed: int = 0) -> Source:
    return open_embedded(DataSpec(dataset, "embedded", seed=seed))


def arrays(source: Source, split: str, most: int = 10_000) -> Arrays:
    items = [item for item, _ in zip(source.images(split), range(most), strict=False)]
    assert len(items) == min(most, source.sizes[split])
    return np.stack([image for image, _ in items]), np.array([label for _, label in items])


@pytest.fixture(scope="module")
def validation() -> Arrays:
    return arrays(opened("beans"), "validation")


@pytest.mark.parametrize(
    ("dataset", "shape", "classes", "sizes"),
    [
        ("beans", (160, 160, 3), 3, (480, 120, 120)),
        # By hand, from 178, 182, 177, 183, 181, 182, 181, 179, 174 and 180 of each digit.
        ("mnist", (28, 28, 1), 10, (1258, 270, 269)),
        ("cifar10", (32, 32, 3), 10, (2000, 400, 400)),
    ],
)
def test_shape_and_sizes(
    dataset: str, shape: tuple[int, ...], classes: int, sizes: tuple[int, ...]
) -> None:
    source = opened(dataset)
    assert tuple(source.sizes[split] for split in SPLITS) == sizes
    assert len(source.classes) == classes
    assert source.notes == (f"embedded data made by Trellis: not the real {dataset}",)
    for split in SPLITS:
        images, labels = arrays(source, split, 12)
        assert images.shape == (12, *shape)
        assert images.dtype == np.uint8
        assert set(labels) <= set(range(classes))


@pytest.mark.parametrize("dataset", NAMES)
def test_opened_twice_it_is_the_same_in_any_order(dataset: str) -> None:
    first, second = opened(dataset), opened(dataset)
    assert first.fingerprint == second.fingerprint
    later = [arrays(second, split, 7) for split in reversed(SPLITS)][::-1]
    for split, (images, labels) in zip(SPLITS, later, strict=True):
        before = arrays(first, split, 7)
        assert np.array_equal(before[0], images)
        assert np.array_equal(before[1], labels)


@pytest.mark.parametrize("dataset", NAMES)
def test_seed_and_fingerprint_change_together(dataset: str) -> None:
    first, other = opened(dataset), opened(dataset, seed=1)
    assert not np.array_equal(arrays(first, "test", 5)[0], arrays(other, "test", 5)[0])
    assert len({first.fingerprint, other.fingerprint}) == 2
    assert len(first.fingerprint) == 64


def test_fingerprint_follows_version_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {opened(name).fingerprint for name in NAMES}
    monkeypatch.setattr(embedded, "RENDERER_VERSION", embedded.RENDERER_VERSION + 1)
    after = {opened(name).fingerprint for name in NAMES}
    assert len(before | after) == 6


def test_beans_are_balanced_and_all_different(validation: Arrays) -> None:
    images, labels = validation
    assert Counter(labels.tolist()) == {0: 40, 1: 40, 2: 40}
    assert len({image.tobytes() for image in images}) == 120


@pytest.mark.parametrize("dataset", ["beans", "cifar10"])
def test_no_drawing_is_in_two_splits(dataset: str) -> None:
    source = opened(dataset)
    seen = [image.tobytes() for split in SPLITS for image in arrays(source, split, 40)[0]]
    assert len(set(seen)) == len(seen) == 120


def test_objects_are_balanced() -> None:
    assert set(Counter(arrays(opened("cifar10"), "test")[1].tolist()).values()) == {40}


def test_mean_colour_does_not_tell_the_disease(validation: Arrays) -> None:
    """The nearest class mean of red, green and blue, with every advantage, gets under 70 %."""
    images, labels = validation
    means = images.reshape(120, -1, 3).mean(axis=1)
    middles = np.stack([means[labels == label].mean(axis=0) for label in range(3)])
    guessed = np.argmin(np.square(means[:, None] - middles).sum(axis=2), axis=1)
    assert 0.33 < (guessed == labels).mean() < 0.70


def test_digits_are_those_of_scikit_learn() -> None:
    digits, source = load_digits(), opened("mnist")
    order = split_digits(digits.target, 0)
    assert source.classes == tuple("0123456789")
    chosen = np.concatenate([order[split] for split in SPLITS])
    assert sorted(chosen.tolist()) == list(range(1797))  # every digit in one split, once
    for split in SPLITS:
        images, labels = arrays(source, split)
        assert np.array_equal(labels, digits.target[order[split]])
        # Shrunk back to 8x8 the image is the original one: it correlates almost perfectly.
        inner = images[:, 4:24, 4:24, 0].astype(float)
        small = inner.repeat(2, 1).repeat(2, 2).reshape(-1, 8, 5, 8, 5).mean(axis=(2, 4))
        original = digits.images[order[split]]
        assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.97


def test_digits_are_stratified() -> None:
    labels = load_digits().target
    order, counts = split_digits(labels, 0), Counter(labels.tolist())
    for split, share in (("train", 0.70), ("validation", 0.15), ("test", 0.15)):
        found = Counter(labels[order[split]].tolist())
        assert len(found) == 10
        assert all(abs(found[digit] - share * counts[digit]) <= 1 for digit in range(10))
    assert not np.array_equal(order["train"], split_digits(labels, 1)["train"])


def test_enlarged_digit_spans_the_range_and_keeps_its_frame() -> None:
    half = np.zeros((8, 8), np.uint8)
    half[:, 4:] = 16
    image = enlarge_digit(half)
    assert (image.shape, image.dtype.name) == ((28, 28, 1), "uint8")
    assert image[4:24, 4:12].max() == 0
    assert image[4:24, 17:24].min() == 255
    assert image[:4].max() == image[24:].max() == image[:, :4].max() == image[:, 24:].max() == 0


def test_digits_can_be_learnt() -> None:
    source = opened("mnist")
    (images, labels), (unseen, truth) = arrays(source, "train"), arrays(source, "validation")
    model = KNeighborsClassifier(3).fit(images.reshape(len(images), -1) / 255, labels)
    assert model.score(unseen.reshape(len(unseen), -1) / 255, truth) > 0.9


def test_progress_is_told() -> None:
    calls: list[tuple[str, int, int | None]] = []
    source = open_embedded(
        DataSpec("cifar10", "embedded"),
        lambda what, done, total: calls.append((what, done, total)),
    )
    assert calls == []
    assert sum(1 for _ in source.images("validation")) == 400
    assert calls == [("drawing objects", done, 400) for done in range(401)]


def test_what_it_cannot_do() -> None:
    with pytest.raises(DataError, match=r"no embedded data for 'svhn': .*beans, mnist, cifar10;"):
        opened("svhn")
    with pytest.raises(ValueError, match="one of train, validation, test, but got 'dev'"):
        next(opened("beans").images("dev"))


def test_opened_through_the_package_it_is_not_real() -> None:
    data = open_data(DataSpec("beans", "embedded"))
    assert (data.real, data.sizes["train"]) == (False, 480)
    assert "not the real beans" in data.notes[0]


def test_importing_is_cheap() -> None:
    code = "import sys, trainables.data.embedded; print(*sys.modules)"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert "trainables.data.source" in run.stdout.split()
    assert not {"torch", "scipy", "sklearn"} & set(run.stdout.split())
