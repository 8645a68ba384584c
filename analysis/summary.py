"""What the trials of a study say: the best configurations, and one hyperparameter's effect.

Data alone; `analysis.table` prints it.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.frames import CONFIG, config_names
from analysis.layout import shows
from search.records import FINISHED, STATUSES
from trainables.errors import TrellisError

MOST_VALUES = 6  # distinct numbers beyond which `marginal` puts them into 4 quantiles
_QUANTILES = 4


def finished(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the completed and stopped trials that have a validation accuracy."""
    return trials[trials["status"].isin(FINISHED) & trials["val_accuracy"].notna()]


def best(trials: pd.DataFrame, top: int) -> pd.DataFrame:
    """Return the `top` best finished trials, `rank` 1 first, with all columns of `trials`.

    By validation accuracy at the best epoch, equal ones by number: rank 1 is in best.json.
    """
    order = finished(trials).sort_values(
        ["val_accuracy", "trial"], ascending=[False, True], ignore_index=True
    )
    order = order.head(top)
    order.insert(0, "rank", range(1, len(order) + 1))
    return order


def possible(
    low: float, high: float, least: float = 0.0, most: float = 1.0
) -> tuple[float, float]:
    """Return the ends of an interval within what a value can be: an accuracy, if nothing is said.

    Of few seeds that differ much Student's t passes that.
    """
    return max(low, least), min(high, most)


def marginal(trials: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a row per value of the hyperparameter `name`, over whatever the others were.

    Columns: `name` (text; "-" for trials that have none); n, the finished trials; left_out, the
    infeasible, failed and running ones; mean, std (of a sample: NaN for n = 1) and best of the
    finished trials' validation accuracy. More than 6 numbers are put into 4 quantiles, each
    named by the least and the greatest number in it; one that a quarter of the trials have stands
    by itself, and those below and above it are cut by as many quantiles as they are quarters.

    Raises:
        TrellisError: no such hyperparameter; the valid ones are listed.
    """
    name = name.removeprefix(CONFIG)
    if name not in config_names(trials):
        valid = ", ".join(config_names(trials)) or "none"
        raise TrellisError(f"no hyperparameter is called {name!r}: this study has {valid}")
    groups, order = _groups(trials[CONFIG + name])
    accuracy = finished(trials)["val_accuracy"].reindex(trials.index)
    rows = []
    for group in order:
        members = accuracy[groups == group]
        n = int(members.notna().sum())
        rows.append((group, n, len(members) - n, members.mean(), members.std(), members.max()))
    return pd.DataFrame(rows, columns=[name, "n", "left_out", "mean", "std", "best"])


def _groups(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """Return the group of every value, as text, and the groups in order: ascending, "-" last."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_VALUES:
        bins = _quantiles(values)
        ranges = values.groupby(bins).agg(["min", "max"])
        ends = shows(ranges.to_numpy().ravel().tolist())
        names = {i: _range(ends[low], ends[high]) for i, low, high in ranges.itertuples()}
        groups, order = bins.map(names), list(names.values())
    else:
        named = shows(sorted(values.dropna().unique().tolist(), key=natural))
        groups, order = values.map(named), list(named.values())
    if values.isna().any():
        order.append("-")
    return groups.where(values.notna(), "-"), list(dict.fromkeys(order))


def _quantiles(values: pd.Series) -> pd.Series:
    """Return the number of each value's group, ascending; NaN of NaN."""
    shares = values.value_counts(normalize=True)
    often = sorted(shares.index[shares >= 1 / _QUANTILES])
    # Even: between two of those that are frequent; odd: one of them.
    parts = values.map(lambda value: bisect_left(often, value) + bisect_right(often, value))
    bins = pd.Series(math.nan, values.index)
    for part, own in values.dropna().groupby(parts):
        cuts = max(1, round(_QUANTILES * len(own) / values.count()))
        inside = pd.qcut(own, cuts, labels=False, duplicates="drop") if part % 2 == 0 else 0
        bins.loc[own.index] = part * _QUANTILES + inside
    return bins


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def natural(value: Any) -> Any:
    """Sort key: numbers in a text count by their value, so 3/8/60 stands before 12/32/240."""
    if not isinstance(value, str):
        return value
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]


def warm_started(trials: pd.DataFrame, budget: Mapping[str, Any]) -> list[str]:
    """Count apart the trials that a study took over from earlier ones (`--warm-start`).

    `budget` is that of study.json. Two lines, or none where nothing was taken over.
    """
    taken = {number: each for number, each in enumerate(budget.get("warm_start", ()), 1)}
    if not taken:
        return []
    first = trials["trial"].isin(list(taken))
    sources = [f"{n} from {each['study']} trial {each['trial']}" for n, each in taken.items()]
    return [
        f"warm start, trials {', '.join(sources)}: {_best(trials[first])}",
        f"the others: {_best(trials[~first])}",
    ]


def _best(trials: pd.DataFrame) -> str:
    order = best(trials, 1)
    if order.empty:
        return counts(trials)
    row = order.iloc[0]
    return f"{counts(trials)}; best {row['val_accuracy']:.4f} (trial {row['trial']})"


def counts(trials: pd.DataFrame) -> str:
    """Say how many trials there are of every status."""
    known = dict.fromkeys([*STATUSES, *trials["status"]])
    counts = [(int((trials["status"] == status).sum()), status) for status in known]
    what = ", ".join(f"{n} {status}" for n, status in counts if n)
    return f"{len(trials)} trials: {what}" if what else "0 trials"
