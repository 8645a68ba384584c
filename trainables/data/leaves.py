"""Bean leaves, drawn: one picture of a healthy or a diseased leaf as a pure function of a seed.

Leaf, surroundings, marks and camera have generators of their own, so that the same seed
gives the same leaf in the same light whatever its disease.
"""

import numpy as np
from numpy.typing import NDArray

from trainables.data import leaf_marks as marks
from trainables.data import leaf_scene as scene
from trainables.data.leaf_paint import F32, blend, pick_colour, ramp
from trainables.data.leaf_shape import Cells, Leaf, draw_cells, draw_leaf, random_pose
from trainables.seeds import derive

CLASSES = ("angular_leaf_spot", "bean_rust", "healthy")
ANGULAR, RUST, HEALTHY = range(3)
SIZE = 160  # pixels per side


def render_leaf(seed: int, label: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Return a picture [size, size, 3] uint8 of a leaf of class `label`, decided by `seed`."""
    around = _generator(seed, "scene")
    leaf, cells = _grow(seed, size)
    green = pick_colour(around, scene.GREENS)
    picture = scene.background(around, size)
    surface = _surface(seed, label, leaf, cells, green, picture)
    if around.random() < 0.4:
        scene.siblings(around, picture, leaf, green)
    scene.cast_shadow(picture, leaf)
    blend(picture, surface, leaf.alpha)
    if around.random() < 0.4:
        scene.hold(around, picture, leaf)
    scene.light(around, picture)
    return scene.photograph(_generator(seed, "camera"), picture)


def leaf_coverage(seed: int, size: int = SIZE) -> F32:
    """Return how much of each pixel [size, size] the leaf of `seed` covers, in [0, 1]."""
    return _grow(seed, size)[0].alpha


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive(seed, "leaf", purpose))


def _grow(seed: int, size: int) -> tuple[Leaf, Cells]:
    rng = _generator(seed, "shape")
    leaf = draw_leaf(random_pose(rng), size)
    return leaf, draw_cells(rng, leaf)


def _surface(seed: int, label: int, leaf: Leaf, cells: Cells, green: F32, behind: F32) -> F32:
    """Return a picture of the leaf's surface, marked, before it is lit."""
    rng, ill = _generator(seed, "surface"), _generator(seed, "disease")
    surface = scene.tissue(rng, leaf, green)
    net = np.zeros_like(leaf.alpha)
    net[cells.rows, cells.columns] = ramp(cells.edge - 0.3, 0.8)
    blend(surface, green * np.float32(rng.uniform(0.75, 1.3)), net * np.float32(0.5))
    marks.blemishes(rng, surface, behind, leaf)
    if label == ANGULAR:
        marks.angular_spots(ill, surface, leaf, cells)
    elif label == RUST:
        marks.rust_pustules(ill, surface, leaf, cells)
    marks.gleams(rng, surface, leaf)
    return surface
