"""Memory that trials may use: what a machine has for them, and what a share of a GPU is worth."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trainables.budget import ALLOCATOR_MARGIN

_MIB = 2**20
_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")
# The driver and Ray's own processes: 980 MB at most, 750 MB later (benchmarks/README.md).
OURS_MB = 1200
# Ray's memory monitor kills a trial when less than this part of the machine's memory is left.
_MONITOR = 0.05
# A process with torch takes some 450 MB before it trains anything. Below this, fewer trials run
# at once.
LEAST_MB = 1024
# Below this no trial is begun: torch, and the smallest networks beside it.
TOO_LITTLE_MB = 600
# What a process that trains on a GPU keeps of the machine's own memory: torch, CUDA's libraries, a
# context. Rounded up from the 1 to 1.5 GB that such processes are known for: not measured.
GPU_HOST_MB = 2048
# Of a GPU: what a process takes beside torch's allocator (the CUDA context), what is left for the
# driver (which computes shared activations there), and the least that a trial's share holds.
# Rounded up from what NVIDIA's larger GPUs are known for: not measured.
_CONTEXT_MB = 600
_SPARE_MB = 1024
_LEAST_GPU_MB = 1024
# Few sizes, so that a worker that is there fits the next trial, and all of a GPU is used.
_TRIALS_PER_GPU = (1, 2, 3, 4, 6, 8, 12, 16)
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


class Memory(NamedTuple):
    """Memory in MiB: of the machine or control group, and what of it is free now."""

    total_mb: float
    free_mb: float

    @property
    def room_mb(self) -> float:
        """What trials may take now, all together.

        Left free: a twentieth, at which Ray's monitor would kill; 1.2 GB for the driver and Ray's
        processes. Ray's object store reserves a third of a machine, but takes what is put into
        it, and that is next to nothing here: arrays are mapped from files, which the kernel can
        drop, and count for no trial.
        """
        return max(0.0, self.free_mb - _MONITOR * self.total_mb - OURS_MB)

    @property
    def most_mb(self) -> float:
        """What trials could take if nothing else ran: it stays the same from run to run."""
        return self._replace(free_mb=self.total_mb).room_mb


def memory(meminfo: Path = _MEMINFO, cgroups: Path = _CGROUPS, own: Path = _OWN) -> Memory | None:
    """Return the memory of this machine or of the control group, whichever is less.

    None where the system does not tell, as on macOS.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        known = [float(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable")]
    except (OSError, ValueError, KeyError):
        return None
    total, free = (1024 * each for each in known)
    for group in _groups(cgroups, own):
        limit, left = _limit(group)
        total, free = min(total, limit), min(free, left)
    return Memory(total / _MIB, max(0.0, free) / _MIB)


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups, up to the root's: any may be limited."""
    roots = {cgroups, cgroups / "memory"}
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                root = cgroups / kinds
                here = root / path.lstrip("/")
                yield from (group for group in (here, *here.parents) if root in group.parents)
    yield from roots


def _limit(group: Path) -> tuple[float, float]:
    """Return the bytes a control group may use, and those it may still take; both versions."""
    for limit_name, used_name in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            text = (group / limit_name).read_text().strip()
            limit = math.inf if text == "max" else float(text)
            used = float((group / used_name).read_text())
            return limit, limit - used + _cached(group)
    return math.inf, math.inf


def _cached(group: Path) -> float:
    """Return the bytes of files that the kernel can drop when memory is asked for."""
    found = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return float(found.get("total_inactive_file", found.get("inactive_file", 0)))


def gpu_room_mb(gpu_mb: float, share: float) -> float:
    """Return the peak in MiB that a trial may be predicted to have on its share of a GPU.

    Less than the share: a context of its own, and `ALLOCATOR_MARGIN` for gaps. 0 for a share that
    is too small for any trial. Of several GPUs a trial uses one.
    """
    whole = (gpu_mb - _SPARE_MB) * min(share, 1.0) - _CONTEXT_MB
    return max(0.0, whole / ALLOCATOR_MARGIN)


def most_on_a_gpu(concurrent: int, gpus: int) -> int:
    """Return how many trials a GPU gets if those at once are spread evenly, rounded up to a size.

    Ray puts shares where they still fit, on the fullest GPU: smaller ones would leave others idle.
    On one GPU nothing has to be spread.
    """
    even = math.ceil(concurrent / gpus) if gpus > 1 else _TRIALS_PER_GPU[-1]
    return next((size for size in _TRIALS_PER_GPU if size >= even), _TRIALS_PER_GPU[-1])


def share_for(gpu_mb: float, need_mb: float, most: int = _TRIALS_PER_GPU[-1]) -> float:
    """Return the share of a GPU of `gpu_mb` MiB for a predicted peak: 1 / `most` to 1.

    1 also where all of the GPU is not enough: the trial then trains in micro-batches, or is
    refused.
    """
    for trials in (size for size in reversed(_TRIALS_PER_GPU) if size <= most):
        share = math.floor(1e4 / trials) / 1e4  # Ray counts in units of 0.0001
        if gpu_room_mb(gpu_mb, share) >= max(need_mb, _LEAST_GPU_MB / ALLOCATOR_MARGIN):
            return share
    return 1.0


def trials_per_gpu(gpu_mb: float) -> int:
    """Return how many of the smallest trials share a GPU."""
    return round(1 / share_for(gpu_mb, 0))
