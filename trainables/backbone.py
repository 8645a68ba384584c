"""The tensors of Inception-v3 below its top: which there are, checked, hashed, or drawn at random.

Names and shapes come from torchvision's own module, built without memory for its weights.
"""

import functools
import hashlib
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.errors import WeightsError
from trainables.seeds import generator
from trainables.vision import import_torchvision

_TOP = ("fc.", "AuxLogits.")
_COUNTER = ".num_batches_tracked"  # of no effect on what the network computes
_SHOWN = 3
_CHUNK = 1 << 16


@functools.cache
def backbone_shapes() -> Mapping[str, torch.Size]:
    """Return the shape of every tensor of the backbone, in the order of the network."""
    inception_v3 = import_torchvision().models.inception_v3
    with torch.device("meta"):
        model = inception_v3(
            weights=None, aux_logits=False, init_weights=False, transform_input=False
        )
    state = model.state_dict()
    return {name: value.shape for name, value in state.items() if not name.startswith(_TOP)}


def check_backbone(state: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Return the backbone's tensors out of a state dict: float32, contiguous, all finite.

    What belongs to the top is left out; counters of batches that are missing are 0.

    Raises:
        WeightsError: names, shapes or values are not those of the backbone; names `origin`.
    """
    shapes = backbone_shapes()
    given = {name: value for name, value in state.items() if not name.startswith(_TOP)}
    optional = {name for name in shapes if name.endswith(_COUNTER)}
    missing = [f"{name} is missing" for name in shapes if name not in given.keys() | optional]
    foreign = [f"{name[:80]!r} is not part of it" for name in given if name not in shapes]
    known = [name for name in shapes if name in given]
    misfits = [fault for name in known if (fault := _misfit(name, given[name], shapes[name]))]
    _refuse(f"{origin} is not Inception-v3 in torchvision's names", missing, foreign, misfits)
    tensors = {
        name: given[name].detach().to(_dtype(name)).contiguous()
        if name in given
        else torch.zeros(shape, dtype=_dtype(name))
        for name, shape in shapes.items()
    }
    faults = [fault for name, value in tensors.items() if (fault := _bad_value(name, value))]
    _refuse(f"{origin} holds values that no trained network has", faults)
    return tensors


def _refuse(what: str, *kinds: list[str]) -> None:
    """Raise if there is any fault: the first few of every kind, and how many more there are."""
    told = [_shortened(faults) for faults in kinds if faults]
    if told:
        raise WeightsError(f"{what}: {'; '.join(told)}")


def _shortened(faults: list[str]) -> str:
    more = f" ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"{', '.join(faults[:_SHOWN])}{more}"


def _dtype(name: str) -> torch.dtype:
    return torch.int64 if name.endswith(_COUNTER) else torch.float32


def _misfit(name: str, value: Tensor, shape: torch.Size) -> str:
    if value.shape != shape:
        return f"{name} has shape {list(value.shape)} instead of {list(shape)}"
    if value.layout != torch.strided or value.device.type != "cpu":
        return f"{name} has no values of its own ({value.layout}, {value.device.type})"
    if value.is_floating_point() != _dtype(name).is_floating_point or value.is_complex():
        return f"{name} is {value.dtype}"
    return ""


def _bad_value(name: str, value: Tensor) -> str:
    numbers = value.numpy()  # numpy's one thread is faster here than torch's many
    if not np.isfinite(numbers).all():
        return f"{name} holds NaN or infinity"
    if name.endswith(".running_var") and (numbers < 0).any():
        return f"{name} is below 0"
    return ""


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 hex digest over the sorted names, the shapes and the float32 bytes."""
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if not name.endswith(_COUNTER)):
        values = np.ascontiguousarray(tensors[name].numpy(), dtype="<f4")
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()


def random_backbone() -> dict[str, Tensor]:
    """Return untrained weights, the same on every machine.

    Convolutions: mean 0 and variance 2 / fan-in (He et al. 2015, equation 10), which keeps the
    mean square through layers with ReLU. Batch norm that changes nothing: gamma and variance 1,
    beta and mean 0.
    """
    numbers = generator(0, "random backbone")
    return {name: _draw(name, shape, numbers) for name, shape in backbone_shapes().items()}


def _draw(name: str, shape: torch.Size, numbers: torch.Generator) -> Tensor:
    if len(shape) == 4:
        values = _near_normal(math.prod(shape), numbers) * np.float32(_he(shape))
        return torch.from_numpy(values).view(shape)
    ones = name.endswith((".bn.weight", ".running_var"))
    return torch.full(shape, 1 if ones else 0, dtype=_dtype(name))


def _he(shape: torch.Size) -> float:
    return math.sqrt(2 / math.prod(shape[1:]))


def _near_normal(count: int, numbers: torch.Generator) -> NDArray[np.float32]:
    """Draw by mean 0 and variance 1: the sum of four uniform numbers, close to a normal one.

    `torch.randn` rounds differently on different processors; sums of whole numbers do not.
    """
    drawn = np.empty(count, np.float32)
    for start in range(0, count, _CHUNK):  # what fits the processor's cache: ten times as fast
        part = drawn[start : start + _CHUNK]
        words = torch.empty(len(part), dtype=torch.int64)
        four = words.random_(-(2**63), None, generator=numbers).numpy().view(np.int16)
        part[:] = four[0::4]
        for offset in (1, 2, 3):
            part += four[offset::4]
    # Each of the four is -32768 to 32767: mean -2 in all, variance 4 * 65536**2 / 12.
    return (drawn + np.float32(2)) * np.float32(math.sqrt(3) / 65536)
