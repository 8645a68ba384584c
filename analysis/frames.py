"""A study folder as data frames: its trials, its curves, its manifest; readable while it runs.

A row counts once its line is whole: what a kill or a running write left of the last is ignored.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from search.errors import StudyFailed
from trainables.errors import TrellisError

# Int64 keeps a count a whole number beside trials that have none yet.
TRIAL_TYPES = {
    "trial": "int64",
    "status": "str",
    "epochs": "Int64",
    "best_epoch": "Int64",
    "val_accuracy": "float64",
    "val_loss": "float64",
    "train_accuracy": "float64",
    "parameters": "Int64",
    "trainable_parameters": "Int64",
    "wall_s": "float64",
    "peak_memory_mb": "float64",
    "seed": "Int64",
    "error": "str",
}
CURVE_TYPES = {
    "trial": "int64",
    "epoch": "int64",
    "stage": "str",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "val_loss": "float64",
    "val_accuracy": "float64",
    "learning_rate": "float64",
    "epoch_s": "float64",
}
CONFIG = "config."
_NUMBER = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
# What study.json says of a range: "whole numbers 5 to 20 in steps of 5", "1e-05 to 0.1 (log ...".
RANGE = re.compile(rf"(whole numbers )?{_NUMBER} to {_NUMBER}( |$)")


def read_trials(folder: Path) -> pd.DataFrame:
    """Return `trials.csv`, a row per trial in order of their numbers.

    Columns: those of `TRIAL_TYPES`, then `config.<name>` per hyperparameter, NaN where a trial
    has none (a strength without a regularizer). Accuracies in [0, 1], seconds, MiB.

    Raises:
        StudyFailed: the file is missing.
        TrellisError: it is damaged, or lacks a column.
    """
    frame = read_table(folder / "trials.csv", TRIAL_TYPES)
    return frame.sort_values("trial", ignore_index=True)


def read_curves(folder: Path) -> pd.DataFrame:
    """Return `curves.csv`, a row per trial and epoch (1, 2, ... over all stages), in that order.

    An epoch written twice, by a trial that went on after a kill, counts as written last.

    Raises:
        StudyFailed: the file is missing.
        TrellisError: it is damaged, or lacks a column.
    """
    frame = read_table(folder / "curves.csv", CURVE_TYPES)
    frame = frame.drop_duplicates(["trial", "epoch"], keep="last")
    return frame.sort_values(["trial", "epoch"], ignore_index=True)


def check_curves(folder: Path, numbers: Iterable[int], curves: pd.DataFrame) -> None:
    """Make sure that `curves`, those of `folder`, have each of these trials.

    Raises:
        StudyFailed: rows of the table were lost.
    """
    if lost := sorted(set(numbers) - set(curves["trial"])):
        raise StudyFailed(
            f"{folder / 'curves.csv'} has no epoch of trial {lost[0]}: it is damaged"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return `study.json`: experiment, space, budget, seed, data, versions.

    Raises:
        TrellisError: the file is missing or not a JSON object.
    """
    path = folder / "study.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrellisError(f"{folder} is not a study: it has no study.json") from None
    except (ValueError, RecursionError) as error:
        raise TrellisError(f"{path} is damaged: {error}") from None
    if not isinstance(manifest, dict):
        raise TrellisError(f"{path} is damaged: an object was expected, not {manifest!r:.40}")
    return manifest


def config_names(trials: pd.DataFrame) -> list[str]:
    """Return the hyperparameters of `trials`, in the order of their columns."""
    return [name.removeprefix(CONFIG) for name in trials.columns if name.startswith(CONFIG)]


def read_table(path: Path, types: dict[str, str]) -> pd.DataFrame:
    """Return the whole lines of a CSV file; only an empty field and "nan" are missing values.

    Hyperparameters whose choices are words are text, by the study.json beside it.

    Raises:
        StudyFailed: the file is missing.
        TrellisError: it is damaged, or lacks a column of `types`.
    """
    try:
        text = _whole_lines(path.read_bytes().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        raise StudyFailed(f"{path} is missing: no trial has been written yet") from None
    header = text.partition("\n")[0].rstrip("\r").split(",")
    lacking = [name for name in types if name not in header]
    if lacking:
        raise TrellisError(f"{path} lacks the column(s) {', '.join(lacking)}")
    try:
        return pd.read_csv(
            io.StringIO(text),
            dtype=types | _words(path.parent),
            keep_default_na=False,
            na_values=["", "nan"],
        )
    except ValueError as error:  # a wrong number of fields, or text where a number belongs
        what = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise TrellisError(f"{path} is damaged: {what}") from None


def _words(folder: Path) -> dict[str, str]:
    """Return the columns that are text, though each field may read as a number: "08" is not 8."""
    try:
        space = read_manifest(folder).get("space")
    except TrellisError:  # a table can be read without it
        return {}
    if not isinstance(space, dict):
        return {}
    return {CONFIG + name: "str" for name, domain in space.items() if _is_of_words(str(domain))}


def _is_of_words(domain: str) -> bool:
    """Tell whether some of the choices that study.json has is a word, and no other value."""
    if RANGE.match(domain):
        return False
    return not all(_is_value(choice) for choice in domain.split(", "))


def _is_value(text: str) -> bool:
    """Tell whether Python writes a number, True, False or None so: 8 and 0.1, not 08."""
    if text in ("True", "False", "None"):
        return True
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return str(kind(text)) == text
    return False


def _whole_lines(text: str) -> str:
    """Drop what follows the last newline, and a last record whose quotes are still open."""
    text = text[: text.rfind("\n") + 1]
    if text.count('"') % 2:
        text = text[: text.rfind("\n", 0, text.rfind('"')) + 1]
    return text
