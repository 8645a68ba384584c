"""Which GPUs this machine has for trials, found without starting anything."""

from pathlib import Path

from search.nvidia_smi import held_mb, refuses_to_share, visible_devices
from trainables.errors import one_line

_MIB = 2**20
_MANY = 10_000


def usable_gpus() -> int:
    """Count GPUs by their device files, as far as CUDA_VISIBLE_DEVICES and torch see them.

    0 where torch cannot compute on one of them: a trial is not told which one it will get. So it
    is where one takes one program alone: the driver, computing there, would shut out its trials.
    """
    devices = _visible()
    if not devices or refuses_to_share():
        return 0
    import torch  # two seconds, for machines with a GPU alone

    from trainables.cuda import can_compute

    # It starts CUDA, which sees one part of one GPU if any is parted (MIG); before, all count.
    if not can_compute(0):
        return 0
    seen = min(devices, torch.cuda.device_count())
    return seen if all(can_compute(number) for number in range(1, seen)) else 0


def unused() -> str | None:
    """Return why trials cannot use the GPUs here; None if they can, or there are none."""
    if not _visible() or usable_gpus():
        return None
    import torch

    if not _files() and not torch.cuda.device_count():  # Windows': it may be of another maker
        return None

    if refuses_to_share():
        why = (
            "the compute mode of one lets one program use it at most; nvidia-smi -c 0 (as root) "
            "ends that, and CUDA_VISIBLE_DEVICES can leave it out"
        )
    elif torch.version.cuda is None:
        why = f"torch {torch.__version__} is a CPU build"
    elif not torch.cuda.is_available():
        why = f"its driver does not do for CUDA {torch.version.cuda}, of torch {torch.__version__}"
    else:
        why = _without_code()
    return why


def _without_code() -> str:
    """Say that a GPU has none that torch was built with, or that CUDA does not start at all."""
    import torch

    leave = "CUDA_VISIBLE_DEVICES can leave it out"
    try:
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    except Exception as error:  # torch has errors of several kinds for that
        told = (str(error) or repr(error)).splitlines()[0]
        return f"CUDA does not start ({one_line(told)}); if one GPU is at fault, {leave}"
    return f"torch {torch.__version__} has no code for one of {', '.join(names)}; {leave}"


def _visible() -> int:
    """Count device files, as far as CUDA_VISIBLE_DEVICES names them."""
    devices = _files()
    if not devices and (Path("/dev") / "dxg").exists():  # Windows' own, whatever their number
        devices = _MANY
    names = visible_devices()
    return devices if names is None else min(devices, len(names))


def _files() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def smallest_gpu_mb(gpus: int, less_held: bool = True) -> float | None:
    """Return the memory in MiB that the first `gpus` GPUs have at least; None for no GPU.

    Less what programs hold of it now, a desktop or another study, if `less_held`.
    """
    if not gpus:
        return None
    import torch

    held = held_mb() if less_held else {}
    known = [torch.cuda.get_device_properties(number) for number in range(gpus)]
    names = [f"GPU-{getattr(each, 'uuid', '')}" for each in known]  # AMD's may have none
    free = (k.total_memory / _MIB - held.get(n, 0.0) for k, n in zip(known, names, strict=True))
    return max(1.0, min(free))


def precision_of_this_gpu() -> str:
    """Return what auto stands for there: kept, it holds where a study goes on or is confirmed.

    float32 if one of several GPUs has no bfloat16; "auto" where torch cannot compute on them.
    """
    import torch

    from trainables.cuda import can_compute, has_bfloat16

    if not can_compute():
        return "auto"
    every = range(torch.cuda.device_count())
    return "bfloat16" if all(has_bfloat16(number) for number in every) else "float32"
