"""What the machine has and what a trial gets of it: CPUs, a share of a GPU, how many at once."""

import os
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
    """Count CPUs and GPUs without starting anything.

    GPUs by their device files, as far as CUDA_VISIBLE_DEVICES lets them be seen.
    """
    devices = len(list(Path("/dev").glob("nvidia[0-9]*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As CUDA reads it: what follows the first name that is none counts no more.
        names = takewhile(lambda name: name and name != "-1", map(str.strip, visible.split(",")))
        devices = min(devices, len(list(names)))
    return Machine(cpus=len(os.sched_getaffinity(0)), gpus=devices)


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


def allot(
    machine: Machine,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    concurrent: int | None,
) -> Resources:
    """Return the resources of a study; what is None is chosen.

    One CPU per trial (two trials side by side finish more epochs per hour than one trial on two
    CPUs: benchmarks/README.md), a whole GPU per trial where there is one, and as many trials at
    once as fit.
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
