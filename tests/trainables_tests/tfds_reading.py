"""What the TFDS tests read back, and what may lie in a data directory after a failure."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.trainables_tests import tfds_files
from tests.trainables_tests.tfds_server import FileServer, serving
from trainables.data import tfds_download
from trainables.data.source import DataSpec
from trainables.data.tfds_source import TfdsSource, open_tfds


@contextlib.contextmanager
def serving_tiny(dataset: str) -> Iterator[FileServer]:
    """Serve a tiny data set to TFDS's builder, to a client with patience and without a proxy.

    No test but those of a silent server may fail because the machine is busy.
    """
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        patch.setattr(tfds_download, "START_TIMEOUT_S", 60.0)
        patch.setattr(tfds_download, "READ_TIMEOUT_S", 60.0)
        server.files = tfds_files.FILES[dataset]()
        tfds_files.point_builder_at(server.url, dataset, server.files, patch)
        yield server


def open_in(directory: Path, dataset: str = "beans", seed: int = 0) -> TfdsSource:
    return open_tfds(DataSpec(dataset, "tfds", str(directory), seed))


def greys(source: TfdsSource, split: str) -> dict[int, list[int]]:
    """Return what was read, as in tfds_files.BEANS_GREYS; JPEG may shift a level by one."""
    found: dict[int, list[int]] = {}
    for image, label in source.images(split):
        assert image.shape == (10, 12, 3)
        assert image.dtype == np.uint8
        assert int(image.max()) - int(image.min()) <= 2
        found.setdefault(label, []).append(10 * round(float(image.mean()) / 10))
    return {label: sorted(levels) for label, levels in sorted(found.items())}


def assert_all_beans(source: TfdsSource) -> None:
    assert source.classes == ("angular_leaf_spot", "bean_rust", "healthy")
    assert source.sizes == {"train": 9, "validation": 3, "test": 4}
    for split, due in tfds_files.BEANS_GREYS.items():
        assert greys(source, split) == due


def files_in(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def assert_nothing_partial(directory: Path) -> None:
    """Only whole, checked downloads and the lock are there: no data set, nothing half done."""
    names = [name for name in files_in(directory) if name != ".beans.lock"]
    assert not [n for n in names if ".tmp" in n or "incomplete" in n or n.startswith("beans/")]
    stems = {name.removesuffix(".INFO") for name in names}
    assert all(name.startswith("downloads/beans/") for name in stems)
    served = set(tfds_files.beans_files().values())
    assert all((directory / name).read_bytes() in served for name in stems)
    assert not list(directory.glob("beans/*"))
    assert not list(directory.glob("downloads/extracted*"))
