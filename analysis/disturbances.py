"""What happens to pictures outside the laboratory: pure functions of uint8 images and a strength.

Images are uint8 [n, height, width, channels], channels 1 (grey) or 3 (sRGB), as the network gets
them; so is what every function returns. Sizes are relative to the side of the image: the same
disturbance means the same at 28 pixels and at 299.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.seeds import derive

Images = NDArray[np.uint8]  # [n, height, width, channels]
Each = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Disturbance:
    """A kind of disturbance at five strengths, the mildest first; `unit` says what they count.

    `apply(images, strength, seed)` depends on nothing else.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Images, float, int], Images]


def darken(images: Images, stops: float) -> Images:
    """Return images in 2^-stops of the light, as a camera with fixed exposure stores them.

    Light is linear, pixels are not: both ways by the curve of IEC 61966-2-1 (sRGB). Rounding to
    8 bits loses what the dark leaves no levels for. A day has about 5 stops more light than an
    overcast dusk.

    Raises:
        ValueError: fewer than 0 stops.
    """
    if stops < 0:
        raise ValueError(f"stops >= 0 must hold, but got {stops}")
    levels = np.arange(256) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    dim = light * 2.0**-stops
    pixels = np.where(dim <= 0.0031308, dim * 12.92, 1.055 * dim ** (1 / 2.4) - 0.055)
    table: Images = np.rint(pixels * 255).astype(np.uint8)
    return table[images]


def blur(images: Images, percent: float) -> Images:
    """Return images under a Gaussian blur whose sigma is `percent` % of the shorter side.

    Beyond the edge the image is mirrored, so no dark border moves in.

    Raises:
        ValueError: a sigma below 0.
    """
    if percent < 0:
        raise ValueError(f"percent >= 0 must hold, but got {percent}")
    from scipy.ndimage import gaussian_filter

    sigma = percent / 100 * min(images.shape[1:3])
    blurred = np.empty_like(images)
    for number, image in enumerate(images):  # one at a time: floats take four times the memory
        smooth = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0))
        blurred[number] = np.rint(smooth).astype(np.uint8)
    return blurred


def noise(images: Images, std: float, seed: int) -> Images:
    """Return images with Gaussian noise of `std` levels (of 255) on every value, clipped.

    The draw of an image depends on `seed` and its place alone, not on `std`: a stronger noise is
    the same noise, larger.

    Raises:
        ValueError: a negative `std`.
    """
    if std < 0:
        raise ValueError(f"std >= 0 must hold, but got {std}")
    noisy = np.empty_like(images)
    for number, image in enumerate(images):
        draws = np.random.default_rng(derive(seed, "robustness", "noise", number))
        values = image + std * draws.standard_normal(image.shape, dtype=np.float32)
        noisy[number] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return noisy


def lower_resolution(images: Images, times: float) -> Images:
    """Return images that were scaled down to 1/`times` of each side and up again.

    Down by the mean over each pixel's area, up bilinear, as a viewer enlarges a small picture.

    Raises:
        ValueError: `times` below 1.
    """
    if times < 1:
        raise ValueError(f"times >= 1 must hold, but got {times}")
    height, width = images.shape[1:3]
    small = max(1, round(width / times)), max(1, round(height / times))

    def there_and_back(image: Image.Image) -> Image.Image:
        tiny = image.resize(small, Image.Resampling.BOX)
        return tiny.resize((width, height), Image.Resampling.BILINEAR)

    return _each(images, there_and_back)


def jpeg(images: Images, quality: float) -> Images:
    """Return images that were stored as JPEG of libjpeg's `quality`, 1 to 95, and read again.

    Colour has half the resolution (4:2:0), as cameras and Pillow store it.

    Raises:
        ValueError: another quality.
    """
    if not 1 <= quality <= 95:
        raise ValueError(f"quality must lie in 1 to 95, but got {quality}")

    def stored(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        return Image.open(file)

    return _each(images, stored)


def _each(images: Images, change: Each) -> Images:
    changed = np.empty_like(images)
    for number, image in enumerate(images):
        grey = image.shape[-1] == 1
        found = change(Image.fromarray(image[..., 0] if grey else image))
        changed[number] = np.asarray(found).reshape(image.shape)
    return changed


def _seedless(
    function: Callable[[Images, float], Images], images: Images, strength: float, _seed: int
) -> Images:
    return function(images, strength)


DISTURBANCES = (
    Disturbance("darkening", "stops less light", (1, 2, 3, 4, 5), partial(_seedless, darken)),
    Disturbance("blur", "sigma in % of the side", (1.5, 3, 4.5, 6, 8), partial(_seedless, blur)),
    Disturbance("noise", "std in levels of 255", (10, 20, 40, 60, 80), noise),
    Disturbance(
        "resolution", "times fewer pixels a side", (2, 3, 4, 6, 8),
        partial(_seedless, lower_resolution),
    ),
    Disturbance("jpeg", "JPEG quality", (50, 30, 20, 10, 5), partial(_seedless, jpeg)),
)  # fmt: skip
"""Five kinds at five strengths each, from what a phone does by itself to what hides most of it.
The blur is 0.4 to 2.2 pixels wide on a digit of 28, 4.5 to 24 on a leaf of 299."""
