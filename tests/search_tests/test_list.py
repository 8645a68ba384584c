from pathlib import Path

import pytest

from search import listing
from search.catalog import EXPERIMENTS
from search.run import main
from tests.search_tests.bench import make_bench


def test_the_catalog_as_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "usable_cpus", lambda: 4)
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["experiment", "data"]
    rows = {line.split()[0]: line for line in lines[1 : 1 + len(EXPERIMENTS)]}
    assert rows.keys() == EXPERIMENTS.keys()
    assert "24 x 20" in rows["lenet_beans"]  # the published 20 epochs
    assert " 0.6953 " in rows["lenet_beans"]
    assert "0.8234 (validation)" in rows["cifar10_transfer"]
    for name, row in rows.items():
        measured = EXPERIMENTS[name].measured
        assert measured is None or f"{measured.val_accuracy:.4f}" in row
    assert all(line == line.rstrip() for line in lines)
    assert " 26 " in rows["lenet_beans"]  # 52 minutes on 2 cores
    assert " 0.8120 " in rows["lenet_beans"]
    # 57 minutes on 2 cores for 11 of 24 trials: 124 for all, half of that on 4.
    assert " ~62 " in rows["inception_beans"]
    assert " ~0.9248 " in rows["inception_beans"]
    # 20 minutes for 6 of 24 trials, of 18 of 30 epochs: 133 for all, half of that on 4.
    assert " ~67 " in rows["cifar10_net"]
    assert "scaled to the 4 of this machine" in lines[-4]


@pytest.mark.parametrize(
    ("cpus", "minutes", "trials", "text"),
    [(2, 52.0, 24, "52"), (1, 52.0, 24, "104"), (8, 52.0, 24, "13"), (64, 0.3, 24, "1")],
)
def test_minutes_by_hand(
    cpus: int, minutes: float, trials: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "usable_cpus", lambda: cpus)
    assert listing.minutes_here(minutes, trials) == text


def test_a_sixth_experiment_is_two_files_and_one_entry(tmp_path: Path) -> None:
    """As CONTRIBUTING.md says; runs of it are in test_run.py."""
    bench = make_bench(tmp_path)
    told = bench.run("--list")
    assert told.returncode == 0, told.stderr
    assert len([line for line in told.stdout.splitlines() if line.startswith("formula ")]) == 1
    dry = bench.run("--dry-run", "--fix", "height=0.5", "--trials", "2")
    assert dry.returncode == 0, dry.stderr
    assert "formula: images of a folder, " in dry.stderr
    assert "held: height=0.5" in dry.stderr
