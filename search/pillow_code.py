"""How images are prepared for an exported network, as Python with Pillow: for its user to copy.

The same as `trainables.deployed.load_image` does, and tested to give the same bytes, but for the
limits that keep it from huge images and from formats that run other programs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.deployed import Shape

_CODE = """\
import numpy
from PIL import Image, ImageOps

def prepared(path):
    image = Image.open(path)
    image.load()
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:
        pass  # EXIF that is broken
    if image.mode.startswith("I"):  # 16 bits: the high byte
        values = numpy.asarray(image).astype("int64")
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels, whose range is not known")
        image = Image.fromarray((values >> 8).astype("uint8"))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB"){gray}.resize(({width}, {height}), Image.Resampling.BICUBIC)
    return numpy.asarray(image).reshape({height}, {width}, {channels})"""


def pillow_code(shape: "Shape") -> str:
    """Return the code of a function `prepared(path)`, which returns [height, width, channels]."""
    gray = '.convert("L")' if shape.channels == 1 else ""
    return _CODE.format(**shape._asdict(), gray=gray)
