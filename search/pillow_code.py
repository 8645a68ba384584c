"""How images are prepared for an exported network, as Python with Pillow: for its user to copy.

The same as `trainables.deployed.load_image` does, and tested to give the same bytes.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.deployed import Shape

_CODE = """\
import numpy
from PIL import Image, ImageOps

def prepared(path):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):  # 16 bits: the high byte
        image = Image.fromarray((numpy.asarray(image) >> 8).astype("uint8"))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB"){gray}.resize(({width}, {height}), Image.Resampling.BICUBIC)
    return numpy.asarray(image).reshape({height}, {width}, {channels})"""


def pillow_code(shape: "Shape") -> str:
    """Return the code of a function `prepared(path)`, which returns [height, width, channels]."""
    gray = '.convert("L")' if shape.channels == 1 else ""
    return _CODE.format(**shape._asdict(), gray=gray)
