"""Where the seconds went and what memory held, counted by hand on moments and mappings made up."""

from collections import Counter

import pytest

from benchmarks import copies, start
from benchmarks.start import Moment

DRIVER, ONE, TWO = 1, 2, 3

SMAPS = """\
7f00-7f10 r--s 00000000 fe:00 12  /cache/images/a b/images.npy
Rss:     400 kB
Pss:     200 kB
Private_Clean:     100 kB
Private_Dirty:       0 kB
7f10-7f20 r-xp 00000000 fe:00 13  /lib/libtorch_cpu.so
Pss:      60 kB
Private_Clean:       0 kB
Private_Dirty:      10 kB
7f20-7f30 rw-p 00000000 00:00 0
Pss:     500 kB
Private_Clean:       0 kB
Private_Dirty:     500 kB
VmFlags: rd wr
"""


def moments(process: int, *seen: tuple[float, float, str]) -> list[Moment]:
    return [Moment(clock, cpu, process, what) for clock, cpu, what in seen]


FOUND = [
    *moments(DRIVER, (0.0, 0.0, "command"), (2.0, 1.5, "Ray up"), (2.5, 1.75, "trial handed out")),
    *moments(TWO, (3.0, 0.5, "taken"), (9.0, 4.0, "epoch")),
    *moments(
        ONE,
        (3.0, 0.5, "taken"),
        (4.0, 1.0, "begun"),
        (5.0, 1.5, "epoch"),
        (6.0, 2.0, "trained"),
        (6.5, 2.25, "answer"),
        (7.0, 2.5, "step"),
        (7.25, 2.5, "answer"),
        (8.0, 3.0, "taken"),
        (8.5, 3.25, "begun"),
        (9.0, 3.25, "predict"),
        (10.0, 4.0, "predicted"),
        (10.5, 4.25, "epoch"),
        (11.5, 5.0, "trained"),
    ),
]


def test_the_start_follows_the_worker_whose_epoch_begins_first() -> None:
    ordered = sorted(FOUND)
    assert list(start.first(ordered)) == [
        ("Ray up", 2.0, 1.5),
        ("trial handed out", 2.5, 1.75),
        ("taken", 3.0, 0.5),
        ("begun", 4.0, 1.0),
        ("predict", 9.0, 3.25),
        ("predicted", 10.0, 4.0),
        ("epoch", 5.0, 1.5),
        ("trained", 6.0, 2.0),
        ("answer", 6.5, 2.25),
    ]


def test_only_later_trials_of_a_worker_count_as_warm() -> None:
    steps = {name: taken for name, taken in start.between(sorted(FOUND)).items() if taken}
    assert steps == {
        "the trial is over, the next handed out": [(0.75, 0.5)],
        "its folder": [(0.5, 0.25)],
        "threads set, memory given back": [(0.5, 0.0)],
        "memory predicted": [(1.0, 0.75)],
        "network built, data mapped": [(0.5, 0.25)],
        "all of these": [(3.25, 1.75)],
        "weights, checkpoint written": [(0.5, 0.25)],
        "reported, decided on": [(0.5, 0.25)],
    }


@pytest.mark.parametrize(
    ("text", "driver", "expected"),
    [
        (SMAPS, False, {copies.DATA: 200, copies.TRIALS: 510, copies.SHARED: 50}),
        (SMAPS, True, {copies.DATA: 200, copies.DRIVER: 560}),
        (SMAPS.replace("torch", "ray"), False, {copies.DATA: 200, copies.RAY: 560}),
    ],
)
def test_memory_of_a_process_by_part(text: str, driver: bool, expected: dict[str, int]) -> None:
    found = copies.parts(text, driver, "/cache")
    assert found == Counter({name: 1024 * size for name, size in expected.items()})
