"""Intervals and letters on simulated studies: the goals, with room for Monte-Carlo error."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks import confirm_truth
from benchmarks.confirm_truth import NOISES, Noise, coverage, measure, measure_images, simulate

REPETITIONS = 2000
# Four standard errors of a share of 5 % (0.019); and the seed is fixed.
ROOM = 4 * (0.05 * 0.95 / REPETITIONS) ** 0.5


@pytest.mark.parametrize("noise", NOISES[:2], ids=["beans", "cifar"])
@pytest.mark.parametrize(("configurations", "seeds"), [(2, 3), (3, 5), (4, 3), (6, 5), (6, 10)])
def test_intervals_cover_and_equal_configurations_are_seldom_told_apart(
    noise: Noise, configurations: int, seeds: int
) -> None:
    row = measure(noise, configurations, seeds, REPETITIONS, seed=0)
    assert (
        0.93 <= row.covered <= 0.97
    )  # two points are three standard errors or more by themselves
    assert row.false_all_equal <= 0.05 + ROOM
    assert row.false_beside_best <= 0.05 + ROOM


def test_without_correction_equal_configurations_are_often_told_apart() -> None:
    drawn = simulate(NOISES[1], [0.0] * 6, 5, REPETITIONS, seed=0)
    first, second = np.triu_indices(6, k=1)
    p = stats.ttest_rel(drawn[:, first], drawn[:, second], axis=-1).pvalue
    assert (p < 0.05).any(axis=-1).mean() > 0.2


def test_a_better_one_is_found_with_enough_seeds_and_not_with_three() -> None:
    ten, three = (measure(NOISES[0], 4, seeds, 500, seed=0) for seeds in (10, 3))
    assert ten.best_ahead > 0.95
    assert three.best_ahead < 0.05
    assert ten.best_recommended > 0.95


def test_simulated_accuracies_have_the_noise_that_was_asked_for() -> None:
    noise = Noise("any", 0.7, 0.02, 0.5, 100)
    drawn = simulate(noise, [0.0, 0.1], 3, 20_000, seed=1)
    assert drawn.shape == (20_000, 2, 3)
    assert drawn.mean(axis=(0, 2)) == pytest.approx([0.7, 0.8], abs=1e-3)
    # Variance 0.02^2 of the seed, and 0.7 * 0.3 / 100 of the images less 0.02^2 / 100.
    assert drawn[:, 0].var() == pytest.approx(0.0004 + 0.0021 - 0.000004, rel=0.03)
    # Half of the seed's variance is common to both configurations.
    assert np.cov(drawn[:, 0, 0], drawn[:, 1, 0])[0, 1] == pytest.approx(0.0002, rel=0.25)
    assert np.cov(drawn[:, 0, 0], drawn[:, 0, 1])[0, 1] == pytest.approx(0, abs=5e-5)
    assert noise.spread == pytest.approx(0.05)  # the root of 0.0004 + 0.0021


def test_coverage_counts_the_intervals_that_hold_the_truth() -> None:
    rows = np.array([[1.0, 2.0, 3.0], [11.0, 12.0, 13.0]])  # 2 and 12, each 2.48 up and down
    assert coverage(rows, 2.0) == 0.5
    assert coverage(rows, np.array([4.4, 9.6])) == 1.0
    assert coverage(rows, 7.0) == 0.0


def test_students_interval_is_one_of_these_images_and_wilsons_one_of_all() -> None:
    row = measure_images(128, 10, 400, seed=0)
    assert row.student_here > 0.91
    assert row.student_new < 0.65
    assert row.wilson_new > 0.95


def test_the_command_prints_a_row_of_each_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["confirm_truth", "--repetitions", "20"])
    monkeypatch.setattr(confirm_truth, "CONFIGURATIONS", (2,))
    monkeypatch.setattr(confirm_truth, "NOISES", (replace(NOISES[0], name="few"),))
    confirm_truth.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[2] for line in lines if line.startswith("| few")] == ["3", "5", "10"]
    assert [line.split(" | ")[0] for line in lines[-6:]] == ["| 128"] * 3 + ["| 2000"] * 3
