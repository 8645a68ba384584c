"""Decodes one image file of any kind to RGB, and checks many of them, each decoded once.

Pillow's decoders are used, without those that need another program or give no pixels.
"""

import errno
import hashlib
import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainables.data.folder_known import Checked, Known, stamp
from trainables.data.parallel import in_order
from trainables.data.source import Progress
from trainables.errors import DataError, is_of_machine, one_line

_log = logging.getLogger(__name__)

# EPS runs Ghostscript, WMF needs Windows, the others are stubs for decoders that Pillow lacks.
_REFUSED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# Of 12-bit values in 16 bits the high byte, which is used, has 16 levels.
_LEAST_OF_16_BITS = 4096
_ALPHA = {"RGBA", "LA", "PA"}
# Of a process that has no memory or no open files left.
_NO_ROOM = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Oversized:
    """An image of more pixels than are opened: Pillow's limit for decompression bombs."""


Outcome = Checked | Oversized | None  # None: unreadable


@cache
def _formats() -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the formats that are read, and the file name endings that belong to them."""
    Image.init()
    formats = tuple(sorted(set(Image.OPEN) - _REFUSED))
    endings = Image.registered_extensions()
    return formats, frozenset(ending for ending, name in endings.items() if name in formats)


def is_image_name(name: str) -> bool:
    """Tell whether a file is an image by its name: not hidden, with an ending Pillow knows."""
    return not name.startswith(".") and Path(name).suffix.lower() in _formats()[1]


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file to RGB, turned as its EXIF orientation says.

    16-bit gray keeps its high byte; what is transparent shows white, but for the one colour that
    a 16-bit PNG may name so, and palettes with alpha (TGA); of several frames the first counts.

    Returns:
        Array [height, width, 3] uint8.

    Raises:
        Exception: whatever Pillow raises on damaged or oversized images (its decompression-bomb
            limit is an error here, never a warning).
    """
    with Image.open(BytesIO(data), formats=_formats()[0]) as image:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
        image.load()
        return np.asarray(_rgb(_turned(image)))


def highest(data: bytes, pixels: NDArray[np.uint8]) -> int | None:
    """Return the highest value of a 16-bit image, which was decoded to `pixels`; None for others.

    Of 16-bit colours Pillow decodes the high byte alone.
    """
    with Image.open(BytesIO(data), formats=_formats()[0]) as image:
        if _is_deep(image):
            return int(np.asarray(image).max())
        return int(pixels.max()) << 8 | 0xFF if ";16" in str(image.tile) else None


def too_dark(levels: Sequence[int]) -> str | None:
    """Say so where 16-bit images, by their `highest`, use only the lowest values; None if not.

    Decoded to 8 bits they are nearly black.
    """
    if not levels or max(levels) >= _LEAST_OF_16_BITS:
        return None
    return (
        f"the 16-bit images use values up to {max(levels)} of 65535 and would be nearly black; "
        "scale them to the whole range, or save them with 8 bits"
    )


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:  # broken EXIF raises nearly anything; the pixels are good
        _log.info("EXIF that cannot be read is left out: %r", error)
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        # Pillow would clip at 255, which makes nearly every 16-bit image white.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("32-bit pixels, whose range is not known")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if image.mode in _ALPHA or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def check(root: Path, paths: Sequence[str], progress: Progress) -> dict[str, Outcome]:
    """Decode every image that is not known yet; None stands for an unreadable one."""
    results: dict[str, Outcome] = {}
    known = Known(root)
    with warnings.catch_warnings(), ExitStack() as ending:
        # Pillow warns of what `decode` refuses, and of metadata that nothing here uses.
        warnings.simplefilter("ignore")
        # After the threads have ended; of an interrupted check, too, which may have taken hours.
        ending.callback(known.keep, paths)
        found = ending.enter_context(closing(in_order(partial(_check, root, known), paths)))
        for path, result in zip(paths, found, strict=True):
            results[path] = result
            progress("checking images", len(results), len(paths))
    return results


def _check(root: Path, known: Known, name: str) -> Outcome:
    path = root / name
    try:
        if not path.is_file():  # a pipe would never end, a broken link has nothing
            return None
        now = stamp(path)
        if (checked := known.get(name, now)) is None:
            checked = _checked(path.read_bytes())
            known.add(name, now, checked)
        return checked
    except MemoryError:  # says nothing of the image: other data would come of leaving it out
        raise DataError(f"memory ran out while {one_line(str(path))} was decoded") from None
    except Image.DecompressionBombError:
        return Oversized()
    except Exception as error:  # on damaged bytes Pillow raises nearly anything; it is told below
        if isinstance(error, OSError) and (is_of_machine(error) or error.errno in _NO_ROOM):
            raise DataError(f"cannot read {one_line(str(path))}: {error.strerror}") from error
        _log.info("cannot read %s: %r", path, error)
        return None


def _checked(data: bytes) -> Checked:
    pixels = decode(data)
    digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
    return Checked(hashlib.sha256(data).digest(), digest, pixels.shape, highest(data, pixels))
