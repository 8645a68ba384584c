"""Every published number beside ours: mean, interval, how many seeds, and what ours is of.

Numbers of the test split come from confirm.csv alone. The published protocol takes the weights of
the last epoch, and so does ours where that was kept: `of` says which.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.command import RESULTS
from analysis.facts import counts, layer_table, worked_convolution
from analysis.pool import Pool, Run, Tested
from analysis.published_commands import Commands
from analysis.reference import Reference, arm_config, is_of_test, read_reference
from search.catalog import EXPERIMENTS
from search.statistics import Summary, student_interval
from trainables.data.source import Progress, silent

LOST = "a seed lost"  # ends `of`
# Ours of these: where they stand in the row of a trial's last epoch, or of the trial.
_LAST = {
    "val_accuracy": ("val_accuracy", "last epoch"),
    "train_accuracy": ("train_accuracy", "last epoch"),
    "train_loss_last_epoch": ("train_loss", "last epoch"),
}
_ROUNDING = 1e-9  # two numbers so close are one
_OTHER_MACHINE = ("seconds_per_epoch", "train_seconds")


@dataclass(frozen=True)
class Line:
    """One row: `low` to `high` is the 95 % interval of the mean `ours` over `n` seeds.

    `inside` tells whether the published number, which is of one run, lies where 95 % of single
    runs of ours would: in the prediction interval, mean -+ t sd sqrt(1 + 1/n) (Student's t, n - 1
    degrees of freedom); of an exact number whether both are equal. None where that cannot be
    told: no number, one seed or several that gave one number, seconds of another machine.
    `of` says which weights or epochs ours is of: of the last epoch, as published; of the best one
    by validation; the mean over the last stage's; trained alone on the machine; or exact. It ends
    with `LOST` where the configuration was infeasible on another seed.
    `fill` holds the commands to run where ours is missing; none where none would help.
    """

    experiment: str
    arm: str
    setting: str
    metric: str
    published: float | str | None
    ours: float | str | None
    sd: float | None
    low: float | None
    high: float | None
    n: int | None
    inside: bool | None
    of: str
    parameters: int | None
    trainable_parameters: int | None
    seconds_per_epoch: float | None
    note: str
    fill: tuple[str, ...] = ()


def lines(
    pool: Pool, progress: Progress = silent, results_dir: Path | str = RESULTS
) -> Iterator[Line]:
    """Yield a line for every row of the published numbers, in their order.

    Studies that are missing will lie in `results_dir`.
    """
    rows, commands = read_reference(), Commands(pool, results_dir)
    for number, row in enumerate(rows, 1):
        progress("numbers compared with the published ones", number, len(rows))
        line = _trained(row, pool) if row.experiment in EXPERIMENTS else _fact(row)
        yield replace(line, fill=commands.fill(row)) if line.n == 0 else line


def _trained(row: Reference, pool: Pool) -> Line:
    experiment = EXPERIMENTS[row.experiment]
    if row.arm == "source":
        return _line(row, *_of_transfer(row, pool), (None, None), None)
    config = arm_config(experiment, row.arm)
    parameters, trained = counts(experiment, config)
    runs = pool.runs_of(row.experiment, config)
    seconds = [run.epoch_s for run in runs]
    epoch_s = sum(seconds) / len(seconds) if seconds else None
    if row.metric in ("parameters", "trainable_parameters"):
        exact = parameters if row.metric == "parameters" else trained
        return _exact(row, row.value, exact, (parameters, trained), epoch_s)
    values, of = _values(row, pool, config)
    return _line(row, values, of, (parameters, trained), epoch_s)


def _values(row: Reference, pool: Pool, config: Mapping[str, Any]) -> tuple[list[float], str]:
    """Return ours, one value per seed, and what it is of."""
    if is_of_test(row.metric):
        tested = pool.tested_of(row.experiment, config)
        values, of = _of_test(row.metric, [each.row for each in tested])
        return values, of + _lost(row, pool, config, tested)
    runs = pool.runs_of(row.experiment, config)
    lost = _lost(row, pool, config, runs)
    if row.metric in _LAST:
        name, of = _LAST[row.metric]
        return [float(run.last[name]) for run in runs], of + lost
    if row.metric == "best_val_accuracy":
        return [float(run.row["val_accuracy"]) for run in runs], f"best epoch{lost}"
    if row.metric == "seconds_per_epoch":
        return [run.epoch_s for run in runs], "last stage"
    return _of_transfer(row, pool)


def _lost(
    row: Reference, pool: Pool, config: Mapping[str, Any], found: Sequence[Run | Tested]
) -> str:
    return f", {LOST}" if pool.has_lost(row.experiment, config, found) else ""


def _of_test(metric: str, rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], str]:
    # Rows of an earlier version have it of the best epoch alone: then so are all.
    last = bool(rows) and all(_has(row, f"last_{metric}") for row in rows)
    name = f"last_{metric}" if last or metric == "test_accuracy" else metric
    of = "last epoch" if name != metric else "best epoch"
    return [float(row[name]) for row in rows], of


def _has(row: Mapping[str, Any], name: str) -> bool:
    return str(row.get(name, "")) not in ("", "nan")


def _of_transfer(row: Reference, pool: Pool) -> tuple[list[float], str]:
    """Return ours from transfer.json, one value per seed: the mean of what trained it again.

    The source has one seed, whatever machines it was trained on: they tell nothing of its luck.
    One of them serves many studies, and counts once.
    """
    name = "seconds" if row.metric == "train_seconds" else row.metric
    of = {"seconds": "alone", "val_accuracy": "last epoch"}
    by_seed: dict[int | None, dict[tuple[float, float], float]] = {}
    for content in pool.transfers:
        part, seed = content[row.arm], None if row.arm == "source" else content["seed"]
        distinct = by_seed.setdefault(seed, {})
        distinct[part["val_accuracy"], part["seconds"]] = float(part[name])
    means = [sum(own.values()) / len(own) for own in by_seed.values()]
    return means, of.get(name, "best epoch")


def _line(
    row: Reference,
    values: Sequence[float],
    of: str,
    sizes: tuple[int | None, int | None],
    epoch_s: float | None,
) -> Line:
    found = student_interval(values) if values else None
    low, high = _possible(row.metric, found) if found else (None, None)
    return Line(
        **_head(row),
        published=row.value,
        ours=found.mean if found else None,
        sd=found.sd if found else None,
        low=low,
        high=high,
        n=len(values),
        inside=_like_a_run(row, found),
        of=of,
        parameters=sizes[0],
        trainable_parameters=sizes[1],
        seconds_per_epoch=epoch_s,
    )


def _like_a_run(row: Reference, found: Summary | None) -> bool | None:
    """Tell whether a published number is what a single run of ours may give; None if unknown.

    The interval of the mean would not do: the more seeds, the fewer runs like them lie in it.
    """
    if found is None or found.low is None or found.high is None:
        return None
    if row.value is None or row.metric in _OTHER_MACHINE:
        return None
    # The interval's half is t sd / sqrt(n).
    half = (found.high - found.low) / 2 * math.sqrt(found.n + 1)
    if half < _ROUNDING:  # all seeds gave one number: nothing is known of how far runs lie apart
        return None
    return abs(row.value - found.mean) <= half


def _possible(metric: str, found: Summary) -> tuple[float | None, float | None]:
    """Return the interval without what a metric cannot be: few seeds give wide ones."""
    if found.low is None or found.high is None:
        return None, None
    share = metric.endswith("accuracy") or metric.startswith(("f1_", "precision_", "recall_"))
    most = 1.0 if share else math.inf
    return max(found.low, 0.0), min(found.high, most)


def _exact(
    row: Reference,
    published: float | str | None,
    ours: float | str,
    sizes: tuple[int | None, int | None],
    epoch_s: float | None,
) -> Line:
    return Line(
        **_head(row),
        published=published,
        ours=ours,
        sd=None,
        low=None,
        high=None,
        n=None,
        inside=published == ours,
        of="exact",
        parameters=sizes[0],
        trainable_parameters=sizes[1],
        seconds_per_epoch=epoch_s,
    )


def _head(row: Reference) -> dict[str, Any]:
    return {
        name: getattr(row, name) for name in ("experiment", "arm", "setting", "metric", "note")
    }


def _fact(row: Reference) -> Line:
    """Return the line of what no training is needed for.

    Raises:
        ValueError: a row that is neither an experiment's nor a fact.
    """
    if row.experiment == "convolution":
        return _exact(row, row.note, worked_convolution(row.setting), (None, None), None)
    if row.experiment != "layer_table":
        raise ValueError(f"reference.csv: nothing is known of {row.experiment!r}")
    parameters, per_layer = layer_table()
    if per_layer != row.note:
        raise ValueError(f"reference.csv says {row.note!r} of the layers, computed: {per_layer}")
    return _exact(row, row.value, parameters, (parameters, parameters), None)
