"""Tiny files in the layout that TFDS's builders expect, and builders pointed at them.

What they must read back as is stated here, beside the bytes, and owes nothing to TFDS.
"""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainables.data.tfds_without_tensorflow import tensorflow_replaced

BEANS = ("angular_leaf_spot", "bean_rust", "healthy")
CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
# Grey levels of the 12x10 beans images, by split and label.
BEANS_GREYS = {
    "train": {0: [10, 20, 30], 1: [60, 70], 2: [110, 120, 130, 140]},
    "validation": {0: [40], 1: [80], 2: [150]},
    "test": {0: [50], 1: [90, 100], 2: [160]},
}
MNIST_LABELS = {"train": [3] * 20 + [7] * 10, "test": [7, 3, 3, 7]}


def jpeg(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (grey, grey, grey)).save(buffer, format="JPEG", quality=100)
    return buffer.getvalue()


def beans_files() -> dict[str, bytes]:
    files = {}
    for split, greys_of in BEANS_GREYS.items():
        members = {f"{split}/README.txt": b"not an image"}
        for label, greys in greys_of.items():
            members |= {f"{split}/{BEANS[label]}/{grey}.jpg": jpeg(grey) for grey in greys}
        files[f"{split}.zip"] = zipped(members)
    return files


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip file; like all files here the same bytes whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def mnist_image(split: str, index: int) -> NDArray[np.uint8]:
    """Return [28, 28, 1]: a corner that names the image, on a ramp that shows its orientation."""
    image = np.add.outer(np.arange(28), 2 * np.arange(28)).astype(np.uint8)
    image[0, 0] = index + (100 if split == "test" else 0)
    return image[..., None]


def mnist_files() -> dict[str, bytes]:
    files = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        labels = MNIST_LABELS[split]
        images = b"".join(mnist_image(split, i).tobytes() for i in range(len(labels)))
        header = struct.pack(">IIII", 0x803, len(labels), 28, 28)
        files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(header + images, mtime=0)
        label_bytes = struct.pack(">II", 0x801, len(labels)) + bytes(labels)
        files[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(label_bytes, mtime=0)
    return files


def cifar10_image(name: int) -> NDArray[np.uint8]:
    """Return [32, 32, 3] whose three channels differ and whose red corner is `name`."""
    y, x = np.mgrid[:32, :32]
    image = np.stack([y + x, 3 * y, 255 - x], axis=-1).astype(np.uint8)
    image[0, 0, 0] = name
    return image


def cifar10_files() -> dict[str, bytes]:
    """Five train files of four images each, image i of label i % 10, and one test file of two."""
    members = {"batches.meta.txt": "\n".join([*CIFAR10, ""]).encode()}
    for batch in range(5):
        names = range(4 * batch, 4 * batch + 4)
        members[f"data_batch_{batch + 1}.bin"] = b"".join(_cifar10_record(i) for i in names)
    members["test_batch.bin"] = _cifar10_record(200) + _cifar10_record(203)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {"cifar-10-binary.tar.gz": gzip.compress(buffer.getvalue(), mtime=0)}


def _cifar10_record(name: int) -> bytes:
    return bytes([name % 10]) + cifar10_image(name).transpose(2, 0, 1).tobytes()


FILES = {"beans": beans_files, "mnist": mnist_files, "cifar10": cifar10_files}


def point_builder_at(
    url: str, dataset: str, files: dict[str, bytes], patch: pytest.MonkeyPatch
) -> None:
    """Give TFDS's builder the URLs of `files` under `url`, with their real sizes and checksums."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.utils import Size

    infos = {
        f"{url}/{name}": UrlInfo(
            size=Size(len(content)), checksum=hashlib.sha256(content).hexdigest(), filename=name
        )
        for name, content in files.items()
    }
    with tensorflow_replaced():  # reading the original value needs it already
        patch.setattr(tfds.builder_cls(dataset), "url_infos", infos)
    _USE_URL[dataset](url, patch)


def _beans_url(url: str, patch: pytest.MonkeyPatch) -> None:
    from tensorflow_datasets.datasets.beans import beans_dataset_builder as beans

    for split in BEANS_GREYS:
        patch.setattr(beans, f"_{split.upper()}_URL", f"{url}/{split}.zip")


def _mnist_url(url: str, patch: pytest.MonkeyPatch) -> None:
    from tensorflow_datasets.image_classification import mnist

    patch.setattr(mnist.MNIST, "URL", f"{url}/")
    patch.setattr(mnist, "_TRAIN_EXAMPLES", len(MNIST_LABELS["train"]))
    patch.setattr(mnist, "_TEST_EXAMPLES", len(MNIST_LABELS["test"]))


def _cifar10_url(url: str, patch: pytest.MonkeyPatch) -> None:
    from tensorflow_datasets.image_classification import cifar

    original: Any = cifar.Cifar10._cifar_info.fget
    replaced = property(lambda self: original(self)._replace(url=f"{url}/cifar-10-binary.tar.gz"))
    patch.setattr(cifar.Cifar10, "_cifar_info", replaced)


_USE_URL = {"beans": _beans_url, "mnist": _mnist_url, "cifar10": _cifar10_url}
