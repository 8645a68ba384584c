"""Robustness as CSV: columns that tell where a study's numbers come from, and a full disk."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import robustness
from analysis.robustness import main
from tests.analysis_tests.test_robustness import bright_and_dark, by_brightness

LAST = ["split", "seed", "trial", "trial_of", "data"]


def study(to: Path, monkeypatch: pytest.MonkeyPatch, kind: str, weights: str | None) -> Path:
    """A study whose best model tells classes by brightness; nothing is drawn."""
    images, labels = bright_and_dark()
    split = SimpleNamespace(images=images, labels=labels)
    best = SimpleNamespace(
        predict=by_brightness, split=split, about={"trial": 4}, split_name="validation", chance=0.5
    )
    monkeypatch.setattr("analysis.best_model.load_best", lambda *_: best)
    monkeypatch.setattr(robustness, "_save", lambda _, path: path)
    manifest: dict[str, Any] = {"data": {"kind": kind, "dataset": "beans"}}
    manifest["weights"] = weights and {"source": weights}
    folder = to / "s1"
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("kind", "weights", "columns", "warning"),
    [
        ("tfds", None, LAST, None),
        ("tfds", "torchvision", [*LAST, "weights"], None),
        ("tfds", "random", [*LAST, "weights"], "weights: random, not pretrained"),
        ("embedded", None, LAST, "embedded data, not the real beans"),
    ],
)
def test_columns_tell_the_origin_and_stderr_what_is_not_real(
    kind: str,
    weights: str | None,
    columns: list[str],
    warning: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = study(tmp_path, monkeypatch, kind, weights)
    assert main([str(folder), "--csv"]) == 0
    out, err = capsys.readouterr()
    assert out == (folder / "robustness.csv").read_text()
    frame = pd.read_csv(io.StringIO(out))
    assert len(frame) == 26
    assert frame.columns.tolist()[-len(columns) :] == columns
    assert set(frame["data"]) == {kind}
    if weights is not None:
        assert set(frame["weights"]) == {weights}
    told = [line for line in err.splitlines() if "not" in line]
    assert told == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("about", "budget", "place"),
    [
        ({"trial": 4}, {}, "trials.csv"),
        ({"trial": 4, "confirmed": True}, {}, "confirm/trials.csv"),  # which counts its own
        ({"trial": 4, "confirmed": True}, {"seeds": 3}, "trials.csv"),  # a sweep is its own
    ],
)
def test_the_table_that_has_the_trial_is_named(
    about: dict[str, Any],
    budget: dict[str, Any],
    place: str,
    tmp_path: Path,
) -> None:
    manifest = {"data": {"kind": "tfds"}, "budget": budget}
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    assert robustness._trial(tmp_path, about) == {"trial": 4, "trial_of": place}


def test_a_full_disk_is_no_mistake_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = study(tmp_path, monkeypatch, "tfds", None)
    monkeypatch.setattr(robustness, "replace_text", full)
    assert main([str(folder)]) == 1
    out, err = capsys.readouterr()
    assert "undisturbed" in out  # what was measured for minutes is not lost
    assert err.splitlines()[-1].endswith(f"cannot write into {folder}: No space left on device")
