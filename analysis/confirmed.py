"""What `search.confirm` left in a study folder: a row per configuration and seed, and the whole.

The test split is opened by that command alone, so every number of it comes from here.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.frames import read_table
from trainables.errors import TrellisError

CSV_NAME, JSON_NAME = "confirm.csv", "confirm.json"
# Int64 and float64 as in `analysis.frames`; more columns may follow.
CONFIRM_TYPES = {
    "configuration": "int64",
    "published": "str",
    "trial": "int64",
    "seed": "int64",
    "val_accuracy": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",
    "last_test_accuracy": "float64",
    "epochs": "int64",
    "parameters": "Int64",
    "trainable_parameters": "Int64",
    "epoch_s": "float64",
    "wall_s": "float64",
}


def is_confirmed(folder: Path) -> bool:
    """Tell whether a study's test split was opened."""
    return (folder / CSV_NAME).is_file()


def read_confirmed(folder: Path) -> pd.DataFrame:
    """Return `confirm.csv`, a row per configuration and seed, in that order.

    Raises:
        StudyFailed: the file is missing.
        TrellisError: it is damaged, or lacks a column.
    """
    frame = read_table(folder / CSV_NAME, CONFIRM_TYPES)
    return frame.sort_values(["configuration", "seed"], ignore_index=True)


def read_confirmation(folder: Path) -> dict[str, Any] | None:
    """Return `confirm.json`; None where the study is not confirmed.

    Raises:
        TrellisError: it is not a JSON object.
    """
    path = folder / JSON_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise TrellisError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise TrellisError(f"{path} is damaged: an object was expected, not {content!r:.40}")
    return content


def ranked(configurations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the configurations of confirm.json, the best mean test accuracy first.

    What lost a seed comes last: the mean of the others is too good.
    """
    return sorted(
        configurations,
        key=lambda each: (
            each.get("unsafe", False),
            -each["test_accuracy"]["mean"],
            each["configuration"],
        ),
    )
