"""What `search.confirm` left in a study folder: a row per configuration and seed, and the whole.

The test split is opened by that command alone, so every number of it comes from here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.frames import read_table
from search.confirmed import CSV_NAME

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


def ranked(configurations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the configurations of confirm.json, the best mean test accuracy first.

    What lost a seed comes last, as the mean of the others is too good; before that what has too
    few seeds to be compared.
    """
    return sorted(
        configurations,
        key=lambda each: (
            each.get("unsafe", False),
            each.get("few_seeds", False),
            -each["test_accuracy"]["mean"],
            each["configuration"],
        ),
    )
