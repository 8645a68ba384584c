"""`python -m analysis.report STUDY`: a study as one HTML page, and its figures as PNG and SVG.

May be asked while the study runs. Everything is in the page: it loads nothing from anywhere.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from analysis import report_about, report_best, report_best_model, report_search
from analysis.command import Parser, positive, run
from analysis.report_gallery import Gallery
from analysis.report_html import tag
from analysis.report_model import Evaluated, evaluate
from analysis.report_page import contents, page
from analysis.report_study import ReportedStudy, read_study
from search.errors import StudyFailed
from search.places import uri_of
from search.plain import check_plain
from search.progress import say
from search.resolve import resolve_study
from trainables.errors import TrellisError
from trainables.files import replace_text

PROG = "python -m analysis.report"
REPORT_NAME = "report.html"
_LINKS = (
    ("best", "Best configurations"),
    ("progress", "Progress"),
    ("parameters", "Hyperparameters"),
    ("model", "The best model"),
    ("costs", "Costs"),
    ("about", "What ran"),
    ("reproduce", "Reproduce"),
    ("trials", "All trials"),
)


def write_report(
    folder: Path,
    top: int = 10,
    data_dir: Path | None = None,
    with_model: bool = True,
    tell: Callable[[str], None] = say,
    uri: str | None = None,
) -> Path:
    """Write report.html and figures/ into the study `folder`; return the page's path.

    Args:
        folder: Of the study.
        top: Configurations in the table of the best.
        data_dir: Where the data lies, if not where the study found it.
        with_model: Whether the best model is evaluated on the validation split.
        tell: Called with what is being done.
        uri: Of the study where it lies in a store, and `folder` is a copy.

    Raises:
        StudyFailed: the study has written no trial yet, or the page cannot be written.
        TrellisError: a file of the study is damaged, or the study holds a link.
    """
    check_plain(folder)
    study = read_study(folder)
    try:
        return _write(study, top, _evaluated(study, data_dir, with_model, tell), tell, uri)
    except OSError as error:
        raise StudyFailed(f"cannot write the report of {folder}: {error.strerror}") from None


def _write(
    study: ReportedStudy,
    top: int,
    found: Evaluated | str,
    tell: Callable[[str], None],
    uri: str | None,
) -> Path:
    gallery = Gallery(study.folder / "figures", tell)
    sections = (
        report_best.best_section(study, gallery, top),
        report_search.progress_section(study, gallery),
        report_search.parameters_section(study, gallery),
        report_best_model.model_section(study, gallery, found),
        report_search.costs_section(study, gallery),
        report_search.outcomes_section(study),
        report_about.about_section(study),
        report_about.reproduce_section(study, uri),
        report_search.all_trials_section(study),
    )
    head = report_about.header(study, report_best.tiles(study), contents(_LINKS))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = (head, tag("main", *sections), report_about.footer(study, made))
    gallery.sweep()
    path = study.folder / REPORT_NAME
    replace_text(path, page(f"{study.name}: study report", body, gallery.charts))
    return path


def _evaluated(
    study: ReportedStudy, data_dir: Path | None, wanted: bool, tell: Callable[[str], None]
) -> Evaluated | str:
    """Return the best model on the validation images, or why there is none."""
    if not wanted:
        return "left out by --without-model"
    tell("best model on the validation images")
    try:
        found = evaluate(study, data_dir)
    except TrellisError as error:
        tell(f"note: no confusion matrix and no mistakes: {error}")
        return str(error)
    if found.note:
        tell(f"note: {found.note}")
    return found


def _report(arguments: argparse.Namespace) -> None:
    folder = resolve_study(arguments.study, arguments.results_dir)
    wanted, uri = not arguments.without_model, uri_of(arguments.study, arguments.results_dir)
    print(write_report(folder, arguments.top, arguments.data_dir, wanted, uri=uri))


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Write report.html into a study's folder, one page that needs no network, and "
        "its figures as PNG and SVG into figures/; print the page's path.",
        epilog=f"example: {PROG} lenet_beans-20261122-101500",
    )
    parser.add_argument("study", metavar="STUDY", help="its name, or a path to its folder")
    most = "of the best (default: 10); confirmed ones are all shown"
    parser.add_argument("--top", metavar="N", type=positive, default=10, help=most)
    parser.add_data_dir()
    parser.add_argument(
        "--without-model",
        action="store_true",
        help="leave out the confusion matrix and the mistakes of the best model: faster",
    )
    parser.add_results_dir()
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _report(arguments))


if __name__ == "__main__":
    sys.exit(main())
