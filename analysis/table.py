"""`python -m analysis.table STUDY`: the best configurations, or (--by NAME) a marginal table.

May be asked while the study runs. The numbers come from `analysis.summary`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size

import pandas as pd

from analysis.command import Parser, positive, run
from analysis.frames import CONFIG, config_names, read_manifest, read_trials
from analysis.layout import WIDTH, Section, blocks, column, plain, show, show_on_terminal
from analysis.summary import best, counts, finished, marginal, warm_started
from search.errors import StudyFailed
from search.experiment import images_of
from search.progress import say
from search.resolve import resolve_study

__all__ = [
    "best",
    "data_kind",
    "main",
    "marginal",
    "origin",
    "read_finished",
    "render_best",
    "warn",
]

PROG = "python -m analysis.table"
KEYS = ("rank", "trial")
RESULTS = ("status", "val_accuracy", "val_loss", "epochs", "best_epoch", "parameters", "wall_s")
FORMATS = {
    **dict.fromkeys(("val_accuracy", "val_loss", "mean", "std", "best"), "{:.4f}"),
    "parameters": "{:,}",
    "wall_s": "{:.1f}",
}
FEW = 3  # hyperparameters: as many are all shown, whether they vary or not


def render_best(folder: Path, top: int) -> str:
    """Return the best configurations of the study `folder` as plain text, 110 columns wide.

    Raises:
        StudyFailed: trials.csv is missing, or no trial has finished.
        TrellisError: a file of the study is damaged.
    """
    trials = read_finished(folder)
    return plain([*_heading(folder), *_best_sections(trials, top, WIDTH), *_warm(folder, trials)])


def read_finished(folder: Path) -> pd.DataFrame:
    """Return all trials of a study of which one at least has finished.

    Raises:
        StudyFailed: trials.csv is missing, or no trial has finished.
        TrellisError: the file is damaged.
    """
    trials = read_trials(folder)
    if finished(trials).empty:
        raise StudyFailed(f"no trial of {folder} has finished: {counts(trials)}")
    return trials


def _best_sections(trials: pd.DataFrame, top: int, width: int) -> list[Section]:
    order, names = best(trials, top), config_names(trials)
    varying = [name for name in names if trials[CONFIG + name].nunique(dropna=False) > 1]
    shown = names if len(names) <= FEW else varying
    keys = [column(name, order[name], key=True) for name in KEYS]
    results = [column(name, order[name], FORMATS.get(name, "")) for name in RESULTS]
    config = [column(name, order[CONFIG + name]) for name in shown]
    first = trials.iloc[0]
    same = [f"{name} {show(first[CONFIG + name])}" for name in names if name not in shown]
    below = [f"the same in all trials: {', '.join(same)}"] if same else []
    return [*blocks([[*keys, *results], config], width), *below, counts(trials)]


def _marginal_sections(trials: pd.DataFrame, name: str, width: int) -> list[Section]:
    frame = marginal(trials, name)
    label, *numbers = frame.columns
    # By position: a hyperparameter may be called n, or best.
    columns = [
        column(each, frame.iloc[:, place], FORMATS.get(each, ""))
        for place, each in enumerate(numbers, 1)
    ]
    return [
        *blocks([[column(label, frame.iloc[:, 0], key=True), *columns]], width),
        "val_accuracy of n completed and stopped trials; left_out: infeasible, failed, running",
        counts(trials),
    ]


def data_kind(folder: Path) -> tuple[str, str | None]:
    """Return the kind of data that a study used, and a warning where it was not the real thing.

    Random weights in the place of pretrained ones are told in the warning, too.
    """
    data = read_manifest(folder).get("data", {})
    kind, dataset = str(data.get("kind", "unknown")), data.get("dataset", "data")
    warnings = [images_of(dataset, kind)] if kind == "embedded" else []
    warnings += ["weights: random, not pretrained"] if _weights(folder) == "random" else []
    return kind, "; ".join(warnings) or None


def _weights(folder: Path) -> str | None:
    """Return where the pretrained weights of a study came from; None if it needs none."""
    weights = read_manifest(folder).get("weights") or {}
    return weights.get("source")


def _heading(folder: Path) -> list[Section]:
    experiment, (_, warning) = read_manifest(folder).get("experiment", "?"), data_kind(folder)
    title = f"study {folder.resolve().name} of {experiment}"
    return [f"{title}: {warning}" if warning else title]


def _warm(folder: Path, trials: pd.DataFrame) -> list[Section]:
    """Return the lines that count apart what came from earlier studies; none without any."""
    return list(warm_started(trials, read_manifest(folder).get("budget", {})))


def _print_csv(folder: Path, frame: pd.DataFrame) -> None:
    """Print a frame in full precision; columns at its end name the data, and weights if any."""
    print(frame.assign(**origin(folder)).to_csv(index=False), end="")
    warn(folder)


def origin(folder: Path) -> dict[str, str]:
    """Return what tables tell of a study's origin: its data, and its weights if it needs any."""
    weights = _weights(folder)
    return {"data": data_kind(folder)[0]} | ({"weights": weights} if weights else {})


def warn(folder: Path) -> None:
    """Tell, beside a table on stdout, of a study whose data or weights are not the real thing."""
    _, warning = data_kind(folder)
    if warning:
        say(warning)


def _swept_alone(folder: Path, trials: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the trials of a sweep in which `by` alone differs; all those of a search.

    A sweep tries one hyperparameter at a time: the others' trials would count for one value.
    """
    from analysis.pool import config_of, differing  # which import the catalog's experiments

    manifest, name = read_manifest(folder), by.removeprefix(CONFIG)
    budget = manifest.get("budget") or {}
    base = {**manifest.get("defaults", {}), **budget.get("fixed", {})}
    if not budget.get("sweep"):
        return trials
    rows = ({str(k): v for k, v in row.items()} for row in trials.to_dict("records"))
    alone = [set(differing({**base, **config_of(row)}, base)) <= {name} for row in rows]
    return trials[alone].reset_index(drop=True)


def _show(arguments: argparse.Namespace) -> None:
    folder = resolve_study(arguments.study, arguments.results_dir, weights=False)
    trials, by, top = read_finished(folder), arguments.by, arguments.top
    left: list[str] = []
    if by:
        every, trials = len(trials), _swept_alone(folder, trials, by)
        if len(trials) < every:
            left = [f"of {every} trials, those of the sweep of {by.removeprefix(CONFIG)} alone"]
    if arguments.csv:
        if left:
            say(left[0])
        return _print_csv(folder, marginal(trials, by) if by else best(trials, top))
    terminal = sys.stdout.isatty()
    width = get_terminal_size().columns if terminal else WIDTH
    body = _marginal_sections(trials, by, width) if by else _best_sections(trials, top, width)
    sections = [*_heading(folder), *left, *body, *_warm(folder, trials)]
    if terminal:
        return show_on_terminal(sections)
    print(plain(sections), end="")


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Print the best configurations of a study, or what one hyperparameter does.",
        epilog=f"example: {PROG} lenet_beans-20261122-101500 --by kernel_size",
    )
    parser.add_argument("study", metavar="STUDY", help="its name, or a path or URI of its folder")
    parser.add_argument("--by", metavar="NAME", help="one row per value of this hyperparameter")
    parser.add_argument(
        "--top", metavar="N", type=positive, default=10, help="configurations (default: 10)"
    )
    parser.add_results_dir()
    parser.add_argument("--csv", action="store_true", help="print CSV in full precision")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _show(arguments))


if __name__ == "__main__":
    sys.exit(main())
