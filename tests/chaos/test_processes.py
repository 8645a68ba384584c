"""A full process table: told in one line before anything begins, and never a driver that waits."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.threads import room_for
from tests.chaos.killing import in_child
from tests.search_tests.bench import PATIENCE_S, Bench

pytestmark = pytest.mark.slow
GROUPS = Path("/sys/fs/cgroup/pids")
LIMIT = 150


@pytest.fixture
def group() -> Iterator[Path]:
    place = GROUPS / f"trellis-chaos-{uuid.uuid4().hex[:8]}"
    try:
        place.mkdir()
        (place / "pids.max").write_text(str(LIMIT))
    except OSError as error:
        pytest.skip(f"no control group with a limit of processes: {error}")
    yield place
    place.rmdir()


def test_room_is_found_by_trying(group: Path) -> None:
    def within() -> None:
        (group / "cgroup.procs").write_text("0")
        assert room_for(LIMIT // 2)
        assert not room_for(LIMIT + 1)
        assert room_for(LIMIT // 2)  # what was tried has ended

    assert in_child(within) == 0
    assert room_for(LIMIT + 1)


def test_a_study_that_may_not_start_ray_says_so(bench: Bench, group: Path) -> None:
    enter = ["bash", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
    done = subprocess.run(
        [*enter, *bench.command("--study", "crowded", "--fix", "behaviour=learn")],
        cwd=bench.root,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1, done.stderr
    assert "there is no room for them; end others, or raise the limit" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bench.results / "crowded").exists()
