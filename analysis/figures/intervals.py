"""The best configurations as points with intervals: confirmed on fresh seeds, or of one seed.

One seed has only Wilson's interval: what the finite number of images leaves open. It knows nothing
of seeds, nor that the configuration was chosen for this very number.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.confirmed import ranked
from analysis.figures import style
from analysis.frames import CONFIG, config_names
from analysis.summary import best, finished, possible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ["label", "trial", "accuracy", "low", "high", "n", "group", "lost", "few"]


def searched(trials: pd.DataFrame, images: int | None, top: int) -> pd.DataFrame:
    """Return the `top` best trials with Wilson's 95 % interval of `images` validation images.

    Columns: label, trial, accuracy, low, high (NaN where the number of images is not known), n
    (seeds: 1), group (""), lost (seeds that diverged or ran out of memory: 0), few (whether too
    few seeds to compare: no). Accuracies in [0, 1].
    """
    from search.statistics import wilson_interval

    rows: list[dict[str, Any]] = []
    for _, trial in best(trials, top).iterrows():
        accuracy = float(trial["val_accuracy"])
        low = high = float("nan")
        if images:
            low, high = wilson_interval(round(accuracy * images), images)
        number = int(trial["trial"])
        place = {"label": f"trial {number}", "trial": number, "n": 1, "group": ""}
        place |= {"lost": 0, "few": False}
        rows.append({**place, "accuracy": accuracy, "low": low, "high": high})
    return pd.DataFrame(rows, columns=COLUMNS)


def seeded(trials: pd.DataFrame, top: int) -> pd.DataFrame:
    """Return the `top` best configurations that were trained on several seeds, by their mean.

    Columns as `searched`, with Student's 95 % interval of the finished trials that share a
    configuration; label names them, trial is the first. Those that lost a seed come last: the mean
    of the luckier ones is too good. Before them those that have fewer than half of the seeds of
    another one (`few_seeds`), as after failed trials; their label says how many.
    """
    names = [CONFIG + name for name in config_names(trials)]
    by_config = trials.groupby(names, dropna=False, sort=False) if names else [((), trials)]
    groups = [every for _, every in by_config]
    rows = [_seeded_row(every) for every in groups if not finished(every).empty]
    frame = _few_marked(pd.DataFrame(rows, columns=COLUMNS), max(map(len, groups), default=0))
    frame["whole"] = frame["lost"] == 0
    keys = ["whole", "few", "accuracy", "trial"]
    order = frame.sort_values(keys, ascending=[False, True, False, True])
    return order[COLUMNS].head(top).reset_index(drop=True)


def _seeded_row(every: pd.DataFrame) -> dict[str, Any]:
    """Return the row of the trials of one configuration, one of which has finished."""
    from search.statistics import student_interval

    same, lost = finished(every), int((every["status"] == "infeasible").sum())
    found = student_interval(same["val_accuracy"].tolist())
    numbers = same["trial"].tolist()
    low, high = _ends(found.low, found.high)
    return {
        "label": f"trial{'s' if len(numbers) > 1 else ''} {ranges(numbers)}"
        + (f" ({lost} seed{'s' * (lost > 1)} infeasible)" if lost else ""),
        "trial": numbers[0],
        "accuracy": found.mean,
        "low": low,
        "high": high,
        "n": found.n,
        "group": "",
        "lost": lost,
        "few": False,
    }


def _few_marked(rows: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Return the rows, those with too few of so many seeds marked, in their label, too.

    As in `search.verdict`, those that lost none are counted beside each other, if there are such.
    """
    from search.statistics import few_seeds

    whole = rows[rows["lost"] == 0]
    few = few_seeds((rows if whole.empty else whole)["n"].to_dict())
    marks = [f" ({n} of {seeds} seeds)" * (i in few) for i, n in rows["n"].items()]
    return rows.assign(few=rows.index.isin(few), label=rows["label"] + marks)


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted whole numbers in words: 0, 1, 2 and 5 are "0-2, 5"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts)


def confirmed(configurations: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the configurations of confirm.json by test accuracy, with Student's t interval.

    Columns as `searched`; trial is the configuration's first; group has the letters (see
    `confirm_table.of_groups`). The order is that of `ranked`: those that lost a seed last.
    """
    rows = []
    for each in ranked(configurations):
        test = each["test_accuracy"]
        low, high = _ends(test.get("low"), test.get("high"))
        rows.append(
            {
                "label": f"configuration {each['configuration']}"
                + (" (published)" if each.get("published") else "")
                + (" (unsafe)" if each.get("unsafe") else "")
                + (" (few seeds)" if each.get("few_seeds") else ""),
                "trial": (each.get("trials") or [-1])[0],
                "accuracy": test["mean"],
                "low": low,
                "high": high,
                "n": test["n"],
                "group": each.get("group") or "",
                "lost": int(bool(each.get("unsafe"))),
                "few": bool(each.get("few_seeds")),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _ends(low: float | None, high: float | None) -> tuple[float, float]:
    """Return the ends within what an accuracy can be; NaN where one seed has none."""
    if low is None or high is None:
        return float("nan"), float("nan")
    return possible(low, high)


def title(rows: pd.DataFrame) -> str:
    """Return the title of the accuracy axis."""
    if rows["label"].str.startswith("configuration").any():
        return "test accuracy"
    many = (rows["n"] > 1).any()
    return "mean validation accuracy" if many else "validation accuracy, one seed"


def charts(rows: pd.DataFrame) -> list[style.Chart]:
    """Return one chart, the best on top."""
    from_middle = {
        "type": "data",
        "symmetric": False,
        "array": _whiskers(rows["high"] - rows["accuracy"]),
        "arrayminus": _whiskers(rows["accuracy"] - rows["low"]),
        "thickness": 2,
        "width": 6,
        "color": style.BLUE,
    }
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": rows["accuracy"].tolist(),
        "y": style.labels(_names(rows)),
        "error_x": from_middle,
        "marker": {"color": style.BLUE, "size": 10},
        "text": [_range(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)],
        "hovertemplate": "%{y}: %{x:.2%}<br>%{text}<extra></extra>",
    }
    return [
        style.chart(
            [trace],
            height=90 + 30 * len(rows),
            xaxis=style.accuracy_axis(title(rows)),
            yaxis=style.axis("", autorange="reversed", type="category"),
            margin={"l": 90, "r": 16, "t": 12, "b": 46},
        )
    ]


def _whiskers(lengths: "pd.Series[float]") -> list[object]:
    """Return lengths for plotly.js: of a text it draws nothing, of null a whisker of length 0."""
    return ["none" if math.isnan(length) else length for length in lengths.tolist()]


def _range(low: float, high: float) -> str:
    return "no interval" if math.isnan(low) else f"{low:.2%} to {high:.2%}"


def _names(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["label"], rows["group"], strict=True)
    return [f"{name}  {group}".rstrip() for name, group in pairs]


def draw(rows: pd.DataFrame) -> "Figure":
    """Return the same as one drawing."""
    figure = style.new_figure(7.4, 0.9 + 0.28 * len(rows))
    axes = figure.subplots()
    places = list(range(len(rows)))
    spread = [
        (rows["accuracy"] - rows["low"]).to_numpy(),  # of NaN no whisker is drawn
        (rows["high"] - rows["accuracy"]).to_numpy(),
    ]
    axes.errorbar(
        rows["accuracy"], places, xerr=spread, fmt="o", color=style.BLUE, capsize=3, markersize=6
    )
    axes.set_yticks(places, _names(rows))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(title(rows))
    style.percent(axes.xaxis)
    return figure
