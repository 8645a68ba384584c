"""What the machine has and what a trial gets of it: CPUs, GPUs, memory, how many at once.

`search.shares` goes on from here where trials of one study differ.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from search.gpus import smallest_gpu_mb, unused, usable_gpus
from search.room import (
    GPU_HOST_MB,
    LEAST_MB,
    TOO_LITTLE_MB,
    Memory,
    gpu_room_mb,
    memory,
    trials_per_gpu,
)
from trainables.cpu import usable_cpus

_UNLIMITED = 10_000


@dataclass(frozen=True)
class Machine:
    """CPUs this process may use, and GPUs it may see; `gpu_mb` is what the fullest has free.

    `gpu_whole_mb` is what the smallest has, whoever holds it. None stands for what is not known.
    """

    cpus: int
    gpus: int
    name: str = "this machine"
    memory: Memory | None = None
    gpu_mb: float | None = None
    unused_gpus: str | None = None  # why some are there and none is counted
    gpu_whole_mb: float | None = None


class Asked(NamedTuple):
    """What the command line asks for; None is left to us.

    `at_once` is how many trials had this memory each when an earlier driver began the study;
    `trials`, how many the study has.
    """

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    concurrent: int | None = None
    memory_per_trial: float | None = None  # MiB
    at_once: int | None = None
    trials: int | None = None


@dataclass(frozen=True)
class Resources:
    """What every trial of a study gets, and how many run at once.

    `memory_mb` is what a trial may use, in MiB: on a CPU resident without mapped data, on a GPU of
    the device's (None: no limit). With `gpu_mb`, what the fullest GPU has free, shares of GPUs
    follow the predicted memory of each configuration, and `gpus_per_trial` is the most: trials go
    to `gpus` GPUs. `reserved_mb` is what Ray sets aside for a trial on its node: on clusters,
    where nodes differ.
    """

    cpus_per_trial: int
    gpus_per_trial: float
    concurrent: int
    memory_mb: float | None = None
    gpu_mb: float | None = None
    reserved_mb: float | None = None
    gpus: int = 0


def this_machine() -> Machine:
    """Count CPUs, GPUs and memory without starting anything."""
    gpus = usable_gpus()
    return Machine(
        usable_cpus(),
        gpus,
        memory=memory(),
        gpu_mb=smallest_gpu_mb(gpus),
        unused_gpus=None if gpus else unused(),
        gpu_whole_mb=smallest_gpu_mb(gpus, less_held=False),
    )


def mistakes(
    machine: Machine,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    memory_per_trial: float | None = None,
) -> list[str]:
    """Return a line for everything that a trial asks for beyond what the machine has."""
    found = []
    if cpus_per_trial is not None and cpus_per_trial > machine.cpus:
        found.append(
            f"--cpus-per-trial {cpus_per_trial}: {machine.name} has {machine.cpus} CPUs; "
            f"ask for fewer, or give --address of a cluster that has them"
        )
    if gpus_per_trial is not None and gpus_per_trial > machine.gpus:
        has = f"{machine.name} has {machine.gpus} GPUs"
        if machine.unused_gpus:
            has = f"no GPU of {machine.name} can be used: {machine.unused_gpus}"
        found.append(
            f"--gpus-per-trial {gpus_per_trial:g}: {has}; "
            f"ask for fewer, or give --address of a cluster that has them"
        )
    if gpus_per_trial and machine.gpu_mb and not _fits_share(machine.gpu_mb, gpus_per_trial):
        found.append(
            f"--gpus-per-trial {gpus_per_trial:g}: that part of a GPU of {machine.gpu_mb:.0f} MiB "
            "has no room for a trial; ask for more"
        )
    if gpus_per_trial is None and machine.gpu_mb and not _fits_share(machine.gpu_mb, 1.0):
        found.append(
            f"only {machine.gpu_mb:.0f} MiB of a GPU are free on {machine.name}, too little for a "
            "trial: end what holds the rest, leave that GPU out by CUDA_VISIBLE_DEVICES, or give "
            "--gpus-per-trial 0"
        )
    most_mb = machine.memory.most_mb if machine.memory else math.inf
    on_gpu = machine.gpus if gpus_per_trial is None else gpus_per_trial
    if memory_per_trial is not None and not on_gpu and memory_per_trial > most_mb:
        found.append(
            f"--memory-per-trial {memory_per_trial:.0f}M: {machine.name} has {most_mb:.0f}M for "
            f"trials; ask for less, or give --address of a cluster that has it"
        )
    room_mb = machine.memory.room_mb if machine.memory else math.inf
    if memory_per_trial is None and not on_gpu and room_mb < TOO_LITTLE_MB:
        found.append(
            f"only {room_mb:.0f}M of memory are free for trials on {machine.name}, too little for "
            "one: end what holds the rest, or say by --memory-per-trial SIZE what one may take"
        )
    return found


def _fits_share(gpu_mb: float, share: float) -> bool:
    return int(gpu_room_mb(gpu_mb, share)) >= 1


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
    if not largest.cpus and not largest.gpus:
        return [
            "the cluster has no CPUs or GPUs now: bring some up, with search.submit by "
            "--cluster-gpus N or --cluster-cpus N, or by min_workers of the cluster"
        ]
    apart = (
        f"no node has {cpus} CPUs and {gpus:g} GPUs together, as a trial needs; "
        f"ask for other --cpus-per-trial and --gpus-per-trial"
    )
    return mistakes(largest, cpus, gpus) or [apart]


def cut_note(asked: Asked, resources: Resources) -> str | None:
    """Return a line if fewer trials run at once than --concurrent asks for, and there are."""
    wanted = min(asked.concurrent or 0, asked.trials or _UNLIMITED)
    if wanted <= resources.concurrent:
        return None
    return f"--concurrent {asked.concurrent}: only {resources.concurrent} fit at once"


def allot(
    machine: Machine,
    cpus_per_trial: int | None,
    gpus_per_trial: float | None,
    concurrent: int | None,
    memory_per_trial: float | None = None,
    at_once: int | None = None,
    trials: int | None = None,
) -> Resources:
    """Return the resources of a study; what is None is chosen.

    One CPU per trial (two trials side by side train 1.15 times as many images per second as one
    trial on two CPUs: benchmarks/README.md), and as many trials at once as fit. Where there are
    GPUs, each trial gets the share that its predicted memory needs. On CPUs the room for trials
    is divided by how many run at once: at most so many that each has `LEAST_MB`, and no more than
    there are.
    """
    cpus = cpus_per_trial or 1
    gpus = float(machine.gpus > 0) if gpus_per_trial is None else gpus_per_trial
    gpu_mb = machine.gpu_mb if gpus_per_trial is None else None
    by_gpu = _UNLIMITED
    if gpus:
        by_gpu = machine.gpus * trials_per_gpu(gpu_mb) if gpu_mb else _fits_gpus(machine, gpus)
    if gpus:
        by_memory = _fits_beside_gpus(machine) if concurrent is None else _UNLIMITED
    else:
        by_memory = _fits_memory(machine, memory_per_trial, at_once)
    fits = max(1, min(machine.cpus // cpus, by_gpu, by_memory, trials or _UNLIMITED))
    found = Resources(
        cpus, gpus, fits if concurrent is None else min(concurrent, fits), memory_per_trial, gpu_mb
    )
    if gpu_mb is not None:
        return replace(found, gpus=machine.gpus)
    if memory_per_trial is None:
        return replace(found, memory_mb=_memory_mb(machine, found))
    whole = replace(machine, gpu_mb=machine.gpu_whole_mb or machine.gpu_mb)
    most = _memory_mb(whole, found) if gpus else None  # a share of another GPU may have had more
    return found if most is None else replace(found, memory_mb=min(memory_per_trial, most))


def for_this_device(asked: Asked, machine: Machine, kept: Mapping[str, Any]) -> Asked:
    """Return what is asked for less what a study had of another kind of device's memory.

    `kept` is what study.json has of its resources. What was worked out for it on a CPU says
    nothing of a GPU, nor the other way round: there it is worked out anew.
    """
    gpus = machine.gpus if asked.gpus_per_trial is None else asked.gpus_per_trial
    same = kept.get("on_gpu") in (None, gpus > 0)  # None: an earlier version did not tell
    if same or asked.at_once is None or kept.get("memory_asked") is not None:
        return asked
    return asked._replace(memory_per_trial=None, at_once=None)


def _fits_beside_gpus(machine: Machine) -> int:
    """Return how many trials on GPUs the machine's own memory holds.

    Of more Ray's monitor would kill one after the other.
    """
    if machine.memory is None:
        return _UNLIMITED
    return int(machine.memory.most_mb // GPU_HOST_MB)


def _fits_memory(machine: Machine, memory_per_trial: float | None, at_once: int | None) -> int:
    """Return how many trials on CPUs the machine's memory holds.

    What is asked for is held against all of the memory. So is what is kept from an earlier run,
    since what is free changes from run to run; but no more trials than ran at once then are begun
    if there is no room for them now.
    """
    if machine.memory is None:
        return _UNLIMITED
    if memory_per_trial is None:
        return int(machine.memory.room_mb // LEAST_MB)
    most = int(machine.memory.most_mb // memory_per_trial)
    if at_once is None:
        return most
    return min(most, max(at_once, int(machine.memory.room_mb // memory_per_trial)))


def _memory_mb(machine: Machine, resources: Resources) -> float | None:
    """Return what each of the trials at once may use, in whole MiB."""
    if resources.gpus_per_trial:
        share = resources.gpus_per_trial
        return None if machine.gpu_mb is None else float(int(gpu_room_mb(machine.gpu_mb, share)))
    if machine.memory is None:
        return None
    return max(1.0, float(machine.memory.room_mb // resources.concurrent))


def _fits_gpus(machine: Machine, share: float) -> int:
    """Return how many trials fit; a trial's share lies on one GPU."""
    if share >= 1:
        return int(machine.gpus / share)
    return machine.gpus * int(1 / share + 1e-9)


def describe(resources: Resources) -> str:
    """Return the resources in words."""
    if resources.gpu_mb is not None:
        gpus = " and the share of a GPU that its predicted memory needs, of "
        gpus += f"{resources.gpu_mb:,.0f} MiB" + " (the one with least)" * (resources.gpus > 1)
    else:
        gpus = f" and {resources.gpus_per_trial:g} GPU" if resources.gpus_per_trial else ""
    memory = f", at most {resources.memory_mb:,.0f} MiB" if resources.memory_mb else ""
    cpus = resources.cpus_per_trial
    each = f"{cpus} CPU{gpus}{memory}"
    if resources.concurrent == 1:
        return f"1 trial at a time, with {each}"
    return f"{resources.concurrent} trials at once, each with {each}"
