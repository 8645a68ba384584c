"""Best validation accuracy so far, against the trials that have ended and against time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style
from analysis.summary import finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WALL, SPENT = "minutes since the study began", "minutes of trials, summed"


def data(trials: pd.DataFrame, ended_s: Mapping[int, float]) -> pd.DataFrame:
    """Return a row per finished trial in the order in which they ended.

    Args:
        trials: As `analysis.frames.read_trials` gives them.
        ended_s: Seconds from the study's begin to the end of each ended trial. Where it lacks one
            trial the seconds that trials took, summed in the order of their numbers, stand in.

    Returns:
        Columns trial, status, val_accuracy in [0, 1], ended (1, 2, ...: infeasible and failed
        trials count), minutes, best (the highest val_accuracy up to here), and x_title.
    """
    ended = trials[trials["status"] != "running"].copy()
    known = all(number in ended_s for number in ended["trial"])
    if known:
        ended["minutes"] = ended["trial"].map(dict(ended_s)).astype("float64") / 60
        ended = ended.sort_values(["minutes", "trial"])
    else:
        ended["minutes"] = ended["wall_s"].fillna(0.0).cumsum() / 60
    ended["ended"] = range(1, len(ended) + 1)
    rows = finished(ended)[["trial", "status", "val_accuracy", "ended", "minutes"]].copy()
    rows["best"] = rows["val_accuracy"].cummax()
    rows["x_title"] = WALL if known else SPENT
    return rows.reset_index(drop=True)


def charts(rows: pd.DataFrame) -> list[style.Chart]:
    """Return two charts: against trials, and against minutes."""
    title = str(rows["x_title"].iloc[0])
    return [
        _chart(rows, "ended", "trials that have ended"),
        _chart(rows, "minutes", title),
    ]


def _chart(rows: pd.DataFrame, x: str, title: str) -> style.Chart:
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": rows[x].tolist(),
            "y": rows["best"].tolist(),
            "line": {"shape": "hv", "color": style.GREEN, "width": 2.5},
            "hoverinfo": "skip",
        }
    ]
    for status, group in rows.groupby("status", sort=False):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(status),
                "x": group[x].tolist(),
                "y": group["val_accuracy"].tolist(),
                "text": [f"trial {number}" for number in group["trial"]],
                "hovertemplate": "%{text}<br>%{y:.2%}<extra></extra>",
                "marker": _marker(str(status)),
            }
        )
    return style.chart(
        traces,
        height=300,
        showlegend=False,
        margin={"l": 52, "r": 16, "t": 16, "b": 46},
        xaxis=style.axis(title, rangemode="tozero"),
        yaxis=style.accuracy_axis(),
    )


def _marker(status: str) -> dict[str, Any]:
    return {
        "color": style.colour(status),
        "symbol": style.shape(status)[0],
        "size": 8,
        "opacity": 0.75,
    }


def draw(rows: pd.DataFrame) -> "Figure":
    """Return the same two drawings side by side."""
    figure = style.new_figure(7.4, 3.3)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, x, title in (
        (left, "ended", "trials that have ended"),
        (right, "minutes", str(rows["x_title"].iloc[0])),
    ):
        for status, group in rows.groupby("status", sort=False):
            axes.scatter(
                group[x], group["val_accuracy"], s=22, alpha=0.75, linewidths=0, label=str(status),
                color=style.colour(str(status)), marker=style.shape(str(status))[1],
                rasterized=len(rows) > style.MANY,
            )  # fmt: skip
        axes.step(
            rows[x], rows["best"], where="post", color=style.GREEN, linewidth=2,
            label="best so far",
        )  # fmt: skip
        axes.set_xlabel(title)
        axes.set_xlim(left=0)
    left.set_ylabel("validation accuracy")
    style.percent(left.yaxis)
    style.legend(left)
    return figure
