"""Every disturbance on images whose answer is worked out by hand; and nothing but it decides."""

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.disturbances import (
    DISTURBANCES,
    Disturbance,
    blur,
    darken,
    jpeg,
    lower_resolution,
    noise,
)

EACH = pytest.mark.parametrize("each", DISTURBANCES, ids=lambda each: each.name)


def flat(level: int, side: int = 8, n: int = 1, channels: int = 3) -> NDArray[np.uint8]:
    return np.full((n, side, side, channels), level, np.uint8)


def drawn(n: int = 3, side: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth colour ramps, so that no disturbance leaves them as they are."""
    ramp = np.linspace(40, 220, side)
    down, across = np.meshgrid(ramp, ramp, indexing="ij")
    one = np.stack([down, across, down / 2 + 30])
    return np.repeat(one.transpose(1, 2, 0)[None, ..., :channels], n, 0).astype(np.uint8)


def test_one_stop_halves_the_light() -> None:
    # White: half of the light is 1.055 x 0.5^(1/2.4) - 0.055 = 0.7354, level 188.
    assert set(darken(flat(255), 1).ravel()) == {188}
    # Level 188 has 0.5029 of the light; a quarter of white's is 0.5371, level 137.
    assert set(darken(flat(255), 2).ravel()) == {137}
    # Level 10 is on the straight part: 10 / 2.
    assert set(darken(flat(10), 1).ravel()) == {5}
    assert set(darken(flat(255), 20).ravel()) == {0}
    assert np.array_equal(darken(drawn(), 0), drawn())


def test_a_blur_spreads_a_point_and_keeps_the_sum() -> None:
    point = flat(0, 50)
    point[0, 25, 25] = 255
    # 2 % of 50 pixels: sigma 1. The centre of the sampled Gaussian: 255 x 0.3989^2 = 40.6; one
    # step beside it times exp(-1/2): 24.6; diagonal once more: 14.9.
    found = blur(point, 2)
    assert found[0, 25, 25].tolist() == [41, 41, 41]
    assert found[0, 25, 26].tolist() == [25, 25, 25]
    assert found[0, 26, 26].tolist() == [15, 15, 15]
    assert found[0, 25, 35].tolist() == [0, 0, 0]
    assert set(blur(flat(200), 5).ravel()) == {200}  # no dark border moves in


def test_noise_has_the_spread_that_it_says_and_grows_in_place() -> None:
    images = flat(128, 100, n=2)
    weak, strong = (noise(images, std, 3).astype(int) - 128 for std in (10, 20))
    assert weak.std() == pytest.approx(10, rel=0.02)  # 60,000 draws: 1 % is three sigma and more
    assert weak.mean() == pytest.approx(0, abs=0.2)
    assert np.abs(strong - 2 * weak).max() <= 2  # the same draw, rounded
    assert not np.array_equal(weak[0], weak[1])
    # Clipped, not wrapped around.
    assert noise(flat(255), 10, 0).min() > 200


def test_noise_of_an_image_depends_on_seed_and_place_alone() -> None:
    images = drawn(4)
    whole = noise(images, 20, 1)
    assert np.array_equal(whole[:2], noise(images[:2], 20, 1))
    assert not np.array_equal(whole, noise(images, 20, 2))


def test_lower_resolution_takes_the_mean_of_an_area() -> None:
    board = flat(0, 4)
    board[0, ::2, ::2] = 200  # one in each square of 2x2 pixels: a mean of 50 everywhere
    assert set(lower_resolution(board, 2).ravel()) == {50}
    assert np.array_equal(lower_resolution(drawn(), 1), drawn())
    # 3 pixels of 4 times fewer: at least one is left.
    assert set(lower_resolution(flat(90, 3), 4).ravel()) == {90}


def test_jpeg_keeps_flat_areas_and_loses_detail() -> None:
    assert np.abs(jpeg(flat(120, 16), 50).astype(int) - 120).max() <= 2
    fine = np.indices((16, 16)).sum(0) % 2 * 255
    board = np.repeat(fine[None, ..., None], 3, 3).astype(np.uint8)
    errors = [np.abs(jpeg(board, quality).astype(int) - board).mean() for quality in (95, 5)]
    assert errors[0] < 10 < errors[1]


@EACH
@pytest.mark.parametrize("channels", [1, 3])
def test_five_strengths_leave_shape_and_input_as_they_are(
    each: Disturbance, channels: int
) -> None:
    images = drawn(channels=channels)
    before = images.copy()
    assert len(each.strengths) == 5
    for value in each.strengths:
        found = each.apply(images, value, 7)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        assert not np.array_equal(found, images)
        assert np.array_equal(found, each.apply(images, value, 7))
    assert np.array_equal(images, before)


@EACH
def test_stronger_is_farther_from_the_original(each: Disturbance) -> None:
    draws = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype(np.uint8)
    images = blur(draws, 2)  # some structure, at every scale above a pixel
    images = np.clip((images.astype(int) - 128) * 6 + 128, 0, 255).astype(np.uint8)
    far = [np.abs(each.apply(images, v, 0).astype(int) - images).mean() for v in each.strengths]
    assert far == sorted(far)
    assert far[0] > 0


@pytest.mark.parametrize(
    ("apply", "value", "what"),
    [
        (darken, -1, "stops >= 0 must hold, but got -1"),
        (blur, -0.1, "percent >= 0 must hold, but got -0.1"),
        (lambda images, value: noise(images, value, 0), -2, "std >= 0 must hold, but got -2"),
        (lower_resolution, 0.5, "times >= 1 must hold, but got 0.5"),
        (jpeg, 0, "quality must lie in 1 to 95, but got 0"),
        (jpeg, 96, "quality must lie in 1 to 95, but got 96"),
    ],
)
def test_strengths_that_make_no_sense(apply, value, what) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=what):
        apply(flat(1), value)
