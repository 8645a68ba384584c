"""What the machine has and what a trial gets of it: CPUs, a share of a GPU, how many at once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

_UNLIMITED = 10_000


@dataclass(frozen=True)
class Machine:
    """CPUs this process may use, and GPUs it may see."""

    cpus: int
    gpus: int
    name: str = "this machine"


class Asked(NamedTuple):
    """What the command line asks for; None is left to us."""

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    concurrent: int | None = None


@dataclass(frozen=True)
class Resources:
    """What every trial of a study gets, and how many run at once."""

    cpus_per_trial: int
    gpus_per_trial: float
    concurrent: int


def this_machine() -> Machine:
    """Count CPUs and GPUs without starting anything."""
    return Machine(cpus=usable_cpus(), gpus=_usable_gpus())


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


def _usable_gpus() -> int:
    """Count GPUs by their device files, as far as CUDA_VISIBLE_DEVICES and torch see them."""
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As CUDA reads it: what follows the first name that is none counts no more.
        names = takewhile(lambda name: name and name != "-1", map(str.strip, visible.split(",")))
        devices = min(devices, len(list(names)))
    if not devices:
        return 0
    import torch  # two seconds, for machines with a GPU alone

    return min(devices, torch.cuda.device_count())  # 0 where torch is a CPU build


def mistakes(
    machine: Machine, cpus_per_trial: int | None, gpus_per_trial: float | None
) -> list[str]:
    """Return a line for everything that a trial asks for beyond what the machine has."""
    found = []
    if cpus_per_trial is not None and cpus_per_trial > machine.cpus:
        found.append(
            f"--cpus-per-trial {cpus_per_trial}: {machine.name} has {machine.cpus} CPUs; "
            f"ask for fewer, or give --address of a cluster that has them"
        )
    if gpus_per_trial is not None and gpus_per_trial > machine.gpus:
        found.append(
            f"--gpus-per-trial {gpus_per_trial:g}: {machine.name} has {machine.gpus} GPUs; "
            f"ask for fewer, or give --address of a cluster that has them"
        )
    return found


def check_nodes(nodes: Sequence[Machine], resources: Resources) -> list[str]:
    """Return why no node of a cluster can hold a trial, or nothing where one can.

    A trial that fits no node would wait for ever. CPUs on one node and GPUs on another do not
    make a trial.
    """
    cpus, gpus = resources.cpus_per_trial, resources.gpus_per_trial
    if not nodes:
        return ["the cluster has no node that is alive; start one, or give another --address"]
    if any(node.cpus >= cpus and node.gpus >= gpus for node in nodes):
        return []
    largest = Machine(
        max(node.cpus for node in nodes), max(node.gpus for node in nodes), "the largest node"
    )
    apart = (
        f"no node has {cpus} CPUs and {gpus:g} GPUs together, as a trial needs; "
        f"ask for other --cpus-per-trial and --gpus-per-trial"
    )
    return mistakes(largest, cpus, gpus) or [apart]


def cut_note(asked: Asked, resources: Resources) -> str | None:
    """Return a line if fewer trials run at once than --concurrent asks for."""
    if asked.concurrent is None or asked.concurrent <= resources.concurrent:
        return None
    return f"--concurrent {asked.concurrent}: only {resources.concurrent} fit at once"


def allot(
    machine: Machine,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    concurrent: int | None,
) -> Resources:
    """Return the resources of a study; what is None is chosen.

    One CPU per trial (two trials side by side train 1.15 times as many images per second as one
    trial on two CPUs: benchmarks/README.md), a whole GPU per trial where there is one, and as
    many trials at once as fit.
    """
    cpus = cpus_per_trial or 1
    gpus = float(machine.gpus > 0) if gpus_per_trial is None else gpus_per_trial
    by_gpu = _fits_gpus(machine, gpus) if gpus else _UNLIMITED
    fits = max(1, min(machine.cpus // cpus, by_gpu))
    return Resources(cpus, gpus, fits if concurrent is None else min(concurrent, fits))


def _fits_gpus(machine: Machine, share: float) -> int:
    """Return how many trials fit; a trial's share lies on one GPU."""
    if share >= 1:
        return int(machine.gpus / share)
    return machine.gpus * int(1 / share + 1e-9)


def describe(resources: Resources) -> str:
    """Return the resources in words."""
    gpus = f" and {resources.gpus_per_trial:g} GPU" if resources.gpus_per_trial else ""
    return f"{resources.concurrent} trials at once, each with {resources.cpus_per_trial} CPU{gpus}"
