"""How far what is seen of the best trial lies above the truth, by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.curve_files import write_curves
from benchmarks.record_curves import configurations
from benchmarks.replay_luck import chosen, main, means, recorded, replayed
from search.catalog import find
from search.errors import UsageError

from .test_replay import FIXED, run, table

CONFIGS = configurations(find("lenet_beans"), FIXED, 3)


def test_the_best_seen_brings_its_own_truth() -> None:
    curves = np.array([[0.5, 0.6], [0.4, 0.9], [0.6, 0.5]])
    truths = np.array([0.1, 0.2, 0.3])
    assert chosen(curves, truths, ()) == (0.9, 0.2)
    assert chosen(curves, truths, (1,)) == (0.6, 0.1)  # the second is stopped, the third its equal


def test_of_recorded_runs_the_other_seeds_tell_the_truth() -> None:
    finals = [(0.25, 0.5, 0.75), (0.5, 0.5, 1.0)]
    runs = [run(n, r, CONFIGS[n], finals[n][r]) for n in (0, 1) for r in (0, 1, 2)]
    draw = recorded(runs)
    drawn = set()
    for seed in range(40):
        curves, truths = draw(np.random.default_rng(seed), 2)
        drawn |= set(zip(curves.max(axis=1).tolist(), truths.tolist(), strict=True))
    assert drawn == {(0.25, 0.625), (0.5, 0.5), (0.75, 0.375), (0.5, 0.75), (1.0, 0.5)}


def test_replayed_runs_have_the_truth_of_what_answers() -> None:
    runs = [run(n, r, CONFIGS[n], (n + 1) / 4 + r / 8) for n in range(3) for r in (0, 1)]
    draw = replayed(table(runs), CONFIGS)
    curves, truths = draw(np.random.default_rng(0), 3)
    assert sorted(truths.tolist()) == [0.3125, 0.5625, 0.8125]
    # Seeds 0, 1, 2 take repeats 0, 1, 0.
    assert sorted(curves.max(axis=1).tolist()) == [0.25, 0.625, 0.75]
    seen, truth = means(draw, 3, 5, 6)
    assert (seen, truth) == (0.75, 0.8125)  # in every order the third wins, or ties at no rung


@pytest.mark.parametrize("missing", [((1, 1),), ((0, 1), (1, 1))])
def test_seeds_must_be_even_in_number(missing: tuple[tuple[int, int], ...]) -> None:
    runs = [run(n, r, CONFIGS[n], 0.5) for n in (0, 1) for r in (0, 1) if (n, r) not in missing]
    with pytest.raises(UsageError, match="the same number of seeds, 2 or more"):
        recorded(runs)


@pytest.mark.slow
def test_the_committed_recording_and_its_replays_agree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--trials", "24", "100", "--orders", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[float(cell) for cell in line.strip("| ").split(" | ")] for line in lines[2:]]
    assert [row[0] for row in rows] == [24, 100]
    for _, _, real, luck, _, replay, replayed_luck in rows:
        assert replay == pytest.approx(real, abs=0.02)
        assert replayed_luck == pytest.approx(luck, abs=0.01)


def test_more_trials_than_were_recorded_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "curves.parquet"
    runs = [run(n, r, CONFIGS[n], 0.5) for n in range(3) for r in (0, 1)]
    write_curves(path, runs, {"image_size": 64, "threads": 1})
    assert main(["--curves", str(path), "--trials", "4"]) == 2
    assert "--trials must be at most 3" in capsys.readouterr().err
