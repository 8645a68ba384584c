"""The cost of bookkeeping: that what is measured runs."""

import re
import subprocess
import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import bookkeeping


def test_only_suggestions_that_hand_out_a_trial_count() -> None:
    """Where the last trials run, there is nothing to suggest, which takes no time."""
    seconds: dict[str, list[float]] = defaultdict(list)
    given = [SimpleNamespace(number=n, config={"drop": 0.0}) for n in range(3)]
    left = iter([*given, *[None] * 50])
    book: Any = SimpleNamespace(
        next=lambda: next(left), report=lambda *_: False, end=lambda *_: None
    )
    bookkeeping.drive(book, seconds, epochs=2)
    counts = {name: len(each) for name, each in seconds.items() if "CPU" not in name}
    assert counts == {"next ms": 3, "report ms": 6, "end ms": 3}


@pytest.mark.slow
def test_sleeping_trials_end_well_beside_those_of_stock_ray_tune() -> None:
    words = ["--ray", "--trials", "4", "--cpus", "2", "--pause", "0.1"]
    command = [sys.executable, "-m", "benchmarks.bookkeeping", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout + done.stderr, done.stderr
    for who in ("ours", "stock"):
        assert re.search(rf"^{who} +[\d.]+ s, [\d.]+ times the theory", done.stdout, re.M)
