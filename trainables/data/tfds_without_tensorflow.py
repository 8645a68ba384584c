"""TFDS with no TensorFlow and no chatter: its few TensorFlow calls replaced during one call.

Tied to TFDS 4.9.10: archives and the MNIST and CIFAR files are opened with `tf.io.gfile.GFile`,
arrays are encoded as PNG by a TensorFlow graph (tensorflow/datasets issue 11058).
"""

import contextlib
import importlib
import importlib.resources.abc
import io
import threading
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Modules are changed for the whole process, so one preparation at a time.
_ONE_AT_A_TIME = threading.Lock()
_USERS_OF_TF = (
    "tensorflow_datasets.core.download.extractor",
    "tensorflow_datasets.image_classification.mnist",
    "tensorflow_datasets.image_classification.cifar",
)


def import_tfds() -> Any:
    """Return the module tensorflow_datasets, imported without a word to the user."""
    nowhere = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        return importlib.import_module("tensorflow_datasets")


@contextlib.contextmanager
def tensorflow_replaced() -> Iterator[None]:
    """Let TFDS's builders run without TensorFlow, bars and log lines; put all back afterwards."""
    import_tfds()
    from absl import logging
    from tensorflow_datasets.core import dataset_builder, dataset_info
    from tensorflow_datasets.core.features import image_feature
    from tensorflow_datasets.core.utils import tqdm_utils

    stand_in = SimpleNamespace(
        io=SimpleNamespace(gfile=SimpleNamespace(GFile=open)),
        compat=SimpleNamespace(as_text=str),
    )
    # TFDS imports the backport but does not declare it, and etils 1.15 no longer brings it along.
    resources = SimpleNamespace(abc=importlib.resources.abc)
    changes: list[tuple[Any, str, Any]] = [
        *((importlib.import_module(name), "tf", stand_in) for name in _USERS_OF_TF),
        (image_feature._ImageEncoder, "_encode_image", _encode_image),
        (dataset_builder, "importlib_resources", resources),
        (tqdm_utils, "_active", False),
        (logging.get_absl_logger(), "disabled", True),
        (dataset_builder, "termcolor", SimpleNamespace(cprint=_do_nothing)),
        # It makes a temporary folder that stays, for files that TFDS does not fetch by default.
        (dataset_info.DatasetInfo, "initialize_from_bucket", _do_nothing),
    ]
    with _ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(_replaced(owner, name, value))
        yield


@contextlib.contextmanager
def own_classes_alone() -> Iterator[None]:
    """Let TFDS open a prepared directory without importing modules that its files name.

    features.json names a class for every feature. Those of TFDS itself are imported by now.

    Raises:
        ValueError: inside, at a class of another module.
    """
    import_tfds()
    from tensorflow_datasets.core.features import feature

    with _ONE_AT_A_TIME, _replaced(feature, "importlib", SimpleNamespace(import_module=_refuse)):
        yield


def _refuse(module: str) -> NoReturn:
    raise ValueError(f"it names a class of the module {module}, which is none of TFDS's own")


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _encode_image(encoder: Any, image: NDArray[np.uint8]) -> bytes:
    """Stand in for `_ImageEncoder._encode_image`: PNG bytes of [height, width, 1 or 3] uint8."""
    if image.dtype != np.uint8 or image.shape != tuple(encoder.shape):
        raise ValueError(f"an image of shape {encoder.shape} was due, got {image.shape}")
    buffer = io.BytesIO()
    flat = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(np.ascontiguousarray(flat)).save(buffer, format="PNG")
    return buffer.getvalue()


def _do_nothing(*_args: Any, **_kwargs: Any) -> None:
    """Stand in for the banners that TFDS prints to stdout, and for a look at its bucket."""
