"""`python -m analysis.compare STUDY_A STUDY_B [...]`: the best of each study side by side.

Accuracy, speed of convergence, generalization and cost: a table, JSON, and a page with figures.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.command import Parser, run
from analysis.compare_html import page
from analysis.compare_text import SECONDS, all_told, cell, measures
from analysis.comparison import Comparison, Side, compare
from analysis.layout import Column, Section, plain
from search.errors import StudyFailed, UsageError
from search.progress import say, settings
from search.resolve import resolve_studies
from search.statistics import Summary
from trainables.files import replace_text

PROG = "python -m analysis.compare"


def sections(found: Comparison) -> list[Section]:
    """Return warnings, a column per study, the differences, and what was compared."""
    every = [measures(side) for side in found.sides]
    names = list(every[0])
    table = [Column("", names, False)]
    table += [
        Column(side.name, [cell(name, values[name]) for name in names], True)
        for side, values in zip(found.sides, every, strict=True)
    ]
    configs = [
        f"{side.name}: {side.experiment}, n = {len(side.accuracy)}: {settings(side.config)}"
        for side in found.sides
    ]
    lines = [f"warning: {each}" for each in found.warnings]
    return [*lines, table, *all_told(found.differences), SECONDS, *configs]


def as_json(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain values."""
    return {
        "split": found.split,
        "warnings": list(found.warnings),
        "studies": [_side(side) for side in found.sides],
        "differences": [asdict(each) for each in found.differences],
    }


def _side(side: Side) -> dict[str, Any]:
    plain_values = {
        name: asdict(value) if isinstance(value, Summary) else value
        for name, value in measures(side).items()
    }
    return {
        "name": side.name,
        "experiment": side.experiment,
        "config": dict(side.config),
        "trials": list(side.trials),
        "seeds": list(side.accuracy),
        "measures": plain_values,
    }


def _show(arguments: argparse.Namespace) -> None:
    texts = arguments.studies
    if len(texts) < 2:
        raise UsageError([f"two studies or more can be compared, but got {', '.join(texts)}"])
    folders = resolve_studies(texts, arguments.results_dir)
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError([f"every study can be named once, but got {', '.join(texts)}"])
    found = compare(folders)
    print(
        json.dumps(as_json(found), indent=2) + "\n" if arguments.json else plain(sections(found)),
        end="",
    )
    _write(found, arguments.to)


def _write(found: Comparison, path: Path) -> None:
    try:
        replace_text(path, page(found))
    except OSError as error:
        raise StudyFailed(f"cannot write {path}: {error.strerror}") from None
    say(f"with figures: {path}")


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Compare the best of several studies: accuracy, convergence, generalization, "
        "cost; and write a page with figures.",
        epilog=f"example: {PROG} lenet_beans-20261122-101500 inception_beans-20261122-111500",
    )
    parser.add_argument("studies", metavar="STUDY", nargs="+", help="two or more, names or paths")
    parser.add_results_dir()
    parser.add_argument(
        "--to",
        metavar="FILE.html",
        type=Path,
        default=Path("compare.html"),
        help="the page (default: compare.html)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in full precision")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _show(arguments))


if __name__ == "__main__":
    sys.exit(main())
