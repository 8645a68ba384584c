"""Which GPUs this machine has for trials, found without starting anything."""

import os
from itertools import takewhile
from pathlib import Path

_MIB = 2**20
_MANY = 10_000


def usable_gpus() -> int:
    """Count GPUs by their device files, as far as CUDA_VISIBLE_DEVICES and torch see them.

    0 where torch cannot compute on one of them: a trial is not told which one it will get.
    """
    devices = _visible()
    if not devices:
        return 0
    import torch  # two seconds, for machines with a GPU alone

    from trainables.cuda import can_compute

    seen = min(devices, torch.cuda.device_count())  # 0 where torch is a CPU build
    return seen if all(can_compute(number) for number in range(seen)) else 0


def unused() -> str | None:
    """Return why the GPUs of this machine are not used; None if they are, or there are none."""
    if not _visible() or usable_gpus():
        return None
    import torch

    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is a CPU build"
    elif not torch.cuda.is_available():
        why = f"its driver does not do for CUDA {torch.version.cuda}, of torch {torch.__version__}"
    else:
        names = (torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
        why = (
            f"torch {torch.__version__} has no code for one of {', '.join(names)}; "
            "CUDA_VISIBLE_DEVICES can leave it out"
        )
    return f"there is a GPU, and trials run on CPUs: {why}"


def _visible() -> int:
    """Count device files, as far as CUDA_VISIBLE_DEVICES names them."""
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    if not devices and (Path("/dev") / "dxg").exists():  # Windows' own, whatever their number
        devices = _MANY
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return devices
    # As CUDA reads it: what follows the first name that is none counts no more.
    names = takewhile(lambda name: name and name != "-1", map(str.strip, visible.split(",")))
    return min(devices, len(list(names)))


def smallest_gpu_mb(gpus: int) -> float | None:
    """Return the memory in MiB of the smallest of the first `gpus` GPUs; None for none."""
    if not gpus:
        return None
    import torch

    found = (torch.cuda.get_device_properties(number).total_memory for number in range(gpus))
    return min(found) / _MIB


def precision_of_this_gpu() -> str:
    """Return what auto stands for there: kept, it holds where a study goes on or is confirmed.

    "auto" where torch cannot compute on it.
    """
    import torch

    from trainables.budget import Budget
    from trainables.cuda import can_compute
    from trainables.device import precision

    return precision(Budget(1, device="cuda"), torch.device("cuda")) if can_compute() else "auto"
