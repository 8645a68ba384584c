"""What surrounds a rendered bean leaf: ground, other leaves, a hand, light and the camera."""

import numpy as np
from numpy.typing import NDArray

from trainables.data.leaf_paint import F32, blend, blur, pick_colour, ramp, smooth_noise
from trainables.data.leaf_shape import Leaf, draw_leaf, grown_pose, vein_alpha

GREENS = ((0.20, 0.42, 0.12), (0.34, 0.56, 0.17), (0.40, 0.57, 0.33), (0.25, 0.47, 0.22))
SOILS = ((0.42, 0.27, 0.19), (0.30, 0.22, 0.17), (0.52, 0.44, 0.38), (0.55, 0.36, 0.26))
SKINS = ((0.38, 0.24, 0.18), (0.55, 0.38, 0.30), (0.74, 0.55, 0.45), (0.85, 0.66, 0.56))


def background(rng: np.random.Generator, size: int) -> F32:
    """Return a picture [size, size, 3] of soil or foliage, with leaves on it, out of focus."""
    fine, coarse = smooth_noise(rng, size, 50), smooth_noise(rng, size, 6)
    ground = pick_colour(rng, SOILS if rng.random() < 0.6 else GREENS)
    picture = ground * (1 + 0.12 * fine + 0.22 * coarse)[..., None]
    patches = np.clip(smooth_noise(rng, size, 9) - rng.uniform(-1, 3), 0, 1)
    blend(picture, pick_colour(rng, SOILS + GREENS), patches)
    for _ in range(rng.integers(0, 4)):
        _leaf_behind(rng, picture)
    picture = blur(picture, rng.uniform(1.5, 4.0) * size / 160)
    grey = picture.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(0.36 * picture + 0.24 * grey, 0.02, 1), np.float32)


def siblings(rng: np.random.Generator, picture: F32, leaf: Leaf, green: F32) -> None:
    """Paint the two side leaflets of a bean leaf, which has three, in the same green."""
    pose = leaf.pose
    for side in (-1, 1):
        angle = float(pose.angle + side * rng.uniform(1.2, 2.2))
        length = float(pose.length * rng.uniform(0.6, 1))
        other = draw_leaf(grown_pose(rng, pose.base, angle, length), len(picture))
        cast_shadow(picture, other)
        blend(picture, tissue(rng, other, green * np.float32(rng.uniform(0.8, 1.1))), other.alpha)


def cast_shadow(picture: F32, leaf: Leaf) -> None:
    """Darken, in place, what lies below the leaf and to its lower right."""
    shift = max(1, len(picture) // 40)
    below = np.pad(leaf.depth, ((shift, 0), (shift, 0)), mode="edge")[:-shift, :-shift]
    picture *= 1 - np.float32(0.55) * ramp(-below, 5.0)[..., None]


def _leaf_behind(rng: np.random.Generator, picture: F32) -> None:
    base = (float(rng.uniform(-1.1, 1.1)), float(rng.uniform(-1.1, 1.1)))
    pose = grown_pose(rng, base, float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.7, 1.3)))
    leaf = draw_leaf(pose, len(picture))
    cast_shadow(picture, leaf)
    blend(picture, tissue(rng, leaf, pick_colour(rng, GREENS)), leaf.alpha)


def tissue(rng: np.random.Generator, leaf: Leaf, green: F32) -> F32:
    """Return a picture of the leaf's surface: green, mottled, folded, with paler veins."""
    half = np.where(leaf.v < 0, 1, -1) * np.float32(rng.normal(0, 0.10))
    between = leaf.zone - np.floor(leaf.zone) - np.float32(0.5)
    bulge = between * np.float32(rng.normal(0, 0.22)) * np.clip(np.abs(leaf.v) * 8, 0, 1)
    mottle = smooth_noise(rng, len(leaf.u), 12) * np.float32(0.05)
    picture = np.asarray(green * (1 + half + bulge + mottle)[..., None], np.float32)
    vein = green * np.float32(0.6) + np.float32(0.4) * np.array([0.68, 0.76, 0.46], np.float32)
    blend(picture, vein, vein_alpha(leaf) * np.float32(rng.uniform(0.3, 0.9)))
    return picture


def hold(rng: np.random.Generator, picture: F32, leaf: Leaf) -> None:
    """Paint a thumb on the leaf's base, coming from outside the leaf."""
    size, pose = len(picture), leaf.pose
    skin, width = pick_colour(rng, SKINS), rng.uniform(0.14, 0.22)
    turn, reach = pose.angle + rng.normal(0, 0.5), rng.uniform(-0.1, 0.08) * pose.length
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    x, y = axis[None] - np.float32(pose.base[0]), axis[:, None] - np.float32(pose.base[1])
    along = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn)) - np.float32(reach)
    across = y * np.float32(np.cos(turn)) - x * np.float32(np.sin(turn))
    distance = np.hypot(np.maximum(along, 0), across) - np.float32(width)
    cover = ramp(distance * np.float32(size / 2), 1.5)
    round_light = np.clip(1.1 - (across / np.float32(width)) ** 2 * np.float32(0.5), 0.4, 1.2)
    blend(picture, np.asarray(skin * round_light[..., None], np.float32), cover)
    nail = np.hypot((along + width * 0.1) / 1.1, across * 1.3) - np.float32(width * 0.6)
    blend(picture, skin * 0.7 + 0.28, ramp(nail * np.float32(size / 2), 1.5) * np.float32(0.7))


def light(rng: np.random.Generator, picture: F32) -> None:
    """Light the scene, in place: brighter from one side, darker under soft or hard shadows."""
    size = len(picture)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    side = axis[None] * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
    edge = smooth_noise(rng, size, 3) - np.float32(rng.uniform(-0.2, 2.2))
    shadow = np.clip(edge * np.float32(rng.uniform(1, 4)), 0, 1)
    shade = (1 + np.float32(slope) * side) * (1 - shadow * np.float32(rng.uniform(0.1, 0.4)))
    picture *= shade[..., None] * np.float32(np.exp(rng.normal(0.08, 0.05)))


def photograph(rng: np.random.Generator, picture: F32) -> NDArray[np.uint8]:
    """Return the picture as a cheap camera takes it: uint8, with blur, colour cast and noise."""
    taken = blur(picture, rng.uniform(0.2, 0.8) * len(picture) / 160)
    taken = taken * np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0.004, 0.02))
    return np.round(np.clip(taken + grain, 0, 1) * 255).astype(np.uint8)
