"""The silhouettes of `trainables.data.objects`: polygons in a unit square, y downwards.

Parts are drawn in order, later ones on top. Animals and vehicles are seen from the side, the
head or the front to the right; the frog and the airplane from above.
"""

from typing import NamedTuple

import numpy as np

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SCENES = {
    "airplane": ("sky",),
    "automobile": ("road",),
    "bird": ("sky", "meadow"),
    "cat": ("wood", "sand"),
    "deer": ("wood", "meadow"),
    "dog": ("sand", "meadow"),
    "frog": ("meadow", "wood"),
    "horse": ("meadow", "sand"),
    "ship": ("water",),
    "truck": ("road",),
}


class Part(NamedTuple):
    """A filled polygon; tone is body, accent, dark or light."""

    tone: str
    corners: tuple[tuple[float, float], ...]


def _poly(tone: str, *xy: float) -> Part:
    return Part(tone, tuple(zip(xy[::2], xy[1::2], strict=True)))


def _oval(tone: str, x: float, y: float, wide: float, high: float) -> Part:
    """Return an ellipse around (x, y) of the given half axes, as a polygon of 14 corners."""
    turns = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return Part(tone, tuple((x + wide * np.cos(t), y + high * np.sin(t)) for t in turns))


def _box(tone: str, left: float, top: float, right: float, bottom: float) -> Part:
    return _poly(tone, left, top, right, top, right, bottom, left, bottom)


def _legs(tone: str, top: float, bottom: float, width: float, *lefts: float) -> tuple[Part, ...]:
    return tuple(_box(tone, left, top, left + width, bottom) for left in lefts)


SHAPES: dict[str, tuple[Part, ...]] = {
    "airplane": (
        _poly("accent", 0.42, 0.45, 0.60, 0.45, 0.38, 0.05, 0.28, 0.05),
        _poly("accent", 0.42, 0.55, 0.60, 0.55, 0.38, 0.95, 0.28, 0.95),
        _poly("accent", 0.10, 0.47, 0.20, 0.47, 0.10, 0.30, 0.04, 0.30),
        _poly("accent", 0.10, 0.53, 0.20, 0.53, 0.10, 0.70, 0.04, 0.70),
        _oval("body", 0.50, 0.50, 0.46, 0.07),
        _oval("light", 0.86, 0.50, 0.04, 0.03),
    ),
    "automobile": (
        _poly("body", 0.20, 0.50, 0.32, 0.30, 0.65, 0.30, 0.80, 0.50),
        _poly("light", 0.27, 0.49, 0.35, 0.34, 0.47, 0.34, 0.47, 0.49),
        _poly("light", 0.51, 0.49, 0.51, 0.34, 0.62, 0.34, 0.72, 0.49),
        _poly("body", 0.04, 0.50, 0.85, 0.48, 0.97, 0.55, 0.97, 0.70, 0.04, 0.70),
        _oval("dark", 0.24, 0.70, 0.10, 0.10),
        _oval("dark", 0.76, 0.70, 0.10, 0.10),
    ),
    "bird": (
        _poly("accent", 0.25, 0.55, 0.02, 0.50, 0.04, 0.66),
        _oval("body", 0.45, 0.55, 0.25, 0.15),
        _poly("accent", 0.32, 0.52, 0.55, 0.52, 0.30, 0.12, 0.20, 0.20),
        _oval("body", 0.72, 0.40, 0.11, 0.11),
        _poly("dark", 0.81, 0.37, 0.96, 0.42, 0.81, 0.45),
        *_legs("dark", 0.68, 0.86, 0.025, 0.42, 0.52),
    ),
    "cat": (
        _poly("accent", 0.22, 0.75, 0.06, 0.55, 0.05, 0.25, 0.11, 0.25, 0.14, 0.52, 0.28, 0.66),
        _oval("body", 0.45, 0.72, 0.24, 0.24),
        _poly("body", 0.46, 0.32, 0.46, 0.06, 0.60, 0.22),
        _poly("body", 0.66, 0.22, 0.82, 0.06, 0.82, 0.32),
        _oval("body", 0.64, 0.36, 0.20, 0.18),
        _oval("light", 0.57, 0.34, 0.035, 0.03),
        _oval("light", 0.72, 0.34, 0.035, 0.03),
        _oval("dark", 0.645, 0.42, 0.03, 0.02),
    ),
    "deer": (
        *_legs("accent", 0.60, 0.96, 0.04, 0.22, 0.30, 0.52, 0.60),
        _oval("body", 0.42, 0.56, 0.26, 0.12),
        _poly("body", 0.56, 0.54, 0.66, 0.58, 0.80, 0.32, 0.71, 0.28),
        _poly("body", 0.70, 0.26, 0.82, 0.25, 0.93, 0.36, 0.78, 0.38),
        _poly("accent", 0.73, 0.27, 0.66, 0.02, 0.69, 0.02, 0.77, 0.27),
        _poly("accent", 0.70, 0.15, 0.58, 0.07, 0.59, 0.04, 0.72, 0.11),
        _poly("accent", 0.77, 0.27, 0.86, 0.02, 0.89, 0.03, 0.80, 0.27),
        _poly("accent", 0.82, 0.14, 0.94, 0.10, 0.94, 0.13, 0.81, 0.18),
        _oval("light", 0.16, 0.50, 0.04, 0.05),
    ),
    "dog": (
        _poly("accent", 0.18, 0.52, 0.04, 0.26, 0.09, 0.24, 0.25, 0.48),
        *_legs("body", 0.58, 0.94, 0.07, 0.20, 0.32, 0.52, 0.62),
        _oval("body", 0.43, 0.54, 0.27, 0.14),
        _oval("body", 0.72, 0.36, 0.14, 0.13),
        _poly("body", 0.78, 0.34, 0.97, 0.38, 0.97, 0.48, 0.78, 0.48),
        _oval("dark", 0.96, 0.40, 0.025, 0.025),
        _oval("accent", 0.63, 0.42, 0.05, 0.14),
    ),
    "frog": (
        _poly("accent", 0.30, 0.60, 0.04, 0.50, 0.10, 0.88, 0.20, 0.90, 0.16, 0.66, 0.34, 0.74),
        _poly("accent", 0.70, 0.60, 0.96, 0.50, 0.90, 0.88, 0.80, 0.90, 0.84, 0.66, 0.66, 0.74),
        _oval("body", 0.50, 0.58, 0.27, 0.28),
        _oval("body", 0.50, 0.36, 0.24, 0.16),
        _oval("light", 0.33, 0.24, 0.07, 0.07),
        _oval("light", 0.67, 0.24, 0.07, 0.07),
        _oval("dark", 0.33, 0.24, 0.03, 0.04),
        _oval("dark", 0.67, 0.24, 0.03, 0.04),
    ),
    "horse": (
        _poly("dark", 0.16, 0.48, 0.03, 0.60, 0.05, 0.82, 0.12, 0.62, 0.20, 0.56),
        *_legs("body", 0.58, 0.97, 0.06, 0.18, 0.28, 0.52, 0.62),
        _oval("body", 0.42, 0.53, 0.28, 0.15),
        _poly("body", 0.52, 0.48, 0.68, 0.58, 0.86, 0.24, 0.72, 0.12),
        _poly("body", 0.72, 0.10, 0.82, 0.12, 0.98, 0.34, 0.90, 0.42, 0.74, 0.28),
        _poly("dark", 0.50, 0.44, 0.70, 0.06, 0.77, 0.10, 0.60, 0.48),
    ),
    "ship": (
        _poly("body", 0.03, 0.58, 0.97, 0.56, 0.84, 0.82, 0.14, 0.82),
        _box("light", 0.22, 0.42, 0.66, 0.58),
        _box("light", 0.30, 0.28, 0.54, 0.43),
        _box("accent", 0.36, 0.10, 0.46, 0.29),
        _box("dark", 0.72, 0.22, 0.745, 0.57),
        _box("dark", 0.26, 0.47, 0.62, 0.51),
    ),
    "truck": (
        _box("accent", 0.03, 0.18, 0.64, 0.68),
        _poly("body", 0.67, 0.34, 0.86, 0.34, 0.97, 0.52, 0.97, 0.68, 0.67, 0.68),
        _poly("light", 0.74, 0.38, 0.84, 0.38, 0.91, 0.51, 0.74, 0.51),
        _box("dark", 0.03, 0.67, 0.97, 0.73),
        _oval("dark", 0.18, 0.76, 0.09, 0.09),
        _oval("dark", 0.40, 0.76, 0.09, 0.09),
        _oval("dark", 0.80, 0.76, 0.09, 0.09),
    ),
}
