"""Whether torch can compute on a GPU that is there: driver and architecture may not fit."""

import re
from collections.abc import Sequence

import torch

_ARCHITECTURE = re.compile(r"(sm|compute)_([0-9]+)([0-9])([af]?)")


def can_compute(number: int = 0) -> bool:
    """Tell whether torch computes on the GPU of this number, as CUDA_VISIBLE_DEVICES counts."""
    if not torch.cuda.is_available():  # which never raises, and warns of a driver that is too old
        return False
    try:
        capability = torch.cuda.get_device_capability(number)
    except Exception:  # CUDA does not start; torch has errors of several kinds for that
        return False
    return covers(torch.cuda.get_arch_list(), capability)


def is_lost() -> bool:
    """Tell whether this process used its GPU and no longer can: every later call there fails."""
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except Exception:
        return True
    return False


def has_bfloat16(number: int = 0) -> bool:
    """Tell whether a GPU multiplies bfloat16 in hardware: compute capability 8.0, AMD's all.

    torch's own test is of the current GPU, and believes in emulation, which convolutions lack.
    """
    if torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(number) >= (8, 0)


def covers(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Tell whether a build has code for a GPU of this compute capability.

    By NVIDIA's rules: binary code (sm_86) runs on the same major version and no lower a minor one;
    PTX (compute_90) is compiled for anything newer; "a" is of that one alone, "f" of its family.
    A build that names none, such as one for AMD, is believed.
    """
    known = [match for text in architectures if (match := _ARCHITECTURE.fullmatch(text))]
    if not known:
        return True
    return any(_fits(match, capability) for match in known)


def _fits(match: re.Match[str], capability: tuple[int, int]) -> bool:
    kind, alone = match[1], match[4]
    built = int(match[2]), int(match[3])
    if alone == "a":
        return built == capability
    if kind == "compute" and not alone:
        return built <= capability
    return built[0] == capability[0] and built[1] <= capability[1]
