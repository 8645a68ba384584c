"""Augmentation against values by hand, scipy, Pillow and plain formulas."""

import math
import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy import ndimage
from torch import Tensor

from trainables import augment_ops as ops
from trainables.augment import OPS, augment, parse
from trainables.seeds import generator

YES, NO = torch.tensor([True]), torch.tensor([False])


def batch(n: int = 6, channels: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    """Different smooth images, so that a draw too small to matter on noise still shows."""
    noise = np.random.default_rng(seed).random((n, channels, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, size / 16, size / 16), mode="reflect")
    low, high = smooth.min(), smooth.max()
    return torch.tensor((smooth - low) / (high - low), dtype=torch.float32)


def fresh(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- names


def test_ops_are_these_twelve() -> None:
    assert OPS == (
        "flip", "mirror", "transpose", "rotation", "zoom", "crop", "brightness", "contrast",
        "colour", "gaussian_noise", "salt_pepper_noise", "speckle_noise",
    )  # fmt: skip


def test_parse() -> None:
    assert parse("none") == ()
    assert parse("crop") == ("crop",)
    assert parse("flip+rotation+brightness") == ("flip", "rotation", "brightness")


def test_parse_gives_one_order_whatever_the_spelling() -> None:
    assert parse("brightness+zoom+flip") == ("flip", "zoom", "brightness")


@pytest.mark.parametrize("name", ["spin", "", "flip+", "flip+none", "Flip", "flip, crop"])
def test_unknown_op_lists_the_valid_ones(name: str) -> None:
    valid = re.escape("use none, or join with + any of " + ", ".join(OPS))
    with pytest.raises(ValueError, match=f"^unknown augmentation .*{valid}$"):
        parse(name)


def test_op_given_twice() -> None:
    message = r"^augmentation 'flip' is given twice in 'flip\+crop\+flip': name it once$"
    with pytest.raises(ValueError, match=message):
        parse("flip+crop+flip")


# --- flip and transpose

SQUARE = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])


@pytest.mark.parametrize(
    ("horizontally", "vertically", "expected"),
    [
        (NO, NO, [[0.1, 0.2], [0.3, 0.4]]),
        (YES, NO, [[0.2, 0.1], [0.4, 0.3]]),
        (NO, YES, [[0.3, 0.4], [0.1, 0.2]]),
        (YES, YES, [[0.4, 0.3], [0.2, 0.1]]),
    ],
)
def test_flip_by_hand(horizontally: Tensor, vertically: Tensor, expected: list[float]) -> None:
    assert torch.equal(ops.flip(SQUARE, horizontally, vertically), torch.tensor([[expected]]))


def test_flip_of_an_oblong_colour_image_keeps_its_pixels_whole() -> None:
    image = torch.arange(12.0).reshape(1, 2, 2, 3)  # planes 0..5 and 6..11, 2 rows of 3
    expected = torch.tensor([[[[2.0, 1, 0], [5, 4, 3]], [[8, 7, 6], [11, 10, 9]]]])
    assert torch.equal(ops.flip(image, YES, NO), expected)


def test_mirror_by_hand_takes_left_and_right_only() -> None:
    expected = torch.tensor([[[[0.2, 0.1], [0.4, 0.3]]]])
    assert torch.equal(ops.mirror(SQUARE, YES), expected)
    assert torch.equal(ops.mirror(SQUARE, NO), SQUARE)
    image = torch.arange(12.0).reshape(1, 2, 2, 3)  # planes 0..5 and 6..11, 2 rows of 3
    turned = torch.tensor([[[[2.0, 1, 0], [5, 4, 3]], [[8, 7, 6], [11, 10, 9]]]])
    assert torch.equal(ops.mirror(image, YES), turned)
    both = ops.mirror(SQUARE.expand(2, 1, 2, 2), torch.tensor([True, False]))
    assert torch.equal(both, torch.cat([expected, SQUARE]))


def test_transpose_by_hand() -> None:
    expected = torch.tensor([[[[0.1, 0.3], [0.2, 0.4]]]])
    assert torch.equal(ops.transpose(SQUARE, YES), expected)
    assert torch.equal(ops.transpose(SQUARE, NO), SQUARE)


def test_flip_and_transpose_draw_every_case_equally_often() -> None:
    images = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(4000, 1, 2, 2)
    flipped = augment(images, "flip", fresh()).reshape(4000, 4)
    cases, counts = torch.unique(flipped, dim=0, return_counts=True)
    assert len(cases) == 4
    # 1000 expected of each, standard deviation 27.
    assert all(abs(int(count) - 1000) < 4 * 27 for count in counts)
    swapped = augment(images, "transpose", fresh())[:, 0, 0, 1] == 0.3
    assert abs(int(swapped.sum()) - 2000) < 4 * 32


def test_mirror_draws_both_cases_equally_often_and_no_other() -> None:
    images = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(4000, 1, 2, 2)
    mirrored = augment(images, "mirror", fresh()).reshape(4000, 4)
    cases, counts = torch.unique(mirrored, dim=0, return_counts=True)
    assert torch.equal(cases, torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3]]))
    assert abs(int(counts[0]) - 2000) < 4 * 32  # standard deviation 32


def test_transpose_needs_square_images() -> None:
    with pytest.raises(ValueError, match=r"^transpose needs square images, but got 4x6: "):
        augment(torch.zeros(2, 3, 4, 6), "transpose", fresh())


# --- rotation and zoom


def test_no_rotation_is_the_identity() -> None:
    images = batch()
    same = ops.affine(images, torch.zeros(6), torch.ones(6))
    assert torch.allclose(same, images, atol=1e-5)


@pytest.mark.parametrize("degrees", [-15.0, 4.0, 15.0])
def test_rotation_as_scipy_rotates(degrees: float) -> None:
    images = batch(1, 3, 64)
    ours = ops.affine(images, torch.tensor([degrees]), torch.ones(1))[0]
    theirs = ndimage.rotate(
        images[0].numpy(), degrees, axes=(2, 1), order=1, reshape=False, mode="reflect"
    )
    # scipy turns from the first axis to the second: columns to rows is counter-clockwise.
    other_way = ndimage.rotate(
        images[0].numpy(), -degrees, axes=(2, 1), order=1, reshape=False, mode="reflect"
    )
    assert np.abs(ours.numpy() - theirs).max() < 1e-4
    assert np.abs(ours.numpy() - other_way).max() > 0.05


def test_rotation_is_counter_clockwise_as_in_pillow() -> None:
    values = batch(1, 1, 64)[0, 0].numpy()
    theirs = np.array(Image.fromarray(values).rotate(10, resample=Image.Resampling.BILINEAR))
    ours = ops.affine(torch.tensor(values)[None, None], torch.tensor([10.0]), torch.ones(1))
    inner = slice(12, -12)  # Pillow fills the corners with black
    assert np.abs(ours[0, 0].numpy() - theirs)[inner, inner].max() < 0.01


def test_quarter_turn_of_an_oblong_image_does_not_stretch_it() -> None:
    values = np.zeros((32, 64), dtype=np.float32)
    values[12:20, 24:40] = 1  # a bar, twice as wide as high, in the middle
    turned = ops.affine(torch.tensor(values)[None, None], torch.tensor([90.0]), torch.ones(1))
    expected = np.zeros((32, 64), dtype=np.float32)
    expected[8:24, 28:36] = 1
    # Columns farther than 16 from the middle come from beyond the upper and lower edge.
    assert np.abs(turned[0, 0].numpy() - expected)[:, 16:48].max() < 1e-3


def test_zoom_of_two_shows_the_middle_half_at_twice_the_size() -> None:
    values = np.zeros((16, 16), dtype=np.float32)
    values[4:12, 4:8] = 1  # the left half of the middle
    zoomed = ops.affine(torch.tensor(values)[None, None], torch.zeros(1), torch.tensor([2.0]))[
        0, 0
    ]
    assert torch.equal(zoomed[1:-1, 1:7], torch.ones(14, 6))
    assert torch.equal(zoomed[:, 9:-1], torch.zeros(16, 6))
    # Columns 7 and 8 lie a quarter of an input pixel either side of the bar's edge at 8.
    assert zoomed[8, 7:9].tolist() == pytest.approx([0.75, 0.25], abs=1e-5)


def test_zooming_out_mirrors_the_edge() -> None:
    ramp = torch.arange(8.0).div(8).expand(1, 1, 8, 8)
    small = ops.affine(ramp, torch.zeros(1), torch.tensor([0.5]))[0, 0, 4]
    # Input places -3.5, -1.5, 0.5, ..., 10.5; beyond the edges at -0.5 and 7.5 mirrored.
    expected = [2.5, 0.5, 0.5, 2.5, 4.5, 6.5, 6.5, 4.5]
    assert small.mul(8).tolist() == pytest.approx(expected, abs=1e-4)


def test_rotation_stays_within_15_degrees_and_zoom_within_15_percent() -> None:
    # A white half-plane: its edge tells the angle; a disc: its area tells the zoom.
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    plane = (y > 0).float().expand(500, 1, 64, 64)
    turned = augment(plane, "rotation", fresh())[:, 0]
    rise = (turned[:, :, 52] - turned[:, :, 11]).sum(dim=1)  # rows between columns 41 apart
    angles = torch.atan(rise / 41).rad2deg()
    assert angles.abs().max() < 15.2
    assert angles.min() < -14
    assert angles.max() > 14
    assert abs(float(angles.mean())) < 4 * 15 / math.sqrt(3 * 500)
    disc = (y.square() + x.square() < 20**2).float().expand(500, 1, 64, 64)
    zooms = (augment(disc, "zoom", fresh()).sum(dim=(1, 2, 3)) / disc[0].sum()).sqrt()
    assert 0.84 < zooms.min() < 0.86
    assert 1.14 < zooms.max() < 1.16


def test_rotation_with_zoom_resamples_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def affine(images: Tensor, degrees: Tensor, zoom: Tensor) -> Tensor:
        calls.append((degrees, zoom))
        return images

    monkeypatch.setattr(ops, "affine", affine)
    augment(batch(), "zoom+rotation", fresh())
    ((degrees, zoom),) = calls
    assert degrees.abs().max() > 1
    assert (zoom - 1).abs().max() > 0.01


# --- crop


def test_shift_by_hand() -> None:
    image = torch.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    images = image.expand(4, 1, 3, 3)
    moved = ops.shift(images, torch.tensor([0, 1, -1, 2]), torch.tensor([0, 0, 1, -2]), 2)
    expected = [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
        [[0, 4, 5], [0, 7, 8], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [3, 0, 0]],
    ]
    assert moved[:, 0].tolist() == expected


@pytest.mark.parametrize(("size", "limit"), [(28, 4), (32, 4), (64, 8), (299, 38)])
def test_crop_moves_each_way_by_up_to_an_eighth_of_the_side(size: int, limit: int) -> None:
    image = torch.zeros(1, size, size)
    image[0, size // 2, size // 2] = 1
    n = 400 if size < 100 else 40
    moved = augment(image.expand(n, 1, size, size), "crop", fresh())
    places = moved.nonzero()[:, 2:] - size // 2  # [n, 2]: down, right
    assert len(places) == n
    assert places.abs().max() <= limit
    if n == 400:  # 9 or 17 values on each axis, every one of them seen
        assert {int(v) for v in places[:, 0]} == set(range(-limit, limit + 1))
        assert {int(v) for v in places[:, 1]} == set(range(-limit, limit + 1))
        assert not torch.equal(places[:, 0], places[:, 1])


# --- light

PIXEL = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
PIXEL_GREY = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6  # 0.363


def test_brightness_by_hand() -> None:
    assert ops.brightness(PIXEL, torch.tensor([1.5])).flatten().tolist() == pytest.approx(
        [0.3, 0.6, 0.9]
    )
    assert ops.brightness(PIXEL, torch.tensor([2.0])).flatten().tolist() == pytest.approx(
        [0.4, 0.8, 1.0]
    )


def test_contrast_by_hand() -> None:
    image = torch.tensor([[[[0.2, 0.6]], [[0.2, 0.6]], [[0.2, 0.6]]]])  # grey, mean 0.4
    halved = ops.contrast(image, torch.tensor([0.5]))
    assert halved[0, 0, 0].tolist() == pytest.approx([0.3, 0.5])
    assert ops.contrast(image, torch.tensor([4.0]))[0, 1, 0].tolist() == [0, 1]
    one_channel = ops.contrast(image[:, :1], torch.tensor([0.5]))
    assert one_channel[0, 0, 0].tolist() == pytest.approx([0.3, 0.5])


def test_contrast_takes_the_mean_of_each_image_alone() -> None:
    images = torch.stack([torch.full((3, 2, 2), 0.1), torch.full((3, 2, 2), 0.9)])
    assert torch.allclose(ops.contrast(images, torch.tensor([0.5, 0.5])), images)


def test_colour_by_hand() -> None:
    grey = [PIXEL_GREY] * 3
    assert ops.colour(PIXEL, torch.tensor([0.0])).flatten().tolist() == pytest.approx(grey)
    half = [(v + PIXEL_GREY) / 2 for v in (0.2, 0.4, 0.6)]
    assert ops.colour(PIXEL, torch.tensor([0.5])).flatten().tolist() == pytest.approx(half)


def test_colour_leaves_one_channel_alone() -> None:
    images = batch(channels=1)
    assert torch.equal(augment(images, "colour", fresh()), images)


@pytest.mark.parametrize("name", ["contrast", "colour"])
def test_two_channels_have_no_grey(name: str) -> None:
    with pytest.raises(ValueError, match=r"need 1 or 3 channels, but got 2$"):
        augment(torch.zeros(1, 2, 4, 4), name, fresh())


@pytest.mark.parametrize("factor", [0.6, 1.4])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ops.brightness, ImageEnhance.Brightness),
        (ops.contrast, ImageEnhance.Contrast),
        (ops.colour, ImageEnhance.Color),
    ],
)
def test_light_as_pillow_has_it(ours: object, theirs: type, factor: float) -> None:
    levels = (batch(1)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    expected: NDArray[np.uint8] = np.array(theirs(Image.fromarray(levels)).enhance(factor))
    images = torch.tensor(levels).permute(2, 0, 1)[None] / 255
    assert callable(ours)
    got = ours(images, torch.tensor([factor]))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(got - expected).max() < 2  # Pillow rounds grey and mean to whole levels


@pytest.mark.parametrize(
    ("name", "low", "high"), [("brightness", 0.7, 1.3), ("contrast", 0.7, 1.3)]
)
def test_light_factors_fill_their_range(name: str, low: float, high: float) -> None:
    image = torch.tensor([[[0.4, 0.6]]])
    out = augment(image.expand(2000, 1, 1, 2), name, fresh())[:, 0, 0]
    factor = out[:, 0] / 0.4 if name == "brightness" else (out[:, 1] - out[:, 0]) / 0.2
    assert low <= factor.min() < low + 0.01
    assert high - 0.01 < factor.max() <= high + 1e-5
    assert abs(float(factor.mean()) - 1) < 4 * 0.6 / math.sqrt(12 * 2000)


# --- noise


@pytest.mark.parametrize(("name", "std"), [("gaussian_noise", 0.05), ("speckle_noise", 0.1 * 0.5)])
def test_noise_has_no_bias_and_its_standard_deviation(name: str, std: float) -> None:
    images = torch.full((4, 3, 100, 100), 0.5)
    noise = augment(images, name, fresh()) - 0.5
    count = noise.numel()  # 120,000; clipped nowhere: 0.5 is 10 standard deviations
    assert abs(float(noise.mean())) < 4 * std / math.sqrt(count)
    assert abs(float(noise.std()) - std) < 4 * std / math.sqrt(2 * count)
    assert not torch.equal(noise[:, 0], noise[:, 1])  # every channel its own


def test_speckle_grows_with_the_pixel() -> None:
    images = torch.tensor([0.0, 0.2, 0.4]).reshape(3, 1, 1, 1).expand(3, 1, 100, 100)
    black, dark, bright = augment(images, "speckle_noise", fresh()).std(dim=(1, 2, 3)).tolist()
    assert black == 0
    assert dark == pytest.approx(0.02, rel=0.05)
    assert bright == pytest.approx(0.04, rel=0.05)


def test_salt_and_pepper_take_one_percent_each_of_whole_pixels() -> None:
    images = torch.full((4, 3, 100, 100), 0.5)
    noisy = augment(images, "salt_pepper_noise", fresh())
    for value in (0, 1):
        hit = noisy == value
        assert torch.equal(hit[:, 0], hit[:, 1])
        assert torch.equal(hit[:, 0], hit[:, 2])
        # 40,000 pixels: 400 expected, standard deviation 20.
        assert abs(int(hit[:, 0].sum()) - 400) < 80
    assert int((noisy == 0.5).sum()) == noisy.numel() - 3 * int((noisy[:, 0] != 0.5).sum())


def test_replace_by_hand() -> None:
    uniform = torch.tensor([[[[0.0, 0.099, 0.1, 0.5, 0.899, 0.9, 0.999]]]])
    out = ops.replace(torch.full((1, 2, 1, 7), 0.5), uniform, 0.2)
    expected = [0, 0, 0.5, 0.5, 0.5, 1, 1]
    assert out[0, 0, 0].tolist() == expected
    assert out[0, 1, 0].tolist() == expected


# --- what all have in common

NAMES = (*OPS, "rotation+zoom", "+".join(OPS))


@pytest.mark.parametrize("name", NAMES)
def test_shape_range_type_and_memory_format_stay(name: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        images = batch().to(dtype).contiguous(memory_format=torch.channels_last)
        before = images.clone()
        out = augment(images, name, fresh())
        assert (out.shape, out.dtype, out.stride()) == (images.shape, dtype, images.stride())
        assert torch.equal(images, before), "the input was written to"
        assert not torch.equal(out, images)
        assert float(out.min()) >= 0
        assert float(out.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_extremes_stay_in_range(name: str) -> None:
    images = (batch() > 0.5).float()
    out = augment(images, name, fresh())
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_memory_format_and_type_do_not_change_the_draws(name: str) -> None:
    images = batch()
    out = augment(images, name, fresh())
    last = augment(images.contiguous(memory_format=torch.channels_last), name, fresh())
    assert out.is_contiguous()
    assert torch.allclose(out, last, atol=1e-6)
    # Rounding the input to bfloat16 (2**-9 relative) and the output again is all that differs;
    # contrast and colour widen it by their factors, at most 1.3 times 2.
    narrow = augment(images.bfloat16(), name, fresh()).float()
    assert (narrow - out).abs().max() < 0.012


@pytest.mark.parametrize("name", NAMES)
def test_equal_images_of_a_batch_come_out_different(name: str) -> None:
    images = batch(1).expand(16, -1, -1, -1)
    out = augment(images, name, fresh())
    # 4 or more different ones: a flip has no more, a mirroring or a transposition only two.
    least = 2 if name in ("mirror", "transpose") else 4
    assert len({image.numpy().tobytes() for image in out}) >= least


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_state_same_result_and_no_other_randomness(name: str) -> None:
    images, state = batch(), torch.get_rng_state()
    first = augment(images, name, generator(3, "augment", 1))
    assert torch.equal(first, augment(images, name, generator(3, "augment", 1)))
    assert not torch.equal(first, augment(images, name, generator(3, "augment", 2)))
    assert torch.equal(torch.get_rng_state(), state)


def test_one_generator_gives_the_next_batch_other_draws() -> None:
    images, epoch = batch(), fresh()
    first = augment(images, "brightness", epoch)
    assert not torch.equal(first, augment(images, "brightness", epoch))


def test_spelling_does_not_matter() -> None:
    images = batch()
    first = augment(images, "flip+rotation+brightness", fresh())
    assert torch.equal(first, augment(images, "brightness+flip+rotation", fresh()))


def test_none_returns_the_batch_itself_and_draws_nothing() -> None:
    images, unused = batch(), fresh()
    assert augment(images, "none", unused) is images
    assert torch.equal(unused.get_state(), fresh().get_state())


def test_no_gradient_is_recorded() -> None:
    images = batch().requires_grad_()
    assert not augment(images, "+".join(OPS), fresh()).requires_grad


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), r"uint8 \[2, 3, 4, 4\]"),
        (torch.zeros(3, 4, 4), r"float32 \[3, 4, 4\]"),
    ],
)
def test_other_images_are_refused(images: Tensor, found: str) -> None:
    with pytest.raises(ValueError, match=rf"^images must be float \[n, .* but got {found}$"):
        augment(images, "flip", fresh())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_on_the_gpu(name: str) -> None:
    images = batch().cuda().contiguous(memory_format=torch.channels_last)
    out = augment(images, name, generator(3, "augment", 1, device="cuda"))
    assert out.device == images.device
    assert out.stride() == images.stride()
    assert torch.equal(out, augment(images, name, generator(3, "augment", 1, device="cuda")))
