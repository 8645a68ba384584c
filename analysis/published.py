"""`python -m analysis.published [STUDY...]`: every published number beside ours, with interval.

Studies given together pool their seeds; without any, all studies of the results folder count.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.command import RESULTS, Parser, run
from analysis.layout import Block, Column, Section, blocks, plain, show
from analysis.pool import Pool, pool
from analysis.published_rows import LOST, Line, lines
from search.catalog import EXPERIMENTS
from search.errors import UsageError
from search.experiment import luck_of
from search.progress import DataProgress, say
from search.resolve import resolve_studies

PROG = "python -m analysis.published"


def sections(found: Sequence[Line], counted: Pool) -> list[Section]:
    """Return a table of numbers and one of costs per experiment, then what is missing and why."""
    told: list[Section] = []
    for name in dict.fromkeys(line.experiment for line in found):
        own = [line for line in found if line.experiment == name]
        told += [_title(name, counted), *blocks([_numbers(own)])]
        costs = _costs(own)
        told += [costs] if costs else []
    return [*told, *_protocol(found), *_missing(found), *_left_out(counted)]


def _title(name: str, counted: Pool) -> str:
    """Return the heading of an experiment: with fewer images than published, that too."""
    manifest = counted.manifest(name)
    data, weights = manifest.get("data", {}), manifest.get("weights") or {}
    sizes = data.get("sizes")
    if not sizes:
        return name
    from trainables.shapes import published

    train = published(str(data["dataset"])).sizes["train"]
    title = f"{name}: ours of {sizes['train']:,} training images"
    if sizes["train"] != train:
        title += f", where the whole data set has {train:,}"
    if weights.get("source") == "file":
        mark = str(weights.get("fingerprint"))[:16]
        title += f"; weights of a file (--weights), fingerprint {mark}"
    return title


def _numbers(own: Sequence[Line]) -> Block:
    return [
        Column("arm", [line.arm for line in own], False, key=True),
        Column("metric", [line.metric for line in own], False, key=True),
        Column("published", [_value(line.published, line.metric) for line in own], True),
        Column("ours", [_value(line.ours, line.metric) for line in own], True),
        Column("95 % interval", [_interval(line) for line in own], True),
        Column("n", ["" if line.n is None else str(line.n) for line in own], True),
        Column("inside", [_yes(line.inside) for line in own], False),
        Column("ours of", [line.of if line.ours is not None else "" for line in own], False),
    ]


def _costs(own: Sequence[Line]) -> Block:
    """Return a row per arm: parameters and our seconds per epoch."""
    arms = list({line.arm: line for line in own if line.parameters is not None}.values())
    if not any(line.trainable_parameters for line in arms):
        return []
    seconds = ["-" if a.seconds_per_epoch is None else f"{a.seconds_per_epoch:.1f}" for a in arms]
    return [
        Column("arm", [line.arm for line in arms], False),
        Column("parameters", [f"{line.parameters:,}" for line in arms], True),
        Column("of them trained", [f"{line.trainable_parameters:,}" for line in arms], True),
        Column("our seconds per epoch", seconds, True),
    ]


def _value(value: float | str | None, metric: str) -> str:
    if value is None or isinstance(value, str):
        return show(value)
    if metric.endswith("parameters"):
        return f"{value:,.0f}"
    return f"{value:.1f}" if "seconds" in metric else f"{value:.4f}"


def _interval(line: Line) -> str:
    if line.low is None or line.high is None:
        return ""
    return f"{_value(line.low, line.metric)} to {_value(line.high, line.metric)}"


def _yes(inside: bool | None) -> str:
    return "" if inside is None else "yes" if inside else "no"


def _protocol(found: Sequence[Line]) -> list[str]:
    """Return how to read the table."""
    told = [
        "95 % interval: of the mean, Student t over n seeds",
        "inside: the published number, of one run, lies where 95 % of single runs of ours would",
        "published: after the last epoch; where ours is of the best epoch, validation chose it",
        "test numbers come from confirm.csv alone; a study that is not confirmed has none",
    ]
    if any(line.of.endswith(LOST) for line in found):
        told.append(f"{LOST}: infeasible on another, so ours is of the luckier ones")
    told += [f"{name}: {luck}" for name, luck in _common(found).items()]
    silent = [line for line in found if line.published is None and line.note]
    return [*told, *(f"published {x.metric} of {x.experiment} {x.arm}: {x.note}" for x in silent)]


def _common(found: Sequence[Line]) -> dict[str, str]:
    """Return what all seeds share that ours is of, by experiment."""
    with_ours = [EXPERIMENTS[x.experiment] for x in found if x.n and x.experiment in EXPERIMENTS]
    shared = {each.name: each.common_to([each.defaults()]) for each in with_ours}
    return {name: luck_of(what) for name, what in shared.items() if what}


def _missing(found: Sequence[Line]) -> list[str]:
    """Return the commands that would fill rows without ours, each with the number of its rows."""
    rows: dict[tuple[str, ...], int] = {}
    for line in found:
        if line.fill:
            rows[line.fill] = rows.get(line.fill, 0) + 1
    # What another list of commands goes on from is not told twice.
    longest = {key: count for key, count in rows.items() if not _goes_on(key, rows)}
    told = []
    for key in longest:
        count = sum(n for other, n in rows.items() if key[: len(other)] == other)
        told += [f"for {count} more row{'s' * (count > 1)}:", *(f"  {command}" for command in key)]
    return told


def _goes_on(key: tuple[str, ...], others: Iterable[tuple[str, ...]]) -> bool:
    return any(len(other) > len(key) and other[: len(key)] == key for other in others)


def _left_out(counted: Pool) -> list[str]:
    told = []
    for (study, reason), trials in sorted(counted.left_out.items()):
        what = f"{trials} trial{'s' * (trials != 1)} of {study}" if trials else study
        told.append(f"left out: {what}: {reason}")
    return told


def as_rows(found: Iterable[Line]) -> list[dict[str, Any]]:
    """Return lines as plain values, in full precision."""
    return [{**asdict(line), "fill": list(line.fill)} for line in found]


def as_frame(found: Iterable[Line]) -> pd.DataFrame:
    """Return lines as a data frame with the columns that are read most."""
    columns = ["experiment", "arm", "metric", "published", "ours", "low", "high", "n", "inside"]
    return pd.DataFrame(as_rows(found))[[*columns, "of", "parameters", "seconds_per_epoch"]]


def as_csv(found: Iterable[Line]) -> str:
    """Return lines as CSV; the commands that fill a row are joined by " && "."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    for row in as_rows(found):
        writer.writerow({**row, "fill": " && ".join(row["fill"])})
    return text.getvalue()


def _studies(texts: Sequence[str], results_dir: Path | str) -> list[Path]:
    """Return the folders of the studies; all there are where none is named, if any.

    Raises:
        UsageError: names that are no studies, a line for each; no folder to find all in.
    """
    if not texts and not isinstance(results_dir, Path):
        raise UsageError([f"--results-dir {results_dir}: name the studies of a store"])
    if not texts and results_dir != RESULTS and not Path(results_dir).is_dir():
        raise UsageError([f"--results-dir {results_dir}: there is no such folder"])
    if not texts:
        return sorted(path.parent for path in Path(results_dir).glob("*/study.json"))
    found = resolve_studies(texts, results_dir)
    return list({folder.resolve(): folder for folder in found}.values())


def _show(arguments: argparse.Namespace) -> None:
    folders = _studies(arguments.studies, arguments.results_dir)
    counted = pool(folders, strict=bool(arguments.studies))
    found = list(lines(counted, DataProgress(), arguments.results_dir))
    if arguments.json:
        left_out = _left_out(counted)
        print(json.dumps({"rows": as_rows(found), "left_out": left_out}, indent=2))
    elif arguments.csv:
        print(as_csv(found), end="")
        for line in _left_out(counted):
            say(line)
    else:
        print(plain(sections(found, counted)), end="")


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Print every published number beside ours: mean, 95 % interval, seeds.",
        epilog=f"example: {PROG} lenet_beans-published inception_beans-published",
    )
    parser.add_argument(
        "studies", metavar="STUDY", nargs="*", help="names or paths (default: all there are)"
    )
    parser.add_results_dir()
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV in full precision")
    form.add_argument("--json", action="store_true", help="print JSON in full precision")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _show(arguments))


if __name__ == "__main__":
    sys.exit(main())
