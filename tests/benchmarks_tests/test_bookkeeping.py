"""The cost of bookkeeping: that what is measured runs."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_sleeping_trials_end_well_beside_those_of_stock_ray_tune() -> None:
    words = ["--ray", "--trials", "4", "--cpus", "2", "--pause", "0.1"]
    command = [sys.executable, "-m", "benchmarks.bookkeeping", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout + done.stderr, done.stderr
    for who in ("ours", "stock"):
        assert re.search(rf"^{who} +[\d.]+ s, [\d.]+ times the theory", done.stdout, re.M)
