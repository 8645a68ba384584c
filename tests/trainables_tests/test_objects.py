"""Rendered objects: deterministic, varied, inside the picture, and told apart by their shape."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.data.object_shapes import CLASSES, SCENES, SHAPES
from trainables.data.objects import GROUNDS, render_object

# As in test_leaves: if this fails, raise RENDERER_VERSION in trainables/data/embedded.py.
PINNED = {
    (1, 0): [91.8, 85.7, 117.8, 76.4, 78.0, 105.1, 166.0, 143.7, 173.7, 134.4, 140.4, 159.3],
    (2, 5): [70.7, 75.2, 43.8, 69.7, 84.7, 38.7, 127.4, 131.1, 77.7, 124.8, 140.6, 70.4],
    (3, 9): [75.4, 114.2, 71.5, 61.6, 78.9, 63.9, 93.1, 107.7, 95.1, 78.8, 91.0, 75.4],
}


def quarter_means(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    half = image.shape[0] // 2
    return np.asarray(image.reshape(2, half, 2, half, -1).mean(axis=(1, 3)).ravel())


@pytest.mark.parametrize(("seed", "label"), PINNED)
def test_pixels_are_those_of_the_renderer_version(seed: int, label: int) -> None:
    expected = PINNED[seed, label]
    assert len(expected) == 2 * 2 * 3
    assert quarter_means(render_object(seed, label)) == pytest.approx(expected, abs=0.5)


def test_classes_are_those_of_cifar10_in_the_order_of_tfds() -> None:
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    assert names.split() == list(CLASSES)
    assert set(SHAPES) == set(SCENES) == set(CLASSES)
    assert {scene for scenes in SCENES.values() for scene in scenes} <= set(GROUNDS)


def test_silhouettes_fit_their_square() -> None:
    visited = 0
    for parts in SHAPES.values():
        for part in parts:
            corners = np.asarray(part.corners)
            visited += len(corners)
            assert len(corners) >= 3
            assert corners.min() >= 0
            assert corners.max() <= 1
            assert part.tone in {"body", "accent", "dark", "light"}
    assert visited > 300


@pytest.mark.parametrize("label", range(10))
def test_shape_range_and_variety(label: int) -> None:
    images = [render_object(seed, label) for seed in range(5)]
    assert {(image.shape, image.dtype.name) for image in images} == {((32, 32, 3), "uint8")}
    assert len({image.tobytes() for image in images}) == 5
    assert min(image.std() for image in images) > 8


def test_same_seed_same_picture_whatever_was_drawn_before() -> None:
    forwards = [render_object(seed, seed) for seed in range(10)]
    backwards = [render_object(seed, seed) for seed in reversed(range(10))]
    assert np.array_equal(forwards, backwards[::-1])


def test_label_decides_the_object() -> None:
    assert not np.array_equal(render_object(4, 0), render_object(4, 1))
