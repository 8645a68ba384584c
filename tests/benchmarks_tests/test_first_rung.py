"""ASHA over recorded curves, by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.first_rung import asha, both_so_far, found, main
from search.compared import merits

# Four trials of three epochs.
CURVES = np.array([[0.5, 0.6, 0.7], [0.4, 0.9, 0.9], [0.6, 0.5, 0.8], [0.6, 0.7, 0.1]])


def test_a_rung_after_one_epoch_by_hand() -> None:
    # 0.5 goes on alone; 0.4 is below it; 0.6 is the best of three; the other 0.6 is its equal.
    assert list(asha(CURVES, (1,))) == [(3, 0.7), (4, 0.7), (7, 0.8), (10, 0.8)]


def test_a_rung_compares_the_best_so_far() -> None:
    # At epoch 2: 0.6; then 0.9, the best; then 0.6 and 0.7, which are not.
    assert list(asha(CURVES, (2,))) == [(3, 0.7), (6, 0.9), (8, 0.9), (10, 0.9)]


def test_a_rung_may_compare_something_else() -> None:
    # By loss 0.5 and 0.4 go on, then 0.3 and not 0.9: so accuracies of 0.7, 0.9, 0.8, and 0.6.
    losses = np.array([[0.5, 0.9, 0.9], [0.4, 0.9, 0.9], [0.3, 0.9, 0.9], [0.9, 0.0, 0.0]])
    assert list(asha(CURVES, (1,), -losses)) == [(3, 0.7), (6, 0.9), (9, 0.9), (10, 0.9)]


def test_both_are_compared_as_a_search_does() -> None:
    losses = np.array([[0.5, 0.9, 0.2], [0.4, 0.9, 0.9], [0.3, 0.9, 0.1], [0.9, 0.1, 0.2]])
    for run, accuracies, of_run in zip(both_so_far(CURVES, losses), CURVES, losses, strict=True):
        expected = merits(dict(enumerate(accuracies)), dict(enumerate(of_run)))
        assert run.tolist() == pytest.approx(list(expected.values()))


def test_without_rungs_every_epoch_is_trained() -> None:
    assert [spent for spent, _ in asha(CURVES, ())] == [3, 6, 9, 12]


def test_means_over_orders() -> None:
    same = np.tile(CURVES[:1], (30, 1))  # equals all go on: in every order the same
    best, epochs, last = found(same, same, (1,), [2, 3, 90], 5)
    assert best == pytest.approx([0.0, 0.7, 0.7])
    assert (epochs, last) == (72, pytest.approx(0.7))


def test_the_command_on_the_committed_curves(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--max-epochs", "4", "--first", "1", "2", "--spent", "24", "--orders", "5"]
    assert main([*words, "--by", "both"]) == 0
    other = capsys.readouterr().out.splitlines()
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("5 orders, compared by accuracy")
    assert lines[-1] == other[-1]  # without rungs nothing is compared
    assert lines[3:-1] != other[3:-1]
    assert lines[1] == "| rungs | after 24 epochs | 24 trials | their epochs |"
    cells = [line.split(" | ") for line in lines[3:]]
    assert [row[0] for row in cells] == ["| 1, 3", "| 2", "| none"]
    assert cells[2][3] == "96 |"  # 24 trials of 4 epochs
    assert all(0.5 < float(row[2]) < 1 for row in cells)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--max-epochs", "99"], "--max-epochs must lie in 2 to 20"),
        (["--first", "0"], "--first, --spent and --orders must be at least 1"),
        (["--curves", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert len(err.splitlines()) == 1
