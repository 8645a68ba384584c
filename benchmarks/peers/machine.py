"""What a benchmark ran on: processor, GPUs, cores, package versions, load; what is missing."""

import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

NEEDS = {
    "syne_tune": ("syne_tune",),
    "keras_tuner": ("keras", "keras_tuner"),
}
VERSIONS = ("torch", "torchvision", "ray", "optuna", "syne-tune", "keras", "keras-tuner")


def missing_packages(tools: Sequence[str]) -> list[str]:
    """Return a line per tool whose packages are not installed."""
    return [
        f"--tools {tool}: {', '.join(lacking)} not installed; use `make bench`, or leave it out"
        for tool in tools
        if (lacking := [n for n in NEEDS.get(tool, ()) if importlib.util.find_spec(n) is None])
    ]


def facts(cores: int) -> str:
    """Return a line for the machine and one for the versions: what times depend on, and stays."""
    memory = psutil.virtual_memory().total / 2**30
    found = {name: _version(name) for name in VERSIONS}
    versions = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    return (
        f"Machine: {', '.join([*gpu_names(), processor()])}, {os.cpu_count()} cores of which "
        f"{cores} were used, {memory:.0f} GiB\n"
        f"Versions: Python {platform.python_version()}, {versions}"
    )


def moment() -> str:
    """Return date and load as they are now."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d %H:%M')}, load {load} (1, 5, 15 minutes)"


def processor() -> str:
    """Return the processor's name as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpus() -> int:
    """Return how many GPUs torch sees and can compute on."""
    import torch

    from trainables.cuda import can_compute

    return torch.cuda.device_count() if can_compute() else 0


def gpu_names() -> list[str]:
    """Return the names of those GPUs."""
    import torch

    return [torch.cuda.get_device_name(number) for number in range(gpus())]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
