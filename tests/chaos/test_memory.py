"""Memory that runs out for real, in a control group of 3 GB: the kernel kills, or Ray does."""

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.killing import table
from tests.search_tests.bench import PATIENCE_S, Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
GROUPS = Path("/sys/fs/cgroup/memory")
LIMIT = 3 * 10**9
# The limit of a trial lets two run at once in the group; what they take heeds no limit.
PLAN = (
    *("--trials", "2", "--concurrent", "2", "--max-epochs", "3", "--stopper", "none"),
    *("--memory-per-trial", "500M"),
)
# A process in the group; with a view of it as the whole machine, as in a container, if asked.
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
ENTER_AND_SEE = f'echo $$ > "$0/cgroup.procs" && mount --bind "$0" {GROUPS} && exec "$@"'
KERNEL = "killed by the kernel, which had no memory left"
RAY = "killed by Ray, since its node ran low on memory"


@pytest.fixture
def group() -> Iterator[Path]:
    place = GROUPS / f"trellis-chaos-{uuid.uuid4().hex[:8]}"
    try:
        place.mkdir()
        (place / "memory.limit_in_bytes").write_text(str(LIMIT))
    except OSError as error:
        pytest.skip(f"no control group with a limit of memory: {error}")
    yield place
    since = time.monotonic()
    # Ray's agents outlive their driver by a minute or so.
    while left := (place / "cgroup.procs").read_text().split():
        assert time.monotonic() - since < 300
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        time.sleep(0.1)
    place.rmdir()


def limited(
    bench: Bench, group: Path, script: str, *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    enter = ["unshare", "--mount", "bash", "-c", script, str(group)]
    return subprocess.run(
        [*enter, *bench.command(*words)],
        cwd=bench.root,
        env={**bench.environment(), "TRELLIS_CHAOS_HOG": "0.05", **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def to_its_end(
    bench: Bench, group: Path, script: str, *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a study; go on with it where the kernel takes the driver, too.

    It does, now and then: for want of anything larger, while what a killed trial held is not free
    yet.
    """
    done = limited(bench, group, script, *words, **more)
    if done.returncode != -signal.SIGKILL:
        return done
    again = limited(bench, group, script, *words[:2], "--resume", **more)
    again.stderr = done.stderr + again.stderr
    return again


@pytest.mark.parametrize(
    ("script", "cause"), [(ENTER, KERNEL), (ENTER_AND_SEE, RAY)], ids=["kernel", "ray"]
)
def test_what_takes_too_much_even_alone_is_infeasible(
    script: str, cause: str, bench: Bench, group: Path, tally: Counter[str]
) -> None:
    name = cause.split(",")[0].split()[-1].lower()
    words = ("--study", name, *PLAN, "--fix", "behaviour=hog", "--fix", "pause_s=0.5")
    # Ray looks four times a second; the 40 % left take two trials twelve seconds at least.
    slowly = {"TRELLIS_CHAOS_HOG": "0.2"} if cause == RAY else {}
    done = to_its_end(bench, group, script, *words, RAY_memory_usage_threshold="0.6", **slowly)
    trials = table(bench.results / name / "trials.csv")
    ended = f"exit {done.returncode}\n{done.stderr}"
    assert [row["status"] for row in trials] == ["infeasible"] * 2, ended
    assert {row["error"] for row in trials} == {f"out of memory: {cause}"}
    assert done.returncode == 1
    assert "none of 2 trials finished; the last error: out of memory" in done.stderr
    again = done.stderr.count("it is tried once more with no other beside it")
    assert 1 <= again <= 4  # more than two where the study was gone on with
    tally[f"trials killed for memory by {name}"] += 2
    tally["deaths of them"] += 2 + again


def test_what_fits_when_alone_is_no_infeasible_trial(
    bench: Bench, group: Path, tally: Counter[str]
) -> None:
    words = ("--study", "shared", *PLAN, "--fix", "behaviour=hog_once", "--fix", "pause_s=0.5")
    done = to_its_end(bench, group, ENTER, *words)
    assert done.returncode == 0, done.stderr
    trials = table(bench.results / "shared" / "trials.csv")
    told = done.stderr.count("it is tried once more with no other beside it")
    statuses = [row["status"] for row in trials]
    # The last one left was alone already when it was killed.
    assert told >= 1
    assert statuses.count("completed") >= 1
    assert set(statuses) <= {"completed", "infeasible"}
    tally["trials that fitted when alone"] += statuses.count("completed")
