"""Pages in a real browser: no error, no sideways scroll on a phone, light, dark and on paper."""

from pathlib import Path

import pytest

from analysis.compare_html import page
from analysis.comparison import compare
from analysis.report import write_report
from analysis.report_gallery import NAMES
from search.catalog import find
from search.domains import configuration
from search.manifest import make_manifest
from search.plan import Plan
from search.study import begin
from tests.analysis_tests.browser import chromium, look
from tests.analysis_tests.studies import study
from tests.search_tests.toy import begin as begin_toy
from tests.search_tests.toy import drive
from trainables.budget import Budget, EpochResult
from trainables.data import DataSpec, open_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium: apt-get install chromium"),
]
STILLS = "getComputedStyle(document.querySelector('.drawn > .still')).display"
BACK = "getComputedStyle(document.body).backgroundColor"
# Of a comparison: the caption's ink, what is behind it, what is behind the drawing.
FIGURE = """((figure) => [getComputedStyle(figure.querySelector("figcaption")).color,
  getComputedStyle(figure).backgroundColor,
  getComputedStyle(figure.querySelector("svg")).backgroundColor])(document.querySelector("figure"))
"""
WIDTHS = "[...document.querySelectorAll('figure svg')].map((e) => e.getBoundingClientRect().width)"
LONG = "lenet_beans_published_regularizer_dropout_kernel_299_" + "x" * 60


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of LeNet on the embedded leaves: three trials of an epoch, trained here."""
    experiment, data = find("lenet_beans"), open_data(DataSpec("beans", "embedded"))
    small = {"image_size": 64, "augmentation": "none", "filters": "3/8/60", "kernel_size": 3}
    plan = Plan(trials=3, max_epochs=1, fixed=small)
    root = tmp_path_factory.mktemp("embedded") / "leaves"
    opened = begin(experiment, plan, root, make_manifest(experiment, plan, data, ["python"]))
    book = opened.book
    while (given := book.next()) is not None:
        folder = book.folder.trial(given.number)
        budget = Budget(1, seed=given.seed, threads=1, device="cpu", folder=folder)
        assert configuration(experiment.space(), given.config) == given.config
        for result in experiment.trainable()(given.config, data, budget):
            if book.report(given.number, _row(result)):
                break
        book.end(given.number, "completed")
    opened.close()
    write_report(root)
    return root


def _row(result: EpochResult) -> dict[str, object]:
    return vars(result) | {"peak_memory_mb": 100.0}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison of two studies, one with a name that nothing can break."""
    root = tmp_path_factory.mktemp("compared")
    curves = [{"epoch": epoch, "val_accuracy": epoch / 10} for epoch in (1, 2, 3)]
    folders = [study(root / name, trials=[{}], curves=curves) for name in ("short", LONG)]
    path = root / "compare.html"
    path.write_text(page(compare(folders)))
    return path


def test_the_best_model_is_in_it(embedded: Path) -> None:
    drawn = {path.stem for path in (embedded / "figures").glob("*.png")}
    assert {"confusion_matrix", "overfitting", "parameters"} <= drawn
    text = (embedded / "report.html").read_text()
    assert "Most confident mistakes" in text
    assert "Embedded data, not the real beans" in text


@pytest.mark.parametrize("which", ["report", "compare"])
@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1200, False)])
def test_a_page_as_readers_see_it(
    embedded: Path, compared: Path, which: str, width: int, dark: bool
) -> None:
    path = embedded / "report.html" if which == "report" else compared
    ask = f"[{STILLS}, {BACK}]" if which == "report" else f"[{FIGURE}, {WIDTHS}]"
    seen = look(path, width, dark, ask=ask)
    assert int(seen.ready) >= (8 if which == "report" else 0)
    assert seen.messages == []
    assert (seen.scroll_width, seen.too_wide) == (width, [])
    assert [each for each in seen.requests if not each.startswith(("file:", "data:"))] == []
    if which == "report":
        assert seen.found == ["none", "rgb(15, 20, 25)" if dark else "rgb(243, 245, 248)"]
    else:
        colours, widths = seen.found
        ink = "rgb(255, 255, 255)" if dark else "rgb(0, 0, 0)"
        assert colours == [ink, "rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"]
        # The widest is drawn 648 points wide: a legend of 8 points is 8.7 pixels high, or more.
        assert len(widths) == 2
        assert min(widths) >= 704


def test_a_comparison_on_paper_is_black_on_white(compared: Path) -> None:
    seen = look(compared, 700, dark=True, media="print", ask=f"[{FIGURE}, {WIDTHS}]")
    assert (seen.messages, seen.scroll_width, seen.too_wide) == ([], 700, [])
    colours, widths = seen.found
    assert colours[0] == "rgb(0, 0, 0)"
    assert max(widths) <= 700
    assert LONG in seen.text


def test_on_paper_there_are_drawings_on_white(embedded: Path) -> None:
    seen = look(embedded / "report.html", 800, dark=True, media="print", ask=f"[{STILLS}, {BACK}]")
    assert seen.messages == []
    assert seen.found == ["block", "rgb(255, 255, 255)"]
    assert (seen.scroll_width, seen.too_wide) == (800, [])


def test_a_thousand_trials_stay_readable(tmp_path: Path) -> None:
    opened = begin_toy(Plan(trials=1000, max_epochs=12, sampler="random"), tmp_path / "many")
    drive(opened.book)
    opened.close()
    path = write_report(tmp_path / "many")
    drawn = {each.stem for each in (tmp_path / "many" / "figures").glob("*.png")}
    assert drawn == set(NAMES) - {"confusion_matrix", "mistakes"}
    assert path.stat().st_size < 10e6
    seen = look(path, 360)
    assert int(seen.ready) >= 10
    assert (seen.messages, seen.scroll_width, seen.too_wide) == ([], 360, [])


def test_scripts_of_users_do_not_run(tmp_path: Path) -> None:
    opened = begin_toy(Plan(trials=8, max_epochs=2), tmp_path / "<img src=x onerror=alert(1)>")
    drive(opened.book)
    opened.close()
    trials = opened.book.folder.root / "trials.csv"
    bad = "<script>window.broken = 1</script><img src=x onerror=window.broken=1>"
    trials.write_text(trials.read_text().replace("ValueError: no", bad).replace(",b,", f",{bad},"))
    assert trials.read_text().count(bad) >= 2
    seen = look(write_report(opened.book.folder.root), 1200, ask="String(window.broken)")
    assert (seen.messages, seen.found) == ([], "undefined")
    assert bad in seen.text


def test_the_measure_finds_what_is_too_wide(tmp_path: Path) -> None:
    page = tmp_path / "wide.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<div style='width:700px'>x</div><script>console.error('oh');"
        "document.documentElement.dataset.ready = '0'</script>"
    )
    seen = look(page, 360)
    assert seen.scroll_width >= 700
    assert len(seen.too_wide) == 1
    assert "oh" in seen.messages[0]
    assert seen.ready == "0"
