"""`python -m analysis.robustness STUDY`: the best model on darker, blurred, noisy, coarser images.

Writes robustness.csv and figures into the study folder. Disturbs the validation split; the test
split only where `search.confirm` has opened it, and on request.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.command import Parser, run
from analysis.disturbances import DISTURBANCES
from analysis.frames import read_manifest
from analysis.layout import Column, Section, plain
from analysis.robustness_data import (
    accuracies,
    curve,
    draw_curves,
    draw_examples,
    examples,
)
from analysis.table import data_kind, origin, warn
from search.confirmed import JSON_NAME, read_confirmation
from search.errors import StudyFailed, UsageError
from search.judging import OPENED_NAME, openings
from search.plain import check_plain
from search.plan import repeats
from search.progress import DataProgress, say
from search.resolve import resolve_study
from search.winner import model_name
from trainables.files import replace_file, replace_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.best_model import BestModel

PROG = "python -m analysis.robustness"


def sections(table: pd.DataFrame, heading: str) -> list[Section]:
    """Return a row per disturbance, a column per strength, and what the strengths are."""
    every = [curve(table, each.name) for each in DISTURBANCES]
    names = [Column("disturbance", [each.name for each in DISTURBANCES], False)]
    strengths = [
        Column(
            str(strength) if strength else "none",
            [f"{rows['accuracy'].iloc[strength]:.4f}" for rows in every],
            True,
        )
        for strength in range(6)
    ]
    units = [
        f"{each.name}, {each.unit}: {', '.join(f'{value:g}' for value in each.strengths)}"
        for each in DISTURBANCES
    ]
    n = int(table["images"].iloc[0])
    row = table.iloc[0]
    sure = f"95 % interval for {n} images: {row['low']:.4f} to {row['high']:.4f} undisturbed"
    return [heading, [*names, *strengths], *units, sure]


def measure(
    folder: Path, split: str, seed: int, data_dir: Path | None = None
) -> "tuple[pd.DataFrame, BestModel]":
    """Return the table of the study's best model on a split, and the model.

    A look at the test split is recorded before it is taken. `data_dir` says where the data
    lies, if not where the study found it.

    Raises:
        UsageError: the test split is closed, or the study holds a link.
        StudyFailed, TrellisError: see `analysis.best_model.load_best`.
    """
    from analysis.best_model import load_best

    check_plain(folder)  # before any of it is written, which `write` does with the table
    told = _opened(folder) if split == "test" else None
    best = load_best(folder, data_dir)
    if told is not None:
        # A look that cannot be is none: model and data are there by now.
        _record_look(folder, told)
        best = best.on(split)
    images, labels = best.split.images, best.split.labels
    table = accuracies(best.predict, images, labels, seed, DataProgress())
    columns = {"split": split, "seed": seed, **_trial(folder, best.about), **origin(folder)}
    return table.assign(**columns), best


def _trial(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return which trial the model is of, and of which trials.csv: confirming counts its own."""
    of_sweep = repeats(read_manifest(folder).get("budget", {}))
    place = "confirm/" if about.get("confirmed") and not of_sweep else ""
    return {"trial": about["trial"], "trial_of": f"{place}trials.csv"}


def write(folder: Path, table: pd.DataFrame, best: "BestModel", heading: str) -> list[Path]:
    """Write the table and its figures into the study folder; return the paths."""
    suffix = "" if best.split_name == "validation" else f"-{best.split_name}"
    path = folder / f"robustness{suffix}.csv"
    replace_text(path, table.to_csv(index=False))
    curves = draw_curves(table, best.chance, heading)
    sheet = draw_examples(examples(best.split.images[0], int(table["seed"].iloc[0])), heading)
    figures = folder / "figures"
    return [
        path,
        _save(curves, figures / f"robustness{suffix}.png"),
        _save(curves, figures / f"robustness{suffix}.svg"),
        _save(sheet, figures / f"robustness-images{suffix}.png"),
    ]


def _save(figure: "Figure", path: Path) -> Path:
    form = path.suffix.removeprefix(".")
    replace_file(path, lambda aside: figure.savefig(aside, format=form))
    return path


def _opened(folder: Path) -> dict[str, Any]:
    """Return confirm.json of a study whose test split `search.confirm` has opened.

    Raises:
        UsageError: it has not.
    """
    told = read_confirmation(folder)
    if told is None or not told.get("opened"):
        raise UsageError(
            [f"--test: the test split of {folder.name} is closed; search.confirm opens it"]
        )
    return told


def _record_look(folder: Path, told: dict[str, Any]) -> None:
    """Record one more look at the test split."""
    import json

    # search.confirm's own list is written first: it may know of a look that never ended.
    before = openings(folder / OPENED_NAME) or told["opened"]
    say(f"note: the test split was opened before: {', '.join(before)}")
    told["opened"] = [*before, datetime.now(UTC).isoformat(timespec="seconds")]
    replace_text(folder / OPENED_NAME, json.dumps(told["opened"]) + "\n")
    replace_text(folder / JSON_NAME, json.dumps(told, indent=2) + "\n")


def _show(arguments: argparse.Namespace) -> None:
    folder = resolve_study(arguments.study, arguments.results_dir)
    split = "test" if arguments.test else "validation"
    table, best = measure(folder, split, arguments.seed, arguments.data_dir)
    _, warning = data_kind(folder)
    name = model_name(best.about, repeats(read_manifest(folder).get("budget", {})))
    heading = f"study {folder.resolve().name}, {name}, {split} split"
    heading += f": {warning}" if warning else ""
    if arguments.csv:
        print(table.to_csv(index=False), end="")
        warn(folder)
    else:
        print(plain(sections(table, heading)), end="")
    try:
        paths = write(folder, table, best, heading)
    except OSError as error:
        raise StudyFailed(f"cannot write into {folder}: {error.strerror}") from None
    for path in paths:
        say(str(path))


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Show how accurate a study's best model is under darkening, blur, noise, "
        "lower resolution and JPEG compression, at five strengths each.",
        epilog=f"example: {PROG} lenet_beans-20261122-101500",
    )
    parser.add_argument("study", metavar="STUDY", help="its name, or a path to its folder")
    parser.add_argument(
        "--test", action="store_true", help="on the test split, if search.confirm has opened it"
    )
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of the noise")
    parser.add_data_dir()
    parser.add_results_dir()
    parser.add_argument("--csv", action="store_true", help="print CSV in full precision")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _show(arguments))


if __name__ == "__main__":
    sys.exit(main())
