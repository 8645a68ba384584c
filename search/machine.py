"""The machine that a study was driven from, for its manifest: times mean little without it."""

import os
import platform
from pathlib import Path
from typing import Any

from search.gpus import usable_gpus
from trainables.cpu import usable_cpus


def machine(info: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return processor, CPUs that may be used, memory in GiB, GPUs and system, in plain values.

    What cannot be found out is left out. Trials on a cluster may run on others.
    """
    found = {
        "processor": _processor(info),
        "cpus": usable_cpus(),
        "memory_gib": _memory_gib(),
        "gpus": usable_gpus(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return {name: value for name, value in found.items() if value is not None}


def _processor(info: Path) -> str | None:
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, ValueError):  # a system without these names
        return None
