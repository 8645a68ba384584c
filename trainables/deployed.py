"""A trained network as others use it: images as files have them go in, logits come out.

Images meet the network as in training: decoded, resized and scaled by the same functions.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from trainables.data.cache import resize
from trainables.data.folder_images import decode, highest
from trainables.data.parallel import in_order
from trainables.evaluation import evaluation_batch_size


class Shape(NamedTuple):
    """The images that a network takes; `channels` is 1 (gray) or 3 (RGB)."""

    height: int
    width: int
    channels: int


class Unreadable(NamedTuple):
    """Why a file gave no image."""

    reason: str


class Deployed(nn.Module):
    """Images [n, height, width, channels] uint8 -> logits [n, classes] float32.

    What `images_to_floats` does is inside, without its write in place: for export.
    """

    def __init__(self, network: nn.Module) -> None:
        """Take a network of images [n, channels, height, width] float in [0, 1]."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return self.network(images.permute(0, 3, 1, 2).float() / 255).float()  # type: ignore[no-any-return]


def load_image(
    path: Path, shape: Shape, levels: list[int] | None = None
) -> NDArray[np.uint8] | Unreadable:
    """Return a file's image as the network takes it, or why there is none.

    Decompression bombs are refused by their header, before they are unpacked. `levels` gets the
    highest value of an image of 16 bits: see `trainables.data.folder_images.too_dark`.
    """
    try:
        if not path.is_file():  # a pipe would never end
            if not path.exists():
                return Unreadable("there is no such file")
            return Unreadable("is a folder" if path.is_dir() else "is no regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of, `decode` refuses
            data = path.read_bytes()
            image = decode(data)
            if levels is not None and (level := highest(data, image)) is not None:
                levels.append(level)
            return fitted(image, shape)
    except UnidentifiedImageError:
        return Unreadable("no kind of image that is known")
    except MemoryError:  # which says nothing of the image
        raise
    except Exception as error:  # on damaged bytes Pillow raises nearly anything
        return Unreadable(f"{type(error).__name__}: {error}".splitlines()[0])


def fitted(image: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Return an RGB image [height, width, 3] as [*shape], resized as in training."""
    if shape.channels == 1:
        # ITU-R 601-2 luma: what is gray already keeps its values.
        image = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    if shape.height == shape.width:
        return resize(image, shape.height)
    if image.shape[:2] == (shape.height, shape.width):
        return image
    plane = image[..., 0] if shape.channels == 1 else image
    size = (shape.width, shape.height)
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)).reshape(shape)


@torch.inference_mode()
def probabilities(
    network: Deployed,
    paths: Iterable[Path],
    shape: Shape,
    lower: AbstractContextManager[object],
    levels: list[int] | None = None,
) -> Iterator[tuple[Path, NDArray[np.float32] | Unreadable]]:
    """Yield every path, in order, with the probability of each class [classes].

    At most 64 images at once, fewer where they are large; the next are decoded meanwhile. `levels`
    gets the highest value of each one of 16 bits.
    """
    network.eval()
    device = next(network.parameters()).device

    def loaded(path: Path) -> tuple[Path, NDArray[np.uint8] | Unreadable]:
        return path, load_image(path, shape, levels)

    size = min(64, evaluation_batch_size(shape.height * shape.width * shape.channels))
    coming = in_order(loaded, paths)
    while batch := list(islice(coming, size)):
        images = [image for _, image in batch if not isinstance(image, Unreadable)]
        rows: Iterator[NDArray[np.float32]] = iter(())
        if images:
            with lower:
                logits = network(torch.from_numpy(np.stack(images)).to(device))
            rows = iter(logits.softmax(1).cpu().numpy())
        for path, image in batch:
            yield path, image if isinstance(image, Unreadable) else next(rows)
