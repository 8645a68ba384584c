"""Whole reports: of studies in every state, with text that would like to be a script."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from analysis import report, report_search
from analysis.figures import mistakes, style
from analysis.report import main, write_report
from analysis.report_best_model import data_uri, model_section
from analysis.report_gallery import NAMES, Gallery
from analysis.report_html import Html, table, tag
from analysis.report_model import Evaluated
from analysis.report_page import page
from analysis.report_search import all_trials_section
from analysis.report_study import read_study
from search.plan import Plan
from tests.analysis_tests.written import (
    FOUR_CURVES,
    TRIALS,
    folder,
    trials_text,
    without_rendering,
)
from tests.search_tests.toy import begin, drive

BAD = "<script>alert(1)</script>"


def quiet(_: str) -> None:
    """Say nothing."""


def made(root: Path) -> str:
    return write_report(root, tell=quiet).read_text(encoding="utf-8")


def text_of(root: Path) -> str:
    return (root / "report.html").read_text(encoding="utf-8")


def charts_of(text: str) -> dict[str, list[dict[str, Any]]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text)
    assert found is not None
    return dict(json.loads(found[1]))


def drawn(root: Path) -> set[str]:
    return {path.stem for path in (root / "figures").glob("*.png")}


# --- a study with its journal


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "toys"
    opened = begin(Plan(trials=40, max_epochs=6), root)
    drive(opened.book)
    opened.close()
    made(root)
    return root


def test_a_whole_study_has_every_figure_but_those_of_its_model(toy: Path) -> None:
    text = text_of(toy)
    assert drawn(toy) == set(NAMES) - {"confusion_matrix", "mistakes"}
    assert {path.stem for path in (toy / "figures").glob("*.svg")} == drawn(toy)
    assert "No confusion matrix and no pictures of mistakes: toy is not in this version" in text
    assert "Embedded data, not the real beans" in text
    assert "minutes since the study began" in text  # the journal knows
    assert "completed trials: too few to rely on" in text
    assert "Early stopping saved" in text
    assert "fANOVA: of the variance that single hyperparameters explain, the part" in text


def test_charts_are_what_plotly_takes(toy: Path) -> None:
    charts = charts_of(text_of(toy))
    assert len(charts) == len(drawn(toy))
    count = 0
    for each in (chart for charts_of_one in charts.values() for chart in charts_of_one):
        go.Figure(
            data=each["data"],
            layout=json.loads(json.dumps(each["layout"]).replace("MUTED", "red")),
        )
        count += 1
    assert count >= 10


def test_a_report_loads_nothing(toy: Path) -> None:
    text = text_of(toy)
    assert text.count("</script>") == 3
    page_alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\') >]+)', page_alone)
    assert links
    assert not [link for link in links if not link.startswith(("#", "data:"))]


def test_a_report_is_the_same_twice_but_for_its_time(toy: Path) -> None:
    before = text_of(toy)
    first, second = (re.sub(r"Made [\d: -]+ UTC", "", text) for text in (before, made(toy)))
    assert first == second


def test_of_a_torn_journal_the_rest_is_reported(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    root = tmp_path / "torn"
    root.mkdir()
    for name in ("study.json", "trials.csv", "curves.csv"):
        (root / name).write_bytes((toy / name).read_bytes())
    (root / "journal.log").write_text("no journal\nat all\n")
    text = made(root)
    assert "without the journal there are no times of day" in text
    assert "Not computed: the journal cannot be read." in text
    assert "minutes of trials, summed" in text


# --- what users wrote


def test_no_text_of_a_user_becomes_markup(tmp_path: Path) -> None:
    rows = [
        (0, "completed", 2, 0.7, 9.0, 100, "", 3, 0.1, BAD),
        (1, "completed", 2, 0.6, 9.0, 100, "", 3, 0.1, "b</script>"),
        (2, "failed", 0, "", 9.0, 100, BAD, 3, 0.1, "b&amp;"),
    ]
    data = {"kind": "folder", "dataset": BAD, "location": "/nowhere", "fingerprint": BAD,
            "classes": [BAD, "$x$"], "sizes": {"train": 1, "validation": 9},
            "notes": [BAD]}  # fmt: skip
    root = folder(
        tmp_path, trials_text(rows), FOUR_CURVES, name="a<b>&\"'", data=data, experiment=BAD,
        command=["python", BAD], git_commit=BAD, versions={BAD: BAD}, created=BAD,
        machine={BAD: BAD}, space={"filters": BAD},
    )  # fmt: skip
    text = made(root)
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 3
    assert "<h1>a&lt;b&gt;&amp;&quot;&#x27;</h1>" in text
    # plotly.js reads HTML in labels: it gets entities. But it draws ticks of parallel coordinates
    # as plain text, by d3.
    charts = charts_of(text)
    traces = [trace for each in charts.values() for chart in each for trace in chart["data"]]
    ticks = [d.pop("ticktext") for trace in traces for d in trace.get("dimensions", ())]
    assert any(name.startswith("<script>") for names in ticks for name in names)
    assert "<script>" not in json.dumps(charts)
    assert "&lt;script&gt;" in json.dumps(charts)


def test_html_is_escaped_once() -> None:
    assert tag("p", "<", Html("<b>x</b>"), class_='"') == '<p class="&quot;">&lt;<b>x</b></p>'
    assert tag("br") == "<br>"
    assert "<td>&lt;i&gt;</td>" in table(["a"], [["<i>"]])


def test_charts_cannot_end_their_element_and_have_no_nan() -> None:
    text = page("t", [], {"a": [{"data": [{"x": [float("nan"), 1.0], "y": ["</script>&"]}]}]})
    assert text.count("</script>") == 3
    assert charts_of(text)["a"][0]["data"][0] == {"x": [None, 1.0], "y": ["</script>&"]}


# --- pictures


def test_pictures_of_mistakes_are_small_and_in_the_page() -> None:
    big = np.zeros((300, 200, 3), dtype=np.uint8)
    assert data_uri(big).startswith("data:image/jpeg;base64,")
    assert data_uri(np.zeros((28, 28, 1), dtype=np.uint8)).startswith("data:image/png;base64,")
    rows = mistakes.data(np.array([[0.9, 0.1]], dtype=np.float32), np.array([1]), ["x", "y"])
    with style.style():
        figure = mistakes.draw(rows, big[None])
        assert "truth: y" in style.svg_of(figure)


@pytest.mark.parametrize(("count", "cells"), [(50, 2500), (51, 0)])
def test_of_many_classes_the_worst_pairs_stand_for_the_matrix(
    count: int, cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 0 is taken for class 1, twice."""
    without_rendering(monkeypatch)
    study = read_study(folder(tmp_path, trials_text(), FOUR_CURVES))
    labels = np.array([0, *range(count)])
    predicted = np.where(labels == 0, 1, labels)
    images = np.zeros((len(labels), 4, 4, 1), dtype=np.uint8)
    classes = tuple(f"c{number}" for number in range(count))
    found = Evaluated(
        "trial 2", classes, images, labels, np.eye(count, dtype=np.float32)[predicted]
    )
    text = model_section(study, Gallery(tmp_path / "figures", quiet), found)
    matrix = re.search(r'<table class="matrix">.*?</table>', text)
    assert (matrix[0].count("<td") if matrix else 0) == cells
    pair = re.search(r"<td>c0</td><td>c1</td><td [^>]*>2</td><td [^>]*>100%</td>", text)
    assert (pair is None) is (cells > 0)
    said = "Of 51 classes, the pairs with the most mistaken images, 50 at most; figures/confusion"
    assert (said in text) is (cells == 0)


def test_of_very_many_trials_the_best_are_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read_study(folder(tmp_path, trials_text(), FOUR_CURVES))
    assert all_trials_section(study).count("<tr>") == 1 + 7
    monkeypatch.setattr(report_search, "_MOST_TRIALS", 3)
    text = all_trials_section(study)
    assert "7 trials, 4 of them finished: the best 3, by number; trials.csv has all" in text
    # 0.80, 0.70 and 0.60: not trial 1, of 0.50.
    assert re.findall(r'<tr><td class="number">(\d)</td>', text) == ["0", "2", "3"]


# --- the command


def test_the_command_prints_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    root = folder(tmp_path, trials_text(TRIALS[:1]), FOUR_CURVES)
    assert main(["written", "--results-dir", str(tmp_path), "--without-model"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{root / 'report.html'}\n"
    assert "figure learning curves" in told.err
    assert "left out by --without-model" in (root / "report.html").read_text()


def test_what_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    folder(tmp_path, trials_text(TRIALS[:1]), FOUR_CURVES)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "replace_text", full)
    assert main(["written", "--results-dir", str(tmp_path), "--without-model"]) == 1
    assert "cannot write the report of" in capsys.readouterr().err


def test_a_wrong_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--results-dir", str(tmp_path)]) == 2
    assert "no study 'nothing'" in capsys.readouterr().err
