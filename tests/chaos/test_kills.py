"""The driver killed at every write, and in the middle of writes, hundreds of times. No Ray."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from search.additive import STARTUP
from search.plan import Plan
from tests.chaos.conftest import SEED, times
from tests.chaos.killing import (
    CUT,
    KILLED,
    changed,
    count_writes,
    cut_at,
    doubled,
    ended,
    in_child,
    killed_at,
    run_study,
    tables,
)

pytestmark = pytest.mark.slow
SAMPLERS = ("random", "tpe", "prior", "gp", "additive")


def plan_of(seed: int, sampler: str = "random") -> Plan:
    trials = STARTUP + 6 if sampler == "additive" else 8  # before, it draws at random
    return Plan(trials, max_epochs=4, seed=seed, sampler=sampler, stopper="asha")


def undisturbed(plan: Plan, root: Path) -> Path:
    run_study(plan, root)
    statuses = {row["status"] for row in tables(root)[0]}
    assert {"completed", "stopped"} <= statuses
    return root


def compare(root: Path, calm: Path, tally: Counter[str]) -> None:
    """Count what a fault did to a study, and allow none of it."""
    found = {"trials doubled": doubled(root), "trials changed": changed(root, calm)}
    tally.update(found)
    tally["trials compared"] += len(tables(calm)[0])
    assert found == {"trials doubled": 0, "trials changed": 0}
    assert tables(root) == tables(calm)
    assert not list((root / "trials").iterdir()) or "failed" in str(tables(root)[0])
    for name in ("best.json", "best.pt"):
        assert (root / name).read_bytes() == (calm / name).read_bytes()


def test_killed_before_any_write_and_resumed(memory_path: Path, tally: Counter[str]) -> None:
    plan = plan_of(SEED)
    calm = undisturbed(plan, memory_path / "calm")
    writes = count_writes(lambda: run_study(plan, memory_path / "counted"))
    assert writes > 300
    step = max(1, round(writes / times(150)))
    visited = range(1 + SEED % step, writes + 1, step)
    print(f"seed {SEED}: {writes} writes, killed before {len(visited)} of them")
    root = memory_path / "killed"
    for write in visited:
        assert killed_at(write, lambda: run_study(plan, root)) == KILLED, write
        tally["kills"] += 1
        run_study(plan, root)
        compare(root, calm, tally)
        shutil.rmtree(root)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_killed_again_and_again(sampler: str, memory_path: Path, tally: Counter[str]) -> None:
    draws = random.Random(f"{SEED} {sampler}")
    for _ in range(times(2)):
        plan = plan_of(draws.randrange(1000), sampler)
        print(f"seed {SEED}: {plan}")
        calm = undisturbed(plan, memory_path / f"calm-{plan.seed}")
        root = memory_path / f"killed-{plan.seed}"
        kills = kill_until_it_ends(plan, root, draws)
        tally["kills"] += kills
        assert kills > 3
        compare(root, calm, tally)


def kill_until_it_ends(plan: Plan, root: Path, draws: random.Random) -> int:
    """Kill a study and go on with it, until it has come to its end; return how often."""
    kills = 0
    # From the opening of a study to its first new line are about 40 writes.
    while killed_at(draws.randrange(1, 160), lambda: run_study(plan, root)) == KILLED:
        kills += 1
        assert kills < 300, "it comes no further"
    return kills


def test_killed_in_the_middle_of_a_write(memory_path: Path, tally: Counter[str]) -> None:
    plan = plan_of(SEED + 1)
    calm = undisturbed(plan, memory_path / "calm")
    largest = (calm / "journal.log").stat().st_size
    draws = random.Random(SEED)
    root, torn = memory_path / "cut", 0
    for _ in range(times(40)):
        size = draws.randrange(1, largest)
        assert cut_at(size, lambda: run_study(plan, root)) == CUT, size
        torn += any(path.stat().st_size == size for path in root.rglob("*"))
        tally["kills"] += 1
        run_study(plan, root)
        compare(root, calm, tally)
        shutil.rmtree(root)
    print(f"seed {SEED}: {torn} files cut in the middle")
    assert torn > times(40) // 2


def test_killed_with_three_at_a_time(memory_path: Path, tally: Counter[str]) -> None:
    draws = random.Random(SEED + 2)
    for _ in range(times(6)):
        plan = plan_of(draws.randrange(1000), "tpe")
        print(f"seed {SEED}: {plan}")
        kill_three_at_a_time(plan, memory_path / f"killed-{plan.seed}", draws, tally)


def kill_three_at_a_time(
    plan: Plan, root: Path, draws: random.Random, tally: Counter[str]
) -> None:
    before: dict[str, dict[str, str]] = {}
    status = KILLED
    while status:
        status = killed_at(draws.randrange(1, 700), lambda: run_study(plan, root, 3))
        assert status in (0, KILLED)
        tally["kills"] += status == KILLED
        now = ended(root)
        lost = {number for number, row in before.items() if now.get(number) != row}
        tally["trials lost"] += len(lost)
        assert not lost
        before = now
    tally["trials doubled"] += doubled(root)
    assert doubled(root) == 0
    assert sorted(before, key=int) == [str(number) for number in range(plan.trials)]
    assert in_child(lambda: run_study(plan, root)) == 0  # nothing is left to do
    assert ended(root) == before
