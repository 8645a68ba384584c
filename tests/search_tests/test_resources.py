import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

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
    mistakes,
    this_machine,
)
from search.room import Memory

TWO = Machine(cpus=2, gpus=0)
EIGHT = Machine(cpus=8, gpus=2)


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


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, 3),
        ("", 0),
        ("0", 1),
        ("0,2", 2),
        ("0,1,2,3,4", 3),
        ("-1", 0),
        ("1,-1,2", 1),
        (" 0 , 1 ", 2),
        ("GPU-8a1b,GPU-77aa", 2),
    ],
)
def test_gpus_that_may_be_seen(
    visible: str | None, gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(resources, "Path", lambda _: tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 9)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(resources, "usable_cpus", lambda: 3)
    monkeypatch.setattr(resources, "smallest_gpu_mb", lambda number: 5.0 if number else None)
    found = this_machine()
    assert (found.cpus, found.gpus, found.gpu_mb) == (3, gpus, 5.0 if gpus else None)


@pytest.mark.parametrize("seen", [0, 1, 2])  # 0: a CPU build of torch, or no driver
def test_gpus_that_torch_can_use(
    seen: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia1"):
        (tmp_path / name).touch()
    monkeypatch.setattr(resources, "Path", lambda _: tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    sizes = [SimpleNamespace(total_memory=mib * 2**20) for mib in (900, 700)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: sizes[number])
    found = this_machine()
    assert (found.gpus, found.gpu_mb) == (seen, [None, 900, 700][seen])


def test_torch_is_not_asked_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "Path", lambda _: tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it raises
    assert this_machine().gpus == 0


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
        ([(0, 0), (0, 0)], 1, 0.0, ["--cpus-per-trial 1: the largest node has 0 CPUs; ask for"]),
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


@pytest.mark.parametrize(
    ("asked", "note"),
    [(None, None), (1, None), (2, None), (8, "--concurrent 8: only 2 fit at once")],
)
def test_fewer_at_once_than_asked_for_is_told(asked: int | None, note: str | None) -> None:
    given = allot(TWO, None, None, asked)
    assert cut_note(Asked(concurrent=asked), given) == note
