"""What rungs may compare, judged on curves made by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rung_values
from benchmarks.curve_files import Run
from benchmarks.rung_values import lost, main, report, whole

# Accuracy and loss of three epochs. The last run is the best, and stands lowest after two.
CURVES = [
    [(0.3, 1.0), (0.5, 0.9), (0.6, 0.8)],
    [(0.4, 1.1), (0.6, 1.0), (0.7, 0.9)],
    [(0.5, 0.7), (0.2, 0.6), (0.9, 0.5)],
]


def run(number: int, curve: list[tuple[float, float]]) -> Run:
    rows = tuple((0.0, 0.0, loss, accuracy, 1.0, 1.0) for accuracy, loss in curve)
    return Run(number, 0, {}, 1, rows)


RUNS = [run(number, curve) for number, curve in enumerate(CURVES)]


def test_report_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    report(RUNS, [2])
    rows = [line.split(" | ")[1:] for line in capsys.readouterr().out.splitlines()[3:]]
    # Ranks of the best accuracies are 1, 2, 3. After two epochs the accuracies 0.5, 0.6, 0.2
    # rank 2, 3, 1 (coefficient 1 - 6 (1 + 1 + 4) / 24); the best so far 0.5, 0.6, 0.5 rank 1.5,
    # 3, 1.5 (no correlation), the losses 0.9, 1.0, 0.6 rank 2, 1, 3 (1 - 6 (1 + 1) / 24), and so
    # do both: 0.5 - ln 0.9 = 0.61, 0.6 and 0.5 - ln 0.6 = 1.01. Of all three one goes on: 0.7, by
    # accuracy, or 0.9 by loss.
    assert rows == [
        ["accuracy of that epoch", "-0.50", "0.2000 |"],
        ["best accuracy so far", "0.00", "0.2000 |"],
        ["least loss so far", "0.50", "0.0000 |"],
        ["both, as `search.compared` has it", "0.50", "0.0000 |"],
    ]


def test_equals_go_on_by_chance() -> None:
    found = lost(np.zeros(3), np.array([0.0, 0.0, 0.3]), together=3, draws=600)
    assert found == pytest.approx(0.2, abs=0.03)  # one of three; 4 standard errors are 0.023


def test_runs_that_diverged_are_left_out() -> None:
    short = run(3, CURVES[0][:2])
    nan = run(4, [*CURVES[0][:2], (math.nan, math.nan)])
    assert whole([*RUNS, short, nan]).shape == (3, 3, 6)


@pytest.mark.parametrize("epochs", [["0"], ["2", "21"]])
def test_epochs_that_were_not_recorded_are_refused(
    epochs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--epochs", *epochs]) == 2
    assert "--epochs must lie in 1 to 20" in capsys.readouterr().err


def test_a_missing_recording_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--curves", str(tmp_path / "none.parquet")]) == 2
    assert "python -m benchmarks.record_curves" in capsys.readouterr().err


def test_the_recorded_curves_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 3 * len(rung_values.VALUES)
