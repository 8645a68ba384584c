"""The geometry of one bean leaflet: outline, veins and the cells between them.

A leaflet has its own coordinates: u runs along the midrib from base (0) to tip (1), v across it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trainables.data.leaf_paint import F32, ramp

# Spacing of the smallest vein cells, as a fraction of the leaf's length: a lesion of
# angular leaf spot fills one to a few of them.
CELL_SPACING = 0.055


@dataclass(frozen=True)
class Pose:
    """Where a leaflet lies and how it grew; lengths in units of half the picture's side."""

    base: tuple[float, float]  # x, y of the base; the picture spans [-1, 1]
    angle: float  # direction of the tip, radians from the x axis
    length: float
    half_widths: tuple[float, float]  # left and right of the midrib, in units of length
    taper: float  # exponent of the outline at the tip; above 1 the tip is drawn out
    bend: float  # sideways curvature of the midrib
    waves: tuple[float, float, float]  # amplitude, frequency and phase of the margin
    veins: float  # lateral veins per side
    slant: float  # advance of a lateral vein along u per unit of v


@dataclass(frozen=True)
class Leaf:
    """A leaflet drawn on the pixel grid; all arrays are [size, size]."""

    pose: Pose
    u: F32
    v: F32
    depth: F32  # pixels from the margin, positive inside
    alpha: F32  # coverage, in [0, 1]
    zone: F32  # count of lateral veins below the pixel: the fraction is the place between two


@dataclass(frozen=True)
class Cells:
    """The finest net of veins: polygons, each within one zone between two lateral veins."""

    rows: NDArray[np.intp]  # [n_pixels] row of each pixel of the leaf
    columns: NDArray[np.intp]
    nearest: NDArray[np.intp]  # [n_pixels] cell of each pixel
    own_zone: NDArray[np.bool_]  # [n_pixels] whether pixel and cell lie between the same veins
    edge: F32  # [n_pixels] pixels to the border of the cell, about
    sites: F32  # [n_cells, 2] u and v of each cell's middle
    inside: NDArray[np.intp]  # cells that lie well inside the outline


def random_pose(rng: np.random.Generator) -> Pose:
    """Return a leaflet near the middle of the picture, its tip in any direction."""
    angle, length = rng.uniform(-np.pi, np.pi), rng.uniform(1.6, 2.3)
    middle = rng.normal(0, 0.12, 2) - 0.45 * length * np.array([np.cos(angle), np.sin(angle)])
    return grown_pose(rng, (float(middle[0]), float(middle[1])), float(angle), float(length))


def grown_pose(
    rng: np.random.Generator, base: tuple[float, float], angle: float, length: float
) -> Pose:
    """Return a leaflet at a given place whose form is random."""
    wide = rng.uniform(0.32, 0.47)
    return Pose(
        base=base,
        angle=angle,
        length=length,
        half_widths=(wide * rng.uniform(0.8, 1.1), wide * rng.uniform(0.8, 1.1)),
        taper=rng.uniform(0.8, 1.25),
        bend=rng.normal(0, 0.12),
        waves=(rng.uniform(0, 0.05), rng.uniform(2, 6), rng.uniform(0, 6.3)),
        veins=rng.uniform(6, 9.5),
        slant=rng.uniform(0.55, 0.95),
    )


def outline(pose: Pose, u: F32, v: F32) -> F32:
    """Return the half width of the leaf at u on the side of v, in units of its length.

    An ovate outline, u^0.5 (1 - u)^taper, scaled to the half width at its widest.
    """
    along = np.clip(u, 0, 1)
    widest = 0.5 / (0.5 + pose.taper)
    top = widest**0.5 * (1 - widest) ** pose.taper
    left, right = pose.half_widths
    amplitude, frequency, phase = pose.waves
    wave = 1 + amplitude * np.sin(6.2832 * frequency * along + phase + np.sign(v))
    profile = np.sqrt(along) * (1 - along) ** np.float32(pose.taper) / np.float32(top)
    return np.asarray(np.where(v < 0, left, right) * profile * wave, np.float32)


def draw_leaf(pose: Pose, size: int) -> Leaf:
    """Lay the leaflet on a grid of `size` x `size` pixels."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    x, y = axis[None] - np.float32(pose.base[0]), axis[:, None] - np.float32(pose.base[1])
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    scale = np.float32(1 / pose.length)
    u, v = (x * cos + y * sin) * scale, (y * cos - x * sin) * scale
    v = v - np.float32(pose.bend) * u * (1 - u)
    margin = outline(pose, u, v) - np.abs(v) - np.maximum(0, np.maximum(-u, u - 1))
    down, across = np.gradient(margin)
    pixel = 2 / size * scale  # the outline is steep without bound at the base: bound it
    depth = margin / np.clip(np.hypot(down, across), np.float32(0.7) * pixel, 2 * pixel)
    return Leaf(pose, u, v, depth, ramp(-depth, 1.0), _zone(pose, u, v))


def _zone(pose: Pose, u: F32, v: F32) -> F32:
    """Lateral veins leave the midrib slanted and curve towards the tip; the sides alternate."""
    out = np.abs(v)
    foot = u - np.float32(pose.slant) * out - np.float32(0.5) * out**2
    return np.asarray(foot * np.float32(pose.veins) + np.where(v < 0, 20.0, 60.45), np.float32)


def draw_cells(rng: np.random.Generator, leaf: Leaf) -> Cells:
    """Cut the leaf into polygons: a jittered Voronoi net, cut again by the lateral veins."""
    grid = np.stack(
        np.meshgrid(np.arange(0, 1, CELL_SPACING), np.arange(-0.55, 0.55, CELL_SPACING)), axis=-1
    ).reshape(-1, 2)
    sites = (grid + rng.uniform(-0.45, 0.45, grid.shape) * CELL_SPACING).astype(np.float32)
    rows, columns = np.nonzero(leaf.depth > 0)
    pixels = np.stack([leaf.u[rows, columns], leaf.v[rows, columns]], axis=1)
    found = cKDTree(sites).query(pixels, k=2)
    distance, index = np.asarray(found[0], np.float32), np.asarray(found[1], np.intp)
    pixels_per_unit = leaf.pose.length * len(leaf.u) / 2
    edge = (distance[:, 1] - distance[:, 0]) * np.float32(pixels_per_unit / 2)
    site_u, site_v = sites[:, 0], sites[:, 1]
    site_zone = np.floor(_zone(leaf.pose, site_u, site_v))
    own = np.floor(leaf.zone[rows, columns]) == site_zone[index[:, 0]]
    room = outline(leaf.pose, site_u, site_v) - np.abs(site_v)
    inside = np.flatnonzero((room > 0.02) & (site_u > 0.08))
    return Cells(rows, columns, index[:, 0], own, edge, sites, inside)


def vein_alpha(leaf: Leaf) -> F32:
    """Return how strongly midrib and lateral veins show at each pixel, in [0, 1]."""
    pose, out = leaf.pose, np.abs(leaf.v)
    pixels = np.float32(pose.length * len(leaf.u) / 2)
    slope = np.hypot(np.float32(1), np.float32(pose.slant) + out)
    beside = np.abs(leaf.zone - np.round(leaf.zone)) * pixels / (np.float32(pose.veins) * slope)
    fade = np.asarray(np.clip(1 - out * 2.2, 0.25, 1), np.float32)
    unit = float(pixels) / 100  # widths below are of a leaf of 100 pixels
    lateral = ramp(beside - unit * 0.35 * fade, 1.0) * fade * np.float32(0.7)
    midrib = ramp(out * pixels - unit * (1.3 - 0.9 * np.clip(leaf.u, 0, 1)), 1.0)
    return np.asarray(np.maximum(lateral, midrib), np.float32)
