"""Studies side by side: accuracy, convergence, generalization and cost of the best of each.

Of a confirmed study the recommended configuration over its seeds, on the test split; where one
study is not confirmed all are compared by validation, which is optimistic: it chose the best.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.confirmed import read_confirmed
from analysis.difference import Difference, difference
from analysis.figures.intervals import seeded
from analysis.frames import check_curves, read_curves, read_manifest, read_trials
from analysis.pool import config_of, same
from analysis.summary import best, counts, finished
from analysis.table import data_kind
from search.catalog import find
from search.confirmed import CSV_NAME, read_confirmation
from search.errors import StudyFailed
from search.experiment import luck_of
from search.judging import read_rows
from search.plan import repeats

CONVERGED = 0.9  # of the final accuracy
_ROUNDING = 1e-9  # an accuracy so little below another is the same: 0.72 is 0.9 of 0.80


@dataclass(frozen=True)
class Side:
    """One study: its configuration, and numbers of each of its seeds.

    Accuracies and `gap` (train minus `split`) in [0, 1]; `epochs_to` and `seconds_to` until a
    validation accuracy of 90 % of the last epoch's; seconds of training and validating. `curves`:
    columns trial, epoch, seconds since the beginning, train_accuracy, val_accuracy.
    """

    name: str
    experiment: str
    images: str  # which: the data's fingerprint, and the classes of a transfer's target
    split: str
    warning: str | None
    config: Mapping[str, Any]
    trials: Sequence[int]
    accuracy: Mapping[int, float]  # by seed
    gap: Mapping[int, float]
    epochs_to: Sequence[float]
    seconds_to: Sequence[float]
    wall_s: Sequence[float]
    parameters: int
    trainable_parameters: int
    peak_memory_mb: float
    curves: pd.DataFrame


@dataclass(frozen=True)
class Comparison:
    """All sides, on one split, each compared with the first; what to know beforehand."""

    split: str
    sides: Sequence[Side]
    differences: Sequence[Difference]
    warnings: Sequence[str] = field(default_factory=tuple)


def compare(folders: Sequence[Path]) -> Comparison:
    """Return the studies of `folders`, two or more, side by side.

    Raises:
        StudyFailed: no trial of one has finished.
        TrellisError: a file of one is damaged.
    """
    named = list(zip(_told_apart(folders), folders, strict=True))
    closed = [name for name, folder in named if _recommended(folder) is None]
    split = "validation" if closed else "test"
    sides = [replace(read_side(folder, split), name=name) for name, folder in named]
    warnings = [f"{side.name}: {side.warning}" for side in sides if side.warning]
    if closed:
        warnings.append(_of_validation(closed, [n for n, _ in named if n not in closed]))
    others = [side.name for side in sides if side.images != sides[0].images]
    if others:
        warnings.append(f"other images than {sides[0].name}'s: {', '.join(others)}")
    pairs = [side for side in sides[1:] if side.images == sides[0].images]
    found = [difference(sides[0], side, len(pairs)) for side in pairs]
    return Comparison(split, sides, found, warnings)


def _of_validation(closed: Sequence[str], confirmed: Sequence[str]) -> str:
    """Return what accuracies on validation are worth: more of a search than of fresh seeds."""
    all_of = f"not confirmed: {', '.join(closed)}. All accuracies are of the validation split, "
    if not confirmed:
        return f"{all_of}which chose the best epoch and configuration: optimistic"
    return (
        f"{all_of}which chose the best epoch: optimistic; those of {', '.join(closed)} more so, "
        f"where it chose the configuration, too. {', '.join(confirmed)}: means over fresh seeds"
    )


def _told_apart(folders: Sequence[Path]) -> list[str]:
    """Return the studies' names; those that share one with as much of their paths as it takes."""
    places = [folder.resolve().parts for folder in folders]

    def name(place: tuple[str, ...]) -> str:
        ends = (place[-count:] for count in range(1, len(place) + 1))
        own = next(end for end in ends if sum(p[-len(end) :] == end for p in places) == 1)
        return "/".join(own)

    return [name(place) for place in places]


def read_side(folder: Path, split: str) -> Side:
    """Return one study on the validation split, or if it is confirmed on the test split.

    Raises:
        StudyFailed: no trial has finished.
        TrellisError: a file is damaged.
    """
    manifest, chosen = read_manifest(folder), _recommended(folder)
    rows, place = (_best(folder), folder) if chosen is None else _confirmed(folder, chosen)
    trials = rows["trial"].tolist()
    curves = read_curves(place)
    check_curves(place, trials, curves)
    curves = _timed(curves[curves["trial"].isin(trials)])
    speed = [convergence(own) for _, own in curves.groupby("trial")]
    own = read_trials(place).set_index("trial").loc[trials]
    config = _configs(rows)[0]
    images = manifest.get("data", {}).get("fingerprint")
    accuracy = dict(zip(rows["seed"].astype(int), rows[_column(split)], strict=True))
    train = dict(zip(rows["seed"].astype(int), rows["train_accuracy"], strict=True))
    return Side(
        name=folder.resolve().name,
        experiment=str(manifest.get("experiment")),
        images=f"{images} {config.get('target_classes', '')}",
        split=split,
        warning=_warning(folder, chosen, manifest, config),
        config=config,
        trials=trials,
        accuracy=accuracy,
        gap={seed: train[seed] - accuracy[seed] for seed in accuracy},
        epochs_to=[epochs for epochs, _ in speed],
        seconds_to=[seconds for _, seconds in speed],
        wall_s=[float(value) for value in own["wall_s"].dropna()],
        parameters=int(own["parameters"].iloc[0]),
        trainable_parameters=int(own["trainable_parameters"].iloc[0]),
        peak_memory_mb=float(own["peak_memory_mb"].max()),
        curves=curves,
    )


def _column(split: str) -> str:
    return "test_accuracy" if split == "test" else "val_accuracy"


def _recommended(folder: Path) -> int | None:
    """Return the configuration that confirming recommends; None without one.

    A confirm.csv alone is of a judging that was interrupted: rows are missing, nothing is chosen.
    """
    chosen = (read_confirmation(folder) or {}).get("recommended")
    return None if chosen is None else int(chosen)


def _confirmed(folder: Path, chosen: int) -> tuple[pd.DataFrame, Path]:
    """Return the rows of a configuration, and the folder that has their curves.

    Raises:
        StudyFailed: that folder is gone, or other trials have been trained in it since.
    """
    rows = read_confirmed(folder)
    place = folder if repeats(read_manifest(folder).get("budget", {})) else folder / "confirm"
    rows = rows[rows["configuration"] == chosen].reset_index(drop=True)
    _check_trained(folder, place, rows["trial"].tolist())
    return rows, place


def _check_trained(folder: Path, place: Path, numbers: Sequence[int]) -> None:
    """Refuse rows of confirm.csv whose trials are not those in `place`."""
    anew = f"confirm the study again: python -m search.confirm {shlex.quote(str(folder))}"
    tables = place / "trials.csv", place / "curves.csv"
    if lost := [str(path) for path in tables if not path.is_file()]:
        raise StudyFailed(f"{lost[0]} is missing: confirm.csv is of trials that are gone; {anew}")
    judged, trained = (_by_trial(path) for path in (folder / CSV_NAME, tables[0]))
    if other := [number for number in numbers if judged[number] != trained.get(number)]:
        raise StudyFailed(
            f"{tables[0]}: trial {other[0]} has another seed or configuration than in "
            f"{folder / CSV_NAME}; {anew}"
        )


def _by_trial(path: Path) -> dict[int, dict[str, str]]:
    """Return seed and configuration of each trial of a table, as text."""
    kept = re.compile(r"seed|config\..+")
    return {
        int(row["trial"]): {k: v for k, v in row.items() if v and kept.fullmatch(k)}
        for row in read_rows(path)
    }


def _best(folder: Path) -> pd.DataFrame:
    """Return the trial of the best configuration; of a sweep over seeds the best mean's trials."""
    trials = read_trials(folder)
    ended = finished(trials)
    if ended.empty:
        raise StudyFailed(f"no trial of {folder} has finished: {counts(trials)}")
    if repeats(read_manifest(folder).get("budget", {})):
        first = int(_first_seeded(trials)["trial"])
        (wanted,) = _configs(ended[ended["trial"] == first])
    else:
        (wanted,) = _configs(best(trials, 1))
    alike = [same(config, wanted) for config in _configs(ended)]
    return ended[alike].reset_index(drop=True)


def _first_seeded(trials: pd.DataFrame) -> pd.Series:
    return seeded(trials, 1).iloc[0]


def _warning(
    folder: Path, chosen: int | None, manifest: Mapping[str, Any], config: Mapping[str, Any]
) -> str | None:
    """Return what is not the real thing, or too good, about a study's numbers; None if nothing."""
    warnings = [data_kind(folder)[1]]
    if _all_lost_seeds(folder, chosen):
        warnings.append("every configuration lost a seed: means of the others are too good")
    if chosen is not None:
        common = (read_confirmation(folder) or {}).get("common_to_seeds")
    else:
        seeds = repeats(manifest.get("budget", {}))
        common = find(str(manifest["experiment"])).common_to([config]) if seeds else ""
    warnings += [luck_of(common)] if common else []
    return "; ".join(each for each in warnings if each) or None


def _all_lost_seeds(folder: Path, chosen: int | None) -> bool:
    if chosen is not None:
        every = (read_confirmation(folder) or {})["configurations"]
        return any(each.get("unsafe") for each in every if each["configuration"] == chosen)
    if not repeats(read_manifest(folder).get("budget", {})):
        return False
    trials = read_trials(folder)
    return not finished(trials).empty and bool(_first_seeded(trials)["lost"])


def _configs(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [config_of({str(k): v for k, v in row.items()}) for row in frame.to_dict("records")]


def _timed(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves with `seconds`, the sum of epoch_s so far."""
    seconds = curves.groupby("trial")["epoch_s"].cumsum()
    columns = ["trial", "epoch", "seconds", "train_accuracy", "val_accuracy"]
    return curves.assign(seconds=seconds)[columns].reset_index(drop=True)


def convergence(own: pd.DataFrame) -> tuple[float, float]:
    """Return epochs and seconds until one trial first has 90 % of its last epoch's accuracy."""
    wanted = CONVERGED * own["val_accuracy"].iloc[-1] - _ROUNDING
    reached = own[own["val_accuracy"] >= wanted].iloc[0]
    return float(reached["epoch"]), float(reached["seconds"])
