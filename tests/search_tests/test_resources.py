import os
from pathlib import Path

import pytest

from search import resources
from search.resources import Machine, Resources, allot, mistakes, this_machine

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
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert this_machine() == Machine(cpus=3, gpus=gpus)
