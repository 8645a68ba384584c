"""Hyperparameters as axes: numbers on a scale, choices in their order. Data alone.

What `parameters` and `parallel` share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from analysis.frames import CONFIG, RANGE, config_names
from analysis.layout import shows
from analysis.summary import natural

Scale = Literal["linear", "log", "choices"]


@dataclass(frozen=True)
class ParameterAxis:
    """One hyperparameter. `rows`: trial, status, val_accuracy, value, place.

    `value` is a float, or text for choices; `place` the float to draw at: the value, or the
    position of the choice. `choices` are the values of a choice axis in order, else empty.
    """

    name: str
    scale: Scale
    rows: pd.DataFrame
    choices: tuple[str, ...] = ()


def axes_of(trials: pd.DataFrame, space: Mapping[str, str]) -> list[ParameterAxis]:
    """Return an axis for every hyperparameter of which `trials` have two values or more.

    Args:
        trials: Finished trials, as `analysis.frames.read_trials` gives them.
        space: Hyperparameter -> its domain in words, as study.json has it; one that is missing is
            a range if it is a number.

    A trial without the hyperparameter is left out of its axis.
    """
    found = []
    for name in config_names(trials):
        values = trials[CONFIG + name]
        if values.nunique() >= 2:
            found.append(_axis(name, trials[values.notna()], space.get(name)))
    return found


def scale_of(values: "pd.Series[Any]", domain: str | None) -> Scale:
    """Return how a hyperparameter is drawn, by its domain in words and its values."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return "choices"
    if domain is not None and not RANGE.match(domain):
        return "choices"
    if domain is not None and "log scale" in domain and (values > 0).all():
        return "log"
    return "linear"


def _axis(name: str, trials: pd.DataFrame, domain: str | None) -> ParameterAxis:
    values = trials[CONFIG + name]
    rows = trials[["trial", "status", "val_accuracy"]].copy()
    scale = scale_of(values, domain)
    if scale != "choices":
        rows["value"] = rows["place"] = values.astype("float64")
        return ParameterAxis(name, scale, rows.reset_index(drop=True))
    named = shows(sorted(values.unique().tolist(), key=natural))
    rows["value"] = values.map(named)
    rows["place"] = values.map({value: float(i) for i, value in enumerate(named)})
    return ParameterAxis(name, scale, rows.reset_index(drop=True), tuple(named.values()))
