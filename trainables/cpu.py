"""What the CPU can do, read without importing torch."""

import os
from pathlib import Path

_UNLIMITED = 10_000
# The instruction sets (AVX512-BF16, AMX, Arm's); without them bfloat16 is emulated, and slower.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def has_bfloat16(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the CPU multiplies bfloat16 in hardware; False where nothing tells."""
    if not info.exists():
        return False
    lines = info.read_text(errors="replace").splitlines()
    flags = [line for line in lines if line.lower().startswith(("flags", "features"))]
    return any(_BFLOAT16_FLAGS & set(line.split()) for line in flags)


def resolve_precision(asked: str, *, on_this_cpu: bool) -> str:
    """Return bfloat16 or float32 for auto where trials run on this CPU; else what is asked.

    A study keeps what it began with, so that a resume on another machine computes the same.
    """
    if asked != "auto" or not on_this_cpu:
        return asked
    return "bfloat16" if has_bfloat16() else "float32"


def usable_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many CPUs this process may keep busy, at least 1.

    Those it may run on, as far as a container's quota goes (`docker --cpus`), rounded down.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _cpu_quota(cgroups)))


def _cpu_quota(cgroups: Path) -> int:
    """Return how many whole CPUs the control group may use; both versions of Linux's files."""
    try:
        if (cgroups / "cpu.max").exists():
            quota, period = (cgroups / "cpu.max").read_text().split()
        else:
            parts = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((cgroups / "cpu" / part).read_text().strip() for part in parts)
        return _UNLIMITED if quota in ("max", "-1") else int(quota) // int(period)
    except (OSError, ValueError, ZeroDivisionError):  # not Linux, or nothing that we can read
        return _UNLIMITED
