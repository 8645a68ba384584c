"""Coloured objects, drawn: ten silhouettes under the names of CIFAR-10's classes.

Each picture is a pure function of a seed: the silhouette is stretched, turned, mirrored and
coloured at random, and set on a background that fits its class more often than not.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainables.data.object_shapes import CLASSES, SCENES, SHAPES, Part
from trainables.seeds import derive

SIZE = 32  # pixels per side
_OVERSAMPLING = 4

# Sky, water, meadow, road, sand, wood: a background runs from one colour to another.
GROUNDS = {
    "sky": ((120, 170, 225), (205, 220, 235)),
    "water": ((40, 80, 120), (130, 165, 180)),
    "meadow": ((60, 100, 40), (150, 175, 90)),
    "road": ((85, 85, 90), (170, 168, 160)),
    "sand": ((150, 125, 90), (215, 195, 155)),
    "wood": ((45, 50, 35), (110, 85, 60)),
}
FURS = ((60, 45, 35), (130, 90, 55), (200, 170, 130), (235, 230, 220), (40, 40, 45))
PAINTS = ((190, 40, 35), (40, 70, 160), (225, 225, 225), (45, 45, 50), (215, 175, 40))
GREENS = ((70, 120, 45), (125, 150, 60), (95, 85, 50))
PALETTES = {"frog": GREENS} | dict.fromkeys(("bird", "cat", "deer", "dog", "horse"), FURS)


def render_object(seed: int, label: int) -> NDArray[np.uint8]:
    """Return a picture [32, 32, 3] uint8 of an object of class `label`, decided by `seed`."""
    rng = np.random.default_rng(derive(seed, "object"))
    name = CLASSES[label]
    picture = _background(rng, name)
    draw, place = ImageDraw.Draw(picture), _placement(rng, name)
    tones = _tones(rng, name)
    _clutter(rng, draw)
    for part in SHAPES[name]:
        draw.polygon(_outline(rng, part, place), fill=tones[part.tone])
    return _photograph(rng, picture)


def _background(rng: np.random.Generator, name: str) -> Image.Image:
    """Return a vertical run of colours with clouds in it, at four times the final size."""
    fitting = SCENES[name] if rng.random() < 0.6 else tuple(GROUNDS)
    top, bottom = np.asarray(GROUNDS[fitting[rng.integers(len(fitting))]], np.float64)
    share = np.linspace(0, 1, SIZE)[:, None, None] + rng.normal(0, 0.15, (SIZE, SIZE, 1))
    clouds = np.kron(rng.normal(0, 14, (8, 8, 1)), np.ones((4, 4, 1)))
    rows = top + (bottom - top) * share + clouds + rng.normal(0, 12, 3)
    pixels = np.clip(rows, 0, 255).astype(np.uint8)
    side = SIZE * _OVERSAMPLING
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)


def _placement(rng: np.random.Generator, name: str) -> NDArray[np.float64]:
    """Return the [2, 3] map from the shape's unit square to pixels of the large picture."""
    side = SIZE * _OVERSAMPLING
    turn = rng.normal(0, 0.35 if name in ("airplane", "bird") else 0.14)
    stretch = rng.uniform(0.62, 1.05, 2) * np.sqrt(rng.uniform(0.7, 1.1)) * side
    stretch[0] *= rng.choice((-1, 1))
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shear = np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    linear = rotate @ np.diag(stretch) @ shear
    middle = side / 2 + rng.normal(0, 0.06 * side, 2)
    return np.column_stack([linear, middle - linear @ (0.5, 0.5)])


def _tones(rng: np.random.Generator, name: str) -> dict[str, tuple[int, int, int]]:
    """Choose the colours of body, accent, dark and light parts."""
    palette = np.asarray(PALETTES.get(name, PAINTS), np.float64)
    body = palette[rng.integers(len(palette))] + rng.normal(0, 22, 3)
    colours = {
        "body": body,
        "accent": body * rng.uniform(0.55, 1.35),
        "dark": np.full(3, rng.uniform(15, 60)),
        "light": np.array([205, 215, 225]) + rng.normal(0, 15, 3),
    }
    return {tone: _rgb(colour) for tone, colour in colours.items()}


def _rgb(colour: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in np.clip(colour, 0, 255))
    return red, green, blue


def _outline(
    rng: np.random.Generator, part: Part, place: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """Return the part's corners in pixels, each moved a little so that no two objects agree."""
    corners = np.asarray(part.corners) + rng.normal(0, 0.012, (len(part.corners), 2))
    pixels = corners @ place[:, :2].T + place[:, 2]
    return [(float(x), float(y)) for x, y in pixels]


def _clutter(rng: np.random.Generator, draw: ImageDraw.ImageDraw) -> None:
    """Draw up to five ellipses of any colour behind the object."""
    side = SIZE * _OVERSAMPLING
    for _ in range(rng.integers(0, 6)):
        x, y = rng.uniform(0, side, 2)
        wide, high = rng.uniform(4, 26, 2)
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=_rgb(rng.uniform(20, 235, 3)))


def _photograph(rng: np.random.Generator, picture: Image.Image) -> NDArray[np.uint8]:
    """Shrink the picture, each pixel the mean of 16, and add light, shade and noise."""
    pixels = np.asarray(picture.reduce(_OVERSAMPLING), np.float64)
    side = np.linspace(-0.5, 0.5, SIZE)
    slope = rng.normal(0, 0.25, 2)
    shade = rng.uniform(0.7, 1.15) * (1 + slope[0] * side[:, None] + slope[1] * side)
    noisy = pixels * shade[..., None] + rng.normal(0, rng.uniform(3, 12), pixels.shape)
    return np.asarray(np.round(np.clip(noisy, 0, 255)), np.uint8)
