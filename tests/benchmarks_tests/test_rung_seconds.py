"""Rungs after as many seconds instead of epochs, by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.curve_files import write_curves
from benchmarks.first_rung import epochs_trained
from benchmarks.record_curves import configurations
from benchmarks.rung_seconds import Recorded, found, main, steps_of
from search.catalog import find
from search.errors import UsageError

from .test_replay import FIXED, run

CONFIGS = configurations(find("lenet_beans"), FIXED, 2)


def test_slow_ones_meet_rungs_after_fewer_epochs() -> None:
    seconds = np.array([1.0, 2.0, 3.0])  # 2 on average
    assert steps_of(seconds, (2, 6), 0.0) == [[2, 6], [2, 6], [2, 6]]
    assert steps_of(seconds, (2, 6), 1.0) == [[4, 12], [2, 6], [1, 4]]
    assert steps_of(seconds, (2, 6), 0.5) == [[3, 8], [2, 6], [2, 5]]  # 1.41 and 0.82 of them
    assert steps_of(np.array([1.0, 99.0]), (2,), 1.0) == [[100], [1]]  # never before the first


def test_trials_are_compared_where_each_meets_the_rung() -> None:
    compared = np.array([[0.5, 0.65, 0.7], [0.4, 0.9, 0.9], [0.6, 0.5, 0.8], [0.1, 0.7, 0.1]])
    # 0.65 goes on alone; 0.4 lies below it; the third never meets the rung; 0.7 is best of three.
    assert list(epochs_trained(compared, [[2], [1], [3], [2]])) == [3, 1, 3, 3]
    # At the second rung 0.6 lies below 0.65; the others are judged at the first.
    steps = [[1, 2], [1, 2], [1, 2], [1, 2]]
    assert list(epochs_trained(compared, steps)) == [3, 1, 2, 1]


@pytest.mark.parametrize("others", [0.5, 0.7])
def test_what_is_found_brings_what_other_seeds_reach(others: float) -> None:
    curves = np.array([[[0.1, 0.5], [others, 0.2]]])  # one configuration of two seeds
    rows = found(Recorded(curves, np.array([3.0])), [[]], [5.9, 6.0, 60.0], 10)
    assert rows.shape == (3, 2)
    assert rows[0].tolist() == [0.0, 0.0]  # two epochs take six seconds
    assert rows[1:].sum(axis=1) == pytest.approx(0.5 + others)
    if others == 0.5:
        assert rows[1:] == pytest.approx(np.full((2, 2), 0.5))


def test_a_trial_counts_once_it_has_ended() -> None:
    same = np.full((2, 2, 2), 0.25)
    fast_and_slow = Recorded(same, np.array([1.0, 2.0]))
    rows = found(fast_and_slow, [[], []], [2.0, 4.0], 400)
    # In half of the orders the fast one comes first: 2 s; the slow one takes 4.
    assert 0.25 * 0.4 < rows[0, 0] < 0.25 * 0.6
    assert rows[1].tolist() == [0.25, 0.25]


def test_seconds_are_those_of_the_first_precision() -> None:
    runs = [run(n, r, CONFIGS[n], 0.5) for n in (0, 1) for r in (0, 1)]
    recorded = Recorded.of(runs)
    assert recorded.curves.shape[:2] == (2, 2)
    assert recorded.seconds.shape == (2,)
    assert np.all(recorded.seconds > 0)


def test_seeds_must_be_even_in_number() -> None:
    runs = [run(0, 0, CONFIGS[0], 0.5), run(1, 0, CONFIGS[1], 0.5), run(1, 1, CONFIGS[1], 0.5)]
    with pytest.raises(UsageError, match="same number of seeds, 2 or more, and one of them in"):
        Recorded.of(runs)


def test_the_command_on_the_committed_curves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--orders", "30", "--spent", "60", "240", "--powers", "0", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("300 configurations, 30 orders, rungs (2, 6, 18); an epoch takes ")
    assert lines[1] == "| power | after 60: seen | true | after 240: seen | true |"
    rows = [[float(cell) for cell in line.strip("| ").split(" | ")] for line in lines[3:]]
    assert [row[0] for row in rows] == [0, 1]
    for _, early, early_truth, late, late_truth in rows:
        assert 0.6 < early_truth < early < late
        assert late_truth < late < 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--powers", "2"], "--powers must lie in 0 to 1"),
        (["--orders", "0"], "--spent and --orders must be at least 1"),
        (["--curves", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert len(err.splitlines()) == 1


def test_another_recording_may_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "curves.parquet"
    runs = [run(n, r, CONFIGS[n], 0.5) for n in (0, 1) for r in (0, 1)]
    write_curves(path, runs, {"image_size": 64, "threads": 1})
    assert main(["--curves", str(path), "--orders", "2", "--spent", "480"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| 1 | 0.5000 | 0.5000 |"
