"""What marks a bean leaf: the two diseases, and the blemishes that every leaf may have.

The blemishes share the diseases' colours and sizes, so that colour alone doesn't tell a disease.
"""

import numpy as np
from numpy.typing import NDArray

from trainables.data.leaf_paint import (
    F32,
    Colour,
    blend,
    blur,
    pick_colour,
    ramp,
    smooth_noise,
    spots,
)
from trainables.data.leaf_shape import Cells, Leaf

Indices = NDArray[np.intp]

BROWNS = ((0.34, 0.20, 0.11), (0.42, 0.29, 0.18), (0.24, 0.15, 0.10), (0.46, 0.37, 0.26))
RUSTS = ((0.68, 0.36, 0.10), (0.55, 0.26, 0.08), (0.76, 0.46, 0.16), (0.46, 0.25, 0.11))
PALES = ((0.72, 0.74, 0.32), (0.80, 0.76, 0.42), (0.62, 0.70, 0.30))
DIRT = ((0.42, 0.27, 0.15), (0.25, 0.18, 0.13), (0.58, 0.42, 0.28), (0.60, 0.34, 0.14))


def angular_spots(rng: np.random.Generator, picture: F32, leaf: Leaf, cells: Cells) -> None:
    """Paint angular leaf spot: brown polygons that end at veins, their rims darker."""
    chosen = np.zeros(len(cells.sites), bool)
    for site in _clustered(rng, cells, round(float(np.exp(rng.uniform(2.0, 3.7))))):
        nearby = np.argsort(np.square(cells.sites - cells.sites[site]).sum(axis=1))
        chosen[nearby[: rng.integers(1, 4)]] = True
    hit = chosen[cells.nearest] & cells.own_zone
    cover = np.zeros_like(leaf.alpha)
    cover[cells.rows[hit], cells.columns[hit]] = 1.0
    rim = cover - blur(cover, 1.6)
    _tint(rng, picture, leaf, cover, (0.36, 0.28, 0.14), 1.6)
    halo = np.clip(blur(cover, 3.5) * 1.3, 0, 1) * leaf.alpha * np.float32(rng.uniform(0, 0.35))
    blend(picture, pick_colour(rng, PALES), halo)
    strength = np.float32(rng.uniform(0.75, 1))
    speckle = 1 + 0.12 * smooth_noise(rng, len(cover), 60)
    brown = pick_colour(rng, BROWNS) * (speckle * (1 - 0.5 * np.clip(rim, 0, 1)))[..., None]
    blend(picture, brown, blur(cover, 0.5) * strength * leaf.alpha)


def rust_pustules(rng: np.random.Generator, picture: F32, leaf: Leaf, cells: Cells) -> None:
    """Paint bean rust: small round rust-brown pustules, each in a pale or yellow ring."""
    count = round(float(np.exp(rng.uniform(3.2, 4.9))))
    centres = _places(rng, leaf, cells, _clustered(rng, cells, count))
    radii = rng.uniform(0.006, 0.013) * rng.uniform(0.7, 1.4, count) * len(leaf.u)
    radii = np.maximum(radii, 0.7)
    stretch = rng.uniform(0.85, 1.15, count).astype(np.float32)
    ring = np.asarray(radii * rng.uniform(1.6, 2.4), np.float32)
    halo = spots(len(leaf.u), centres, ring, stretch, 1.5) * leaf.alpha
    blend(picture, pick_colour(rng, PALES), halo * np.float32(rng.uniform(0.4, 0.75)))
    _tint(rng, picture, leaf, halo, (0.76, 0.66, 0.26), 1.3)
    core = spots(len(leaf.u), centres, radii.astype(np.float32), stretch, 1.0) * leaf.alpha
    blend(picture, pick_colour(rng, RUSTS), core * np.float32(rng.uniform(0.8, 1)))


def _tint(
    rng: np.random.Generator, picture: F32, leaf: Leaf, cover: F32, colour: Colour, most: float
) -> None:
    """Discolour the tissue around many lesions, widely and weakly, as sick leaves do."""
    wide = np.clip(blur(cover, len(cover) / 16) * np.float32(rng.uniform(0.3, 1) * most), 0, 0.6)
    blend(picture, colour, wide * leaf.alpha)


def blemishes(rng: np.random.Generator, picture: F32, behind: F32, leaf: Leaf) -> None:
    """Paint what any leaf may have: yellowing, dirt, holes eaten by insects, a dry margin."""
    size = len(leaf.u)
    patches = np.clip(smooth_noise(rng, size, 4) - rng.uniform(0.2, 2.5), 0, 1)
    blend(picture, pick_colour(rng, PALES), patches * leaf.alpha * np.float32(0.6))
    ragged = leaf.depth * np.float32(40 / size) + 2 * smooth_noise(rng, size, 8)
    dry = ramp(ragged, 1.0) * leaf.alpha * np.float32(rng.uniform(0, 0.5))
    blend(picture, pick_colour(rng, BROWNS), dry)
    for palette, most in ((DIRT, 12), (PALES, 8), (BROWNS, 5)):
        cover = _scatter(rng, size, int(rng.integers(0, most)), 0.003, 0.012)
        blend(picture, pick_colour(rng, palette, 0.06), cover * leaf.alpha * np.float32(0.8))
    holes = _scatter(rng, size, int(rng.integers(0, 5)), 0.008, 0.028)
    rims = np.asarray(np.clip(blur(holes, 1.0) * 2, 0, 1), np.float32)
    blend(picture, pick_colour(rng, BROWNS), rims * leaf.alpha)
    blend(picture, np.asarray(behind * 0.7, np.float32), holes * leaf.alpha)


def gleams(rng: np.random.Generator, picture: F32, leaf: Leaf) -> None:
    """Paint small highlights, of dew or of a waxy surface, on top of everything on the leaf."""
    cover = _scatter(rng, len(leaf.u), int(rng.integers(0, 14)), 0.003, 0.009)
    blend(picture, (0.92, 0.95, 0.93), cover * leaf.alpha * np.float32(rng.uniform(0.3, 0.9)))


def _scatter(rng: np.random.Generator, size: int, count: int, low: float, high: float) -> F32:
    """Cover the picture with `count` spots anywhere, of radii in units of the picture's side."""
    centres = rng.uniform(0, size, (count, 2)).astype(np.float32)
    radii = np.maximum(rng.uniform(low, high, count) * size, 0.6).astype(np.float32)
    return spots(size, centres, radii, rng.uniform(0.6, 1.6, count).astype(np.float32), 1.0)


def _clustered(rng: np.random.Generator, cells: Cells, count: int) -> Indices:
    """Draw `count` cells, more of them around a focus than elsewhere: diseases spread."""
    sites = cells.sites[cells.inside]
    focus = sites[rng.integers(len(sites))]
    away = np.square(sites - focus).sum(axis=1) / rng.uniform(0.02, 0.3)
    weights = np.exp(-away) + rng.uniform(0.02, 0.5)
    return np.asarray(rng.choice(cells.inside, count, p=weights / weights.sum()), np.intp)


def _places(rng: np.random.Generator, leaf: Leaf, cells: Cells, chosen: Indices) -> F32:
    """Return a random pixel [n, 2] of the picture inside each of the chosen cells."""
    u, v = (cells.sites[chosen] + rng.normal(0, 0.02, (len(chosen), 2))).T
    pose, size = leaf.pose, len(leaf.u)
    v = v + pose.bend * u * (1 - u)
    x = pose.base[0] + pose.length * (u * np.cos(pose.angle) - v * np.sin(pose.angle))
    y = pose.base[1] + pose.length * (u * np.sin(pose.angle) + v * np.cos(pose.angle))
    return (np.stack([y, x], axis=1).astype(np.float32) + 1) * np.float32(size / 2) - 0.5
