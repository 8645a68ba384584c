"""Reading a file that should hold a state dict: whatever else it is gives one line."""

import stat
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.device import is_out_of_memory
from trainables.errors import WeightsError
from trainables.files import check_sums

_HOW = "a state dict is written by torch.save(model.state_dict(), PATH)"


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict, by name, on the CPU.

    Raises:
        WeightsError: no such file, a folder, damaged, or anything but a dict of tensors.
    """
    _check_is_file(path)
    try:
        content = _load(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged file raises nearly anything
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"{path} is damaged, or holds more than tensors and plain values: "
            f"torch.load(weights_only=True) does not read it; {_HOW}"
        ) from error
    if not isinstance(content, dict) or not all(map(_is_entry, content.items())):
        raise WeightsError(f"{path} holds no state dict but {_describe(content)}; {_HOW}")
    return dict(content)


def _check_is_file(path: Path) -> None:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"no weights at {path} on this machine: {reason}") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise WeightsError(f"{path} is {what}; weights are a file: {_HOW}")
    if not found.st_size:
        raise WeightsError(f"{path} is empty; {_HOW}")


def _load(path: Path) -> Any:
    check_sums(path)
    with warnings.catch_warnings():  # of kinds of files that are refused anyway
        warnings.simplefilter("ignore")
        return torch.load(path, weights_only=True, map_location="cpu")


def _is_entry(entry: tuple[object, object]) -> bool:
    return isinstance(entry[0], str) and isinstance(entry[1], Tensor)


def _describe(content: object) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    name, value = next(entry for entry in content.items() if not _is_entry(entry))
    return f"a dict with a {type(value).__name__} under {repr(name)[:60]}"
