"""Damaged files of a study: refused with what is left, or made again; nothing silent."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.errors import StudyFailed
from search.plan import Plan
from tests.chaos.conftest import SEED, times
from tests.chaos.killing import run_study, tables
from tests.chaos.test_kills import plan_of, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture
def plan() -> Plan:
    return plan_of(SEED)


@pytest.fixture
def calm(memory_path: Path, plan: Plan) -> Path:
    return undisturbed(plan, memory_path / "calm")


def without(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def twice(lines: list[bytes], at: int) -> list[bytes]:
    return lines[: at + 1] + lines[at:]


def swapped(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], *reversed(lines[at : at + 2]), *lines[at + 2 :]]


def cut_short(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at][: len(lines[at]) // 2], *lines[at + 1 :]]


def garbage(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], random.Random(at).randbytes(40) + b"\n", *lines[at + 1 :]]


def zeros(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], bytes(len(lines[at]) - 1) + b"\n", *lines[at + 1 :]]


def is_refused(plan: Plan, root: Path) -> bool:
    """Go on with a study; tell whether that was refused, which leaves the journal as it was."""
    before = (root / "journal.log").read_bytes()
    told = ""
    try:
        run_study(plan, root)
    except StudyFailed as error:
        told = str(error)
    assert not told or "damaged" in told
    assert not told or (root / "journal.log").read_bytes() == before
    return bool(told)


@pytest.mark.parametrize("damage", [without, twice, swapped, cut_short, garbage, zeros])
def test_a_damaged_journal_is_refused_or_gives_the_same_study(
    damage: Callable[[list[bytes], int], list[bytes]],
    calm: Path,
    plan: Plan,
    memory_path: Path,
    tally: Counter[str],
) -> None:
    lines = (calm / "journal.log").read_bytes().splitlines(keepends=True)
    assert len(lines) > 40
    refused = 0
    for at in range(len(lines)):
        root = memory_path / "damaged"
        shutil.copytree(calm, root)
        (root / "journal.log").write_bytes(b"".join(damage(lines, at)))
        refused += is_refused(plan, root)
        assert tables(root) == tables(calm), at  # what is finished can still be read
        shutil.rmtree(root)
    tally[f"journals {damage.__name__}"] += len(lines)
    tally["refused"] += refused
    assert refused or damage is twice


OTHERS = ("trials.csv", "curves.csv", "best.json")
DAMAGE = {
    "gone": None,
    "empty": b"",
    "garbage": random.Random(0).randbytes(300),
    "cut": b"trial,sta",
    "zeros": bytes(300),
}


@pytest.fixture(params=OTHERS)
def derived(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", DAMAGE)
def test_what_follows_from_the_journal_is_made_again(
    derived: str, how: str, calm: Path, plan: Plan
) -> None:
    before = {name: (calm / name).read_bytes() for name in OTHERS}
    content = DAMAGE[how]
    (calm / derived).unlink()
    if content is not None:
        (calm / derived).write_bytes(content)
    run_study(plan, calm)
    assert {name: (calm / name).read_bytes() for name in OTHERS} == before


def test_any_byte_of_the_journal_s_end_may_be_lost(
    calm: Path, plan: Plan, memory_path: Path, tally: Counter[str]
) -> None:
    whole = (calm / "journal.log").read_bytes()
    draws = random.Random(SEED)
    for _ in range(times(40)):
        root = memory_path / "torn"
        shutil.copytree(calm, root)
        shutil.rmtree(root / "trials", ignore_errors=True)
        kept = draws.randrange(1, len(whole))
        (root / "journal.log").write_bytes(whole[:kept] + bytes(draws.choice((0, 0, 17))))
        run_study(plan, root)
        assert tables(root) == tables(calm), kept
        shutil.rmtree(root)
        tally["journals torn"] += 1
