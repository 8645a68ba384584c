"""The nodes of a cluster: what each has, and so what a trial gets of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from search.errors import UsageError
from search.gpus import smallest_gpu_mb
from search.nvidia_smi import refuses_to_share
from search.progress import say
from search.request import Request
from search.resources import Asked, Machine, Resources, allot, check_nodes
from search.room import TOO_LITTLE_MB, Memory

_MIB = 2**20
# Tasks wait so long for a part of their node's GPU, which trials of others may have taken.
_PATIENCE_S = 60
_LITTLE = 0.001
_UNUSABLE = (
    "node {node}: Ray says that it has a GPU, and torch cannot compute on it (a CPU build of "
    "torch, an old driver or an old GPU): trials there would fail. Start Ray there with "
    "--num-gpus 0, or search with --gpus-per-trial 0"
)


def resources_of(request: Request) -> Resources:
    """Return what each trial gets, on a cluster from what its nodes have now.

    Raises:
        UsageError: a trial asks for more than any node has, and would wait for ever.
    """
    if request.resources is not None:
        return request.resources
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    have = [node["NodeID"] for node in alive if int(node["Resources"].get("GPU", 0))]
    gpus_mb = _gpus_mb(have) if have and request.asked.gpus_per_trial != 0 else {}
    nodes = [_machine(node, gpus_mb.get(node["NodeID"])) for node in alive]
    wrong = check_nodes(nodes, allot(together(nodes), *request.asked))
    if wrong:
        raise UsageError(wrong)
    return divided(nodes, request.asked)


def _machine(node: dict[str, Any], gpu_mb: float | None) -> Machine:
    has = node["Resources"]
    gpus, memory = int(has.get("GPU", 0)), has.get("memory", 0) / _MIB
    if gpu_mb == 0.0:
        raise UsageError([_UNUSABLE.format(node=node["NodeID"][:8])])
    # Ray has taken off already what its object store may use.
    found = Memory(memory, memory) if memory else None
    return Machine(int(has.get("CPU", 0)), gpus, memory=found, gpu_mb=gpu_mb)


def _gpus_mb(nodes: Sequence[str]) -> dict[str, float | None]:
    """Ask all nodes at once for the memory of one of their GPUs, in MiB: those of one are alike.

    None, and a line to the user, for one that does not answer.
    """
    import ray

    # Each starts a worker and imports torch: hundreds in a row would take an hour.
    asked = {node: _ask(node) for node in nodes}
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_PATIENCE_S)
    answered = set(ready)
    found = {node: _answer(task, task in answered) for node, task in asked.items()}
    why = "its GPUs do not tell their memory, or do not share it"
    for node in (node for node, gpu_mb in found.items() if gpu_mb is None):
        say(f"node {node[:8]}: {why}; each trial gets a whole one")
    return found


def _ask(node: str) -> Any:
    """Return the task of a node that finds out."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": _LITTLE, "max_retries": 0}
    ask: Any = ray.remote(**options | {"scheduling_strategy": there})(_smallest)
    return ask.remote()


def _answer(task: Any, is_ready: bool) -> float | None:
    """Return what a task has found; None of one that is not ready, or whose node is gone."""
    import ray

    if not is_ready:
        ray.cancel(task, force=True)
        return None
    try:
        return ray.get(task)  # type: ignore[no-any-return]
    except ray.exceptions.RayError:
        return None


def _smallest() -> float | None:
    """Return the MiB of the smallest GPU that Ray shows here; 0 where torch cannot compute.

    None where a GPU takes one program alone: to compute there would shut out a trial.
    """
    if refuses_to_share():
        return None
    import torch

    from trainables.cuda import can_compute

    if not can_compute():
        return 0.0
    # Of the same Ray's other trials Ray itself keeps account.
    return smallest_gpu_mb(torch.cuda.device_count(), less_held=False)


def together(nodes: Sequence[Machine]) -> Machine:
    """Return the nodes as one machine; its GPUs are as large as the smallest of all.

    Its memory is not known: a trial lies on one node.
    """
    gpu_mb = [node.gpu_mb for node in nodes if node.gpus]
    known = [size for size in gpu_mb if size is not None]
    return Machine(
        sum(node.cpus for node in nodes),
        sum(node.gpus for node in nodes),
        gpu_mb=min(known) if known and len(known) == len(gpu_mb) else None,
    )


def _with_room(
    nodes: Sequence[Machine], asked: Asked
) -> tuple[Sequence[Machine], Sequence[Machine]]:
    """Return the nodes that have the memory for a trial on CPUs, and those that have not.

    One small node would otherwise set the limit of all trials. A node that does not tell its
    memory has enough; Ray could not be told to leave others out then.

    Raises:
        UsageError: no node has it.
    """
    if not nodes or any(node.memory is None for node in nodes):
        return nodes, []
    given = asked.memory_per_trial
    least = TOO_LITTLE_MB if given is None else given
    if asked.at_once is not None:  # kept from the study's beginning: nodes differ by what is free
        least *= 0.9
    has = [_has_mb(node, given) for node in nodes]
    if max(has) < least:
        wants, way = "a trial needs", "bring up larger ones"
        if given is not None:
            wants, way = "--memory-per-trial:", "ask for less"
        if given is not None and asked.at_once is not None:  # kept from the study's beginning
            wants, way = "its trials had", "give --memory-per-trial SIZE"
        raise UsageError(
            [f"{wants} {given or least:.0f}M, and no node has more than {max(has):.0f}M; {way}"]
        )
    small = [node for node, mb in zip(nodes, has, strict=True) if mb < least]
    for mb in sorted(mb for mb in has if mb < least):
        say(f"note: a node with {mb:.0f} MiB for trials is too small for one, and gets none")
    return [node for node in nodes if node not in small], small


def _has_mb(node: Machine, given: float | None) -> float:
    assert node.memory is not None
    return node.memory.room_mb if given is None else node.memory.most_mb


def divided(nodes: Sequence[Machine], asked: Asked) -> Resources:
    """Return the resources of a study on these nodes.

    On CPUs a trial may use what it gets on the node that has least for each of its trials.

    Raises:
        UsageError: on CPUs, no node has the memory for a trial.
    """
    found = allot(together(nodes), *asked)
    places: Sequence[Machine] = [node for node in nodes if not check_nodes([node], found)]
    small: Sequence[Machine] = []
    if not found.gpus_per_trial:
        places, small = _with_room(places, asked)
    alone = asked._replace(at_once=None)  # which counts the trials of all nodes
    here = [allot(node, *alone) for node in places]
    fits = sum(each.concurrent for each in here)
    found = replace(found, concurrent=max(1, min(found.concurrent, fits)))
    if found.gpus_per_trial:  # CPUs of nodes without GPUs are no places
        return found
    rooms = [each.memory_mb for each in here if each.memory_mb is not None]
    memory_mb = min(rooms) if rooms else None
    return _reserved(replace(found, memory_mb=memory_mb), places, small)


def _reserved(found: Resources, places: Sequence[Machine], small: Sequence[Machine]) -> Resources:
    """Let Ray keep a trial's memory free for it: of more than any node has that is too small.

    Ray compares with all of a node's memory.
    """
    known = [node.memory.total_mb for node in places if node.memory is not None]
    if found.memory_mb is None or not known or len(known) < len(places):
        return found
    others = [node.memory.total_mb for node in small if node.memory is not None]
    # Of what a node has not, it would be waited for without end.
    reserved = min([max([found.memory_mb, *(mb + 1 for mb in others)]), *known])
    if not small:
        return replace(found, reserved_mb=reserved)
    cpus = found.cpus_per_trial
    fits = sum(
        min(node.cpus // cpus, int(mb // reserved)) for node, mb in zip(places, known, strict=True)
    )
    return replace(found, reserved_mb=reserved, concurrent=min(found.concurrent, fits))
