"""Writes the splits as image files, a folder per class, so that peers read them as their docs do.

What TFDS stores encoded is written byte for byte: the same JPEG or PNG that Trellis decodes.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from trainables.data.source import DataSpec, Progress, Source, silent
from trainables.data.sources import open_source
from trainables.data.tfds_source import TfdsSource

SPLITS = ("train", "validation")  # the test split is not for searching


def export(spec: DataSpec, folder: Path, progress: Progress = silent) -> Path:
    """Return the folder of the data's image files, made where it is not there whole.

    Raises:
        DataError: the data cannot be used.
    """
    source = open_source(spec, progress)
    target = folder / f"{spec.dataset}-{source.fingerprint[:12]}"
    for split in SPLITS:
        ready = target / f"{split}.done"
        if not ready.exists():
            write(source, split, target / split, progress)
            ready.write_text(f"{source.sizes[split]} images\n")
    return target


def write(source: Source, split: str, folder: Path, progress: Progress = silent) -> None:
    """Write a split's images into a folder per class."""
    for name in source.classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (encoded, label) in enumerate(_encoded(source, split)):
        ending = "jpg" if encoded[:2] == b"\xff\xd8" else "png"
        path = folder / source.classes[label] / f"{number:06}.{ending}"
        path.write_bytes(encoded)
        progress(f"writing {split} image files", number + 1, source.sizes[split])


def _encoded(source: Source, split: str) -> Iterator[tuple[bytes, int]]:
    """Yield (image file, label); images that no file holds become PNG."""
    if isinstance(source, TfdsSource):
        yield from source.encoded(split)
        return
    from PIL import Image

    for image, label in source.images(split):
        written = io.BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(written, "PNG")
        yield written.getvalue(), label
