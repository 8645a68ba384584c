"""What a report says of its numbers: which are compared with which, and how they were taken."""

import re
from pathlib import Path
from typing import Any

import pytest

from analysis import report_best
from analysis.figures import intervals, learning_curves
from analysis.report import write_report
from analysis.report_html import Cell
from tests.analysis_tests.written import (
    FOUR_CURVES,
    TRIALS,
    curves_text,
    folder,
    frames,
    trials_text,
    without_rendering,
)


@pytest.fixture(autouse=True)
def _no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    without_rendering(monkeypatch)


def told(tmp_path: Path, rows: Any = TRIALS, curves: str = FOUR_CURVES, **manifest: Any) -> str:
    root = folder(tmp_path, trials_text(rows), curves, **manifest)
    path = write_report(root, tell=lambda _: None, with_model=False)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("train", "said"),
    [(0.7, "20.0 points above that of validation"), (0.4, "10.0 points below that of validat")],
)
def test_how_training_accuracy_was_taken(train: float, said: str, tmp_path: Path) -> None:
    curves = curves_text([(0, 1, "train", 0.9, 0.4, 2.0), (0, 2, "train", train, 0.5, 2.0)])
    text = told(tmp_path, TRIALS[:1], curves)
    assert f"At its best epoch, 2, trial 0 had a training accuracy {said}" in text
    assert "Training accuracy is taken during the epoch, by weights that still change" in text


@pytest.mark.parametrize(
    ("stopper", "caption", "rungs"),
    [
        ("asha", "Dotted: rungs, where trials are compared (epochs 1, 2).", (1, 2)),
        ("median", "Dotted: the epoch from which on trials are compared, 1.", (1,)),
    ],
)
def test_the_median_is_asked_from_its_first_rung_on(
    stopper: str,
    caption: str,
    rungs: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[int, ...]] = []
    draw = learning_curves.draw

    def seen(curves: learning_curves.Curves) -> object:
        drawn.append(curves.rungs)
        return draw(curves)

    monkeypatch.setattr(learning_curves, "draw", seen)
    budget = {"trials": 7, "max_epochs": 4, "rungs": [1, 2], "stopper": stopper}
    text = told(tmp_path, budget=budget)
    assert set(re.findall(r"Dotted: [^.]+\.", text)) == {caption}
    assert drawn == [rungs]


def test_a_median_without_rungs_has_none(tmp_path: Path) -> None:
    budget = {"trials": 7, "max_epochs": 1, "rungs": [], "stopper": "median"}
    assert "Dotted:" not in told(tmp_path, budget=budget)


@pytest.mark.parametrize(
    ("wall_s", "label"), [(3599.0, "minutes of trials"), (3600.0, "hours of trials")]
)
def test_what_trials_took_together(wall_s: float, label: str, tmp_path: Path) -> None:
    rows = [(0, "completed", 2, 0.7, wall_s, 100, "", 3, 0.1, "3/8")]
    text = told(tmp_path, rows)
    assert re.findall(r'tile-label">(\w+ of trials)<', text) == [label]
    assert "summed over them, from start to end" in text
    assert "minutes of trials, summed" in text  # without a journal: the axis


def test_seeds_that_were_lost_are_named_in_the_table(tmp_path: Path) -> None:
    rows = [
        (0, "completed", 2, 0.9, 9.0, 100, "", 5, 0.1, "3/8"),
        (1, "infeasible", 1, "", 9.0, 100, "diverged: epoch 2", 5, 0.1, "3/8"),
        (2, "completed", 2, 0.6, 9.0, 100, "", 3, 0.1, "3/8"),
        (3, "completed", 2, 0.7, 9.0, 100, "", 3, 0.1, "3/8"),
    ]
    text = told(tmp_path, rows, budget={"trials": 4, "max_epochs": 2, "seeds": 2, "rungs": []})
    assert text.index(">trials 2-3<") < text.index(">trial 0 (1 seed infeasible)<")


def test_ticks_of_accuracies_that_lie_close_differ(tmp_path: Path) -> None:
    """In d3's format ~ leaves out zeros at the end: 98.4% and 98%."""
    (chart,) = intervals.charts(intervals.searched(frames(tmp_path)[0], None, 1))
    assert chart["layout"]["xaxis"]["tickformat"] == ".2~%"


def test_a_confirmed_row_has_each_number_in_its_column() -> None:
    each = {
        "configuration": 2,
        "config": {"drop": 0.3},
        "published": True,
        "test_accuracy": {"mean": 0.81, "low": 0.71, "high": 0.91, "n": 3},
        "wilson": {"low": 0.61, "high": 0.96},
        "val_accuracy": {"mean": 0.83, "low": 0.8, "high": 0.86, "n": 3},
        "optimism": 0.05,
        "group": "ab",
        "parameters": 1234,
        "epoch_s": 2.5,
    }
    numbers = ["81.00%", "71.00% to 91.00%", 3, "61.00% to 96.00%", "83.00%", "+5.00%", "ab"]
    found = report_best._confirmed_row(each, 2, ["drop"])
    assert found == [Cell(2, "recommended, published"), *numbers, "1,234", "2.5", "0.3"]
    assert report_best._confirmed_row(each, 1, [])[0] == Cell(2, "published")


@pytest.mark.parametrize(
    ("kind", "lead", "data"),
    [
        ("tfds", "LeNet on bean leaf images: regularizer", "beans from tfds: 6 train, 100"),
        ("folder", "LeNet on images of a folder: regularizer", "images of a folder: 6 train, 100"),
    ],
)
def test_only_images_of_the_data_set_are_called_so(
    kind: str, lead: str, data: str, tmp_path: Path
) -> None:
    sizes = {"train": 6, "validation": 100, "test": 2}
    content = {"kind": kind, "dataset": "beans", "sizes": sizes, "classes": ["cat", "dog"]}
    text = told(tmp_path, data=content)
    assert f'<p class="lead">{lead}' in text
    assert f">{data} validation, 2 test images<" in text
