"""torchvision, also where its compiled operators do not load: beside a CPU-only torch.

The wheel of the package index is linked against CUDA. Its models and transforms are plain
Python; only the registration of two operators' shapes at import needs the compiled part.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

# torchvision registers shapes for these when it is imported, and fails if they are unknown.
_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms")
)
_kept: list[Any] = []  # a Library takes its definitions away when it is collected


def import_torchvision() -> ModuleType:
    """Return torchvision; where its operators did not load, declare the missing two first.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: its import fails for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)
    return importlib.import_module("torchvision")
