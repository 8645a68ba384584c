"""A full disk in every kind of write: the study ends with one message, and goes on with room."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.disk import is_full, what_to_free
from search.plan import Plan
from tests.chaos.conftest import times
from tests.chaos.killing import doubled, in_child, run_study, tables
from tests.chaos.test_kills import compare, plan_of, undisturbed
from tests.search_tests.bench import Bench

pytestmark = pytest.mark.slow
PAGE = 4096
FULL = 7


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB in memory."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,huge=never", "none", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """Leave so many pages of the disk free."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        file.write(b"x" * max(0, (free.f_bavail - pages) * PAGE))
    return ballast


def test_the_studys_own_files(small_disk: Path, memory_path: Path, tally: Counter[str]) -> None:
    plan = plan_of(3)
    calm = undisturbed(plan, memory_path / "calm")
    visited = 0
    for pages in range(1, 1 + times(16)):
        root = small_disk / f"study-{pages}"
        ballast = fill(small_disk, pages)
        status = in_child(lambda: run_until_full(plan, root))  # noqa: B023
        ballast.unlink()
        assert status in (0, FULL), pages
        visited += status == FULL
        run_study(plan, root)
        compare(root, calm, tally)
    tally["full disks"] += visited
    assert visited > times(16) // 2


def run_until_full(plan: Plan, root: Path) -> None:
    """Run a study; end the process with FULL if it says that the disk is full."""
    try:
        run_study(plan, root)
    except Exception as error:
        if is_full(error) and "is full" in what_to_free(error, root):
            os._exit(FULL)
        raise


def test_a_trial_s_weights(small_disk: Path) -> None:
    import torch

    from trainables.budget import EpochResult
    from trainables.checkpoint import save_weights

    result = EpochResult(1, "train", 0.1, 0.9, 0.1, 0.9, 0.1, 1.0, 1.0, 1, 1)
    old = torch.nn.Linear(10, 10)
    save_weights(small_disk / "best.pt", old, result)
    whole = (small_disk / "best.pt").read_bytes()
    for pages in (0, 1, 30):
        ballast = fill(small_disk, pages)
        with pytest.raises((OSError, RuntimeError)) as full:
            save_weights(small_disk / "best.pt", torch.nn.Linear(1000, 1000), result)
        ballast.unlink()
        assert is_full(full.value), full.value
        assert (small_disk / "best.pt").read_bytes() == whole
        assert [path.name for path in small_disk.iterdir()] == ["best.pt"]


def test_a_study_on_ray_says_what_to_free_and_goes_on(
    small_disk: Path, bench: Bench, tally: Counter[str]
) -> None:
    there = Bench(bench.root, bench.images, small_disk / "results")
    held = ("--fix", "behaviour=weigh", "--fix", "pause_s=0.05", "--seed", "4")
    plan = ("--trials", "4", "--max-epochs", "3", "--concurrent", "1")
    assert bench.run("--study", "calm-disk", *plan, *held).returncode == 0
    fill(small_disk, 60)  # 240 kB: room for the study's tables, not for two trials' weights
    full = there.run("--study", "full", *plan, *held)
    tally["full disks"] += 1
    assert full.returncode == 1, full.stderr
    last = full.stderr.strip().splitlines()[-2:]
    assert f"{small_disk}" in last[0]
    assert "is full" in last[0]
    assert "free some of it, such as studies no longer needed in" in last[0]
    assert "--study full --resume" in last[1]
    assert "Traceback" not in full.stderr
    before = tables(there.results / "full")[0]
    assert {row["status"] for row in before} & {"running"}
    assert "failed" not in {row["status"] for row in before}
    (small_disk / "ballast").unlink()
    done = there.run("--study", "full", "--resume")
    assert done.returncode == 0, done.stderr
    assert doubled(there.results / "full") == 0
    assert tables(there.results / "full") == tables(bench.results / "calm-disk")
