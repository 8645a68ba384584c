from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from search import resources
from search.resources import (
    Asked,
    Machine,
    Resources,
    allot,
    check_nodes,
    cut_note,
    describe,
    for_this_device,
    mistakes,
    this_machine,
)
from search.room import Memory

TWO = Machine(cpus=2, gpus=0)
EIGHT = Machine(cpus=8, gpus=2)
LARGE = replace(EIGHT, gpu_mb=24_576.0)


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "concurrent", "expected"),
    [
        (TWO, None, None, None, Resources(1, 0.0, 2)),
        (TWO, 2, None, None, Resources(2, 0.0, 1)),
        (TWO, None, None, 1, Resources(1, 0.0, 1)),
        (TWO, None, None, 9, Resources(1, 0.0, 2)),  # no more than fit
        (TWO, 5, None, None, Resources(5, 0.0, 1)),  # on a cluster: at least one
        (EIGHT, None, None, None, Resources(1, 1.0, 2)),  # a whole GPU each
        (EIGHT, None, 0.0, None, Resources(1, 0.0, 8)),
        (EIGHT, None, 0.25, None, Resources(1, 0.25, 8)),
        (EIGHT, 2, 0.25, None, Resources(2, 0.25, 4)),  # CPUs end before GPUs
        (EIGHT, None, 0.1, None, Resources(1, 0.1, 8)),
        (EIGHT, None, 0.6, None, Resources(1, 0.6, 2)),  # one on each, not three on both
        (EIGHT, None, 2.0, None, Resources(1, 2.0, 1)),
        (Machine(64, 1), None, 0.1, None, Resources(1, 0.1, 10)),  # 1 / 0.1 is just under 10
        # By predicted memory: CPUs end before the twelve trials that 24 GiB have room for.
        (LARGE, None, None, None, Resources(1, 1.0, 8, gpu_mb=24_576.0, gpus=2)),
        (LARGE, None, 1.0, None, Resources(1, 1.0, 2, 18_361.0)),
    ],
)
def test_allot_by_hand(
    machine: Machine,
    cpus: int | None,
    gpus: float | None,
    concurrent: int | None,
    expected: Resources,
) -> None:
    assert allot(machine, cpus, gpus, concurrent) == expected


def test_what_the_machine_has_is_no_mistake() -> None:
    assert mistakes(EIGHT, 8, 2.0) == []
    assert mistakes(TWO, None, None) == []
    assert mistakes(TWO, 1, 0.0) == []


def test_mistakes_by_hand() -> None:
    way_on = "ask for fewer, or give --address of a cluster that has them"
    assert mistakes(TWO, 3, 0.5) == [
        f"--cpus-per-trial 3: this machine has 2 CPUs; {way_on}",
        f"--gpus-per-trial 0.5: this machine has 0 GPUs; {way_on}",
    ]


def test_gpus_that_cannot_be_used_are_refused_with_the_reason() -> None:
    machine = replace(TWO, unused_gpus="torch 2.13.0 is a CPU build")
    assert mistakes(machine, None, 1.0) == [
        "--gpus-per-trial 1: no GPU of this machine can be used: torch 2.13.0 is a CPU build; "
        "ask for fewer, or give --address of a cluster that has them"
    ]
    assert mistakes(machine, None, None) == mistakes(machine, None, 0.0) == []


def test_a_gpu_that_others_fill_is_a_mistake_and_none_that_no_trial_wants() -> None:
    # 1,024 MiB stay free, and a context takes 600: of 1,626 a trial has 1 MiB.
    full = replace(TWO, gpus=1, gpu_mb=1_625.0)
    (line,) = mistakes(full, None, None)
    assert line == (
        "only 1625 MiB of a GPU are free on this machine, too little for a trial: end what holds "
        "the rest, leave that GPU out by CUDA_VISIBLE_DEVICES, or give --gpus-per-trial 0"
    )
    assert mistakes(full, None, 0.0) == []
    assert mistakes(replace(full, gpu_mb=1_626.0), None, None) == []


def test_more_memory_than_the_machine_has_is_a_mistake() -> None:
    # 16,000 MiB: a twentieth and 1,200 MiB stay free.
    machine = replace(TWO, memory=Memory(16_000, 900))
    assert mistakes(machine, None, None, 14_000) == []
    assert mistakes(machine, None, None, 14_001) == [
        "--memory-per-trial 14001M: this machine has 14000M for trials; ask for less, or give "
        "--address of a cluster that has it"
    ]
    on_gpu = replace(machine, gpus=1)
    assert mistakes(on_gpu, None, None, 99_000) == []
    assert len(mistakes(on_gpu, None, 0.0, 99_000)) == 1


def test_too_little_free_memory_for_any_trial_is_a_mistake() -> None:
    # Of 8,000 MiB a twentieth and 1,200 MiB stay free: of 2,199 free ones 599 are for trials.
    machine = replace(TWO, memory=Memory(8_000, 2_199))
    assert mistakes(machine, None, None) == [
        "only 599M of memory are free for trials on this machine, too little for one: end what "
        "holds the rest, or say by --memory-per-trial SIZE what one may take"
    ]
    assert mistakes(replace(machine, memory=Memory(8_000, 2_200)), None, None) == []
    assert mistakes(machine, None, None, 500) == []  # held against all that the machine has
    assert mistakes(replace(machine, gpus=1), None, None) == []
    assert len(mistakes(replace(machine, gpus=1), None, 0.0)) == 1
    assert mistakes(replace(machine, memory=None), None, None) == []


def test_a_share_of_a_gpu_that_is_too_small_for_any_trial() -> None:
    # 8,192 MiB, less 1,024 for the driver: 8 % of that is less than the 600 of a context.
    machine = replace(EIGHT, gpu_mb=8192.0)
    assert mistakes(machine, None, 0.08) == [
        "--gpus-per-trial 0.08: that part of a GPU of 8192 MiB has no room for a trial; "
        "ask for more"
    ]
    assert mistakes(machine, None, 0.09) == []
    assert mistakes(EIGHT, None, 0.08) == []  # of a size that is not known


def test_this_machine_has_the_memory_of_its_smallest_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [SimpleNamespace(total_memory=mib * 2**20) for mib in (900, 700, 500)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: sizes[number])
    monkeypatch.setattr(resources, "usable_cpus", lambda: 3)
    for count, smallest in ((0, None), (1, 900.0), (2, 700.0)):
        monkeypatch.setattr(resources, "usable_gpus", lambda count=count: count)
        found = this_machine()
        assert (found.cpus, found.gpus, found.gpu_mb) == (3, count, smallest)


def test_this_machine_knows_why_its_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "unused", lambda: "it is old")
    monkeypatch.setattr(resources, "smallest_gpu_mb", lambda *_, **__: None)
    for count, why in ((0, "it is old"), (1, None)):
        monkeypatch.setattr(resources, "usable_gpus", lambda count=count: count)
        assert this_machine().unused_gpus == why


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus"),
    [
        ([(2, 0)], 2, 0.0),
        ([(1, 0), (4, 1)], 4, 1.0),
        ([(0, 0), (1, 1)], 1, 0.25),
        ([(16, 0), (1, 8)], 1, 8.0),
    ],
)
def test_a_node_that_holds_a_trial(nodes: list[tuple[int, int]], cpus: int, gpus: float) -> None:
    assert check_nodes([Machine(*node) for node in nodes], Resources(cpus, gpus, 1)) == []


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "lines"),
    [
        ([], 1, 0.0, ["the cluster has no node that is alive; start one, or give another"]),
        ([(0, 0), (0, 0)], 1, 0.0, ["the cluster has no CPUs or GPUs now: bring some up"]),
        ([(2, 0), (1, 0)], 3, 0.0, ["--cpus-per-trial 3: the largest node has 2 CPUs; ask for"]),
        (
            [(2, 1)],
            3,
            2.0,
            [
                "--cpus-per-trial 3: the largest node has 2 CPUs; ask for fewer",
                "--gpus-per-trial 2: the largest node has 1 GPUs; ask for fewer",
            ],
        ),
        (
            [(8, 0), (0, 4)],
            1,
            0.5,
            [
                "no node has 1 CPUs and 0.5 GPUs together, as a trial needs; ask for other "
                "--cpus-per-trial and --gpus-per-trial"
            ],
        ),
    ],
)
def test_a_trial_that_no_node_holds(
    nodes: list[tuple[int, int]], cpus: int, gpus: float, lines: list[str]
) -> None:
    found = check_nodes([Machine(*node) for node in nodes], Resources(cpus, gpus, 1))
    assert len(found) == len(lines)
    for line, begins in zip(found, lines, strict=True):
        assert line.startswith(begins)


def test_a_cluster_that_has_nothing_yet_is_told_as_such() -> None:
    (line,) = check_nodes([Machine(0, 0)], Resources(1, 0.0, 1))
    assert line.startswith("the cluster has no CPUs or GPUs now: bring some up")
    assert "--cluster-gpus N" in line


@pytest.mark.parametrize(
    ("asked", "note"),
    [(None, None), (1, None), (2, None), (8, "--concurrent 8: only 2 fit at once")],
)
def test_fewer_at_once_than_asked_for_is_told(asked: int | None, note: str | None) -> None:
    given = allot(TWO, None, None, asked)
    assert cut_note(Asked(concurrent=asked), given) == note


def test_fewer_at_once_since_there_are_no_more_is_not_told() -> None:
    asked = Asked(concurrent=8, trials=1)
    assert cut_note(asked, allot(TWO, *asked)) is None
    asked = Asked(concurrent=8, trials=3)
    assert cut_note(asked, allot(TWO, *asked)) == "--concurrent 8: only 2 fit at once"


def test_resources_in_words() -> None:
    assert describe(Resources(2, 0.0, 1)) == "1 trial at a time, with 2 CPU"
    told = "3 trials at once, each with 1 CPU and 0.5 GPU, at most 2,048 MiB"
    assert describe(Resources(1, 0.5, 3, memory_mb=2048.0)) == told
    told = (
        "8 trials at once, each with 1 CPU and the share of a GPU that its predicted memory needs"
    )
    one = Resources(1, 1.0, 8, gpu_mb=24_576.0, gpus=1)
    assert describe(one) == f"{told}, of 24,576 MiB"
    assert describe(replace(one, gpus=2)) == f"{told}, of 24,576 MiB (the one with least)"


def test_a_share_of_a_smaller_gpu_has_no_more_memory_than_there_is() -> None:
    # Of a quarter of 23,552 MiB, less 600 for the context, on 1.25: 4,230.4.
    assert allot(LARGE, None, 0.25, None, 27_915.0).memory_mb == 4_230.0
    assert allot(LARGE, None, 0.25, None, 4_000.0).memory_mb == 4_000.0
    assert allot(EIGHT, None, 0.25, None, 27_915.0).memory_mb == 27_915.0  # it does not tell
    busy = replace(LARGE, gpu_mb=2_000.0, gpu_whole_mb=24_576.0)  # which may be over soon
    assert allot(busy, None, 0.25, None, 4_000.0).memory_mb == 4_000.0


@pytest.mark.parametrize(
    ("machine", "gpus", "kept", "same"),
    [
        (LARGE, None, {"on_gpu": False}, False),
        (LARGE, None, {"on_gpu": True}, True),
        (LARGE, 0.0, {"on_gpu": False}, True),
        (TWO, None, {"on_gpu": False}, True),
        (TWO, None, {"on_gpu": True}, False),
        (LARGE, None, {"on_gpu": False, "memory_asked": 900.0}, True),
        (LARGE, None, {}, True),  # of an earlier version
    ],
)
def test_memory_of_another_kind_of_device_is_not_kept(
    machine: Machine, gpus: float | None, kept: dict[str, Any], same: bool
) -> None:
    asked = Asked(1, gpus, None, 2_100.0, at_once=4, trials=24)
    anew = Asked(1, gpus, None, None, at_once=None, trials=24)
    assert for_this_device(asked, machine, kept) == (asked if same else anew)


def test_memory_that_is_given_anew_holds_on_another_device() -> None:
    given = Asked(1, None, None, 2_100.0, at_once=None, trials=24)
    assert for_this_device(given, LARGE, {"on_gpu": False}) == given
