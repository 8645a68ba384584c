"""Faults on purpose. All of it is slow; seeds are printed, and one run takes about 8 minutes.

TRELLIS_CHAOS_SEED (default 0) gives other moments, TRELLIS_CHAOS_SCALE (default 1) more of them.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.formula import make_faulty_bench
from tests.search_tests.bench import Bench

SEED = int(os.environ.get("TRELLIS_CHAOS_SEED", "0"))
SCALE = float(os.environ.get("TRELLIS_CHAOS_SCALE", "1"))
_TALLY: dict[str, Counter[str]] = {}


def times(count: int) -> int:
    """So many, or as many more as the environment asks for."""
    return max(1, round(count * SCALE))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Counter[str]:
    """Counts of one file of tests; printed at the end of the run."""
    name = request.node.path.stem.removeprefix("test_")
    return _TALLY.setdefault(name, Counter())


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder where syncing a file costs nothing."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="trellis-chaos-", dir=place) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The formula experiment, with more ways to end than the tests beside it need."""
    return make_faulty_bench(tmp_path_factory.mktemp("chaos"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TALLY:
        terminalreporter.section(f"faults tried (seed {SEED}, scale {SCALE:g})")
        for name, counts in _TALLY.items():
            terminalreporter.write_line(f"{name}: {json.dumps(counts)}")
