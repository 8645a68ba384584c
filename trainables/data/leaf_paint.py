"""Painting for the rendered bean leaves: smooth noise, colours, blending and round spots.

Pictures are float32 [size, size, 3] in [0, 1], coverages ("alpha") float32 [size, size] in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

F32 = NDArray[np.float32]
Colour = Sequence[float] | F32


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> F32:
    """Return [size, size] noise of about unit variance whose bumps are `size / cells` wide."""
    coarse = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    grown = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(grown, np.float32)


def pick_colour(rng: np.random.Generator, palette: Sequence[Colour], jitter: float = 0.03) -> F32:
    """Return a random mixture [3] of the palette's colours, shifted by `jitter` per channel."""
    weights = rng.dirichlet(np.full(len(palette), 1.0))
    mixed = weights @ np.asarray(palette) + rng.normal(0, jitter, 3)
    return np.asarray(np.clip(mixed, 0.02, 0.98), np.float32)


def blend(picture: F32, colour: Colour, alpha: F32) -> None:
    """Paint `colour` ([3] or a picture) over `picture`, in place, with coverage `alpha`."""
    picture += alpha[..., None] * (np.asarray(colour, np.float32) - picture)


def blur(values: F32, sigma: float) -> F32:
    """Return `values` blurred along the first two axes by a Gaussian of `sigma` pixels."""
    sigmas = (sigma, sigma, 0.0)[: values.ndim]
    return np.asarray(ndimage.gaussian_filter(values, sigmas, truncate=2.5, mode="nearest"))


def ramp(distance: F32, width: float) -> F32:
    """Return 1 where `distance` is below 0, 0 beyond `width`, and a straight ramp between."""
    return np.asarray(np.clip(1.0 - distance / np.float32(width), 0.0, 1.0), np.float32)


def spots(size: int, centres: F32, radii: F32, stretch: F32, softness: float) -> F32:
    """Return the coverage [size, size] of round spots.

    Args:
        size: Side of the picture in pixels.
        centres: [n, 2] row and column in pixels.
        radii: [n] in pixels.
        stretch: [n] ratio of a spot's width to its height; 1 is a disc.
        softness: Width in pixels over which an edge fades.
    """
    cover = np.zeros((size, size), np.float32)
    for (row, column), radius, wide in zip(centres, radii, stretch, strict=True):
        reach = float(radius) * max(1.0, float(wide)) + softness + 1
        top, left = max(0, int(row - reach)), max(0, int(column - reach))
        bottom, right = int(row + reach) + 2, int(column + reach) + 2
        part = cover[top:bottom, left:right]
        rows = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - row
        columns = np.arange(left, left + part.shape[1], dtype=np.float32)[None] - column
        distance = np.sqrt(rows**2 + (columns / wide) ** 2)
        np.maximum(part, ramp(distance - radius, softness), out=part)
    return cover
