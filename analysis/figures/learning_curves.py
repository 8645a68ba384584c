"""Validation accuracy of every trial by epoch, with the rungs at which ASHA compares them.

Where trials have stages, epochs are counted from the begin of the last one, as rungs are: what
comes before it has numbers up to 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style
from analysis.summary import best

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 3  # trials that are drawn on their own
_WEIGHT = {1: 2.6, 2: 1.9, 3: 1.5}  # of their lines, by rank
_POINT = 5  # the size of a trial of one epoch
_MANY = 4000  # points beyond which an SVG holds the crowd as a picture


@dataclass(frozen=True)
class Curves:
    """`rows`: trial, status, epoch, x (the epoch that rungs count), val_accuracy, rank, last.

    `rank` is 1 to 3 for the best trials, else 0; `last` tells a trial's last epoch. `rungs` are
    values of x that some trial reached; `staged` tells that x counts from the begin of the last
    stage. `named` is what a rung is called, before its epoch.
    """

    rows: pd.DataFrame
    rungs: tuple[int, ...]
    staged: bool
    named: str = "rung"


def data(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    rungs: Sequence[int],
    last_stage: str | None,
    named: str = "rung",
    planned: Mapping[int, int] | None = None,
) -> Curves:
    """Return what is drawn.

    Args:
        trials: As `analysis.frames.read_trials` gives them.
        curves: As `analysis.frames.read_curves` gives them.
        rungs: Epoch counts at which trials are compared.
        last_stage: The stage whose epochs rungs count; None where a trial is one stage.
        named: What a rung is called, before its epoch.
        planned: By trial, how many epochs it was to have before the last stage; of one that did
            not come to that stage, what is done does not tell.
    """
    top = best(trials, TOP)
    ranks = dict(zip(top["trial"], top["rank"], strict=True))
    status = dict(zip(trials["trial"], trials["status"], strict=True))
    rows = curves[curves["trial"].isin(list(status))].copy()
    before = _epochs_before(rows, last_stage) | dict(planned or {})
    rows["x"] = rows["epoch"] - rows["trial"].map(before).fillna(0).astype("int64")
    rows["status"] = rows["trial"].map(status)
    rows["rank"] = rows["trial"].map(ranks).fillna(0).astype("int64")
    rows["last"] = rows["epoch"] == rows.groupby("trial")["epoch"].transform("max")
    kept = ["trial", "status", "epoch", "x", "val_accuracy", "rank", "last"]
    reached = tuple(rung for rung in rungs if rung <= rows["x"].max())
    return Curves(rows[kept].reset_index(drop=True), reached, last_stage is not None, named)


def _epochs_before(rows: pd.DataFrame, last_stage: str | None) -> dict[int, int]:
    """Return how many epochs each trial did before the stage that counts."""
    if last_stage is None:
        return {}
    counts = rows.loc[rows["stage"] != last_stage, "trial"].value_counts()
    return dict(zip(counts.index.tolist(), counts.tolist(), strict=True))


def charts(curves: Curves) -> list[style.Chart]:
    """Return one chart: a line per trial, in one trace per status so that 1,000 stay quick."""
    rows = curves.rows
    traces = [
        _crowd(str(status), group)
        for status, group in rows[rows["rank"] == 0].groupby("status", sort=False)
    ]
    traces += [
        _points(str(status), group) for status, group in _alone(rows).groupby("status", sort=False)
    ]
    ends = rows[rows["last"] & (rows["status"] == "stopped")]
    if not ends.empty:
        traces.append(_ends(ends))
    traces += [
        _leader(int(group["trial"].iloc[0]), group)
        for _, group in sorted(
            rows[rows["rank"] > 0].groupby("trial"), key=lambda pair: pair[1]["rank"].iloc[0]
        )
    ]
    shapes = [_vertical(rung) for rung in curves.rungs]
    notes = [_note(rung, curves.named) for rung in curves.rungs]
    if curves.staged:
        shapes.append(_vertical(0.5, "solid"))
    return [
        style.chart(
            traces,
            height=420,
            xaxis=style.axis(_title(curves)),
            yaxis=style.accuracy_axis(),
            shapes=shapes,
            annotations=notes,
            margin={"l": 52, "r": 16, "t": 76, "b": 46},
            legend={"orientation": "h", "y": 1.09, "yanchor": "bottom", "x": 0},
        )
    ]


def _alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of trials of one epoch: a line through one point cannot be seen.

    But for the best trials, and stopped ones, whose ends are marked anyway.
    """
    counts = rows.groupby("trial")["trial"].transform("size")
    return rows[(counts == 1) & (rows["rank"] == 0) & (rows["status"] != "stopped")]


def _title(curves: Curves) -> str:
    return "epoch of the last stage (up to 0: stages before it)" if curves.staged else "epoch"


def _crowd(status: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return all lines of one status as one trace, a gap between two trials."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for number, group in rows.groupby("trial"):
        x += [*group["x"].tolist(), None]
        y += [*group["val_accuracy"].tolist(), None]
        text += [*(f"trial {number}, epoch {epoch}" for epoch in group["epoch"]), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": status,
        "legendgroup": status,
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text}<br>%{y:.2%}<extra>" + status + "</extra>",
        "line": {"color": style.colour(status), "width": 1.2},
        "opacity": 0.7,
        "connectgaps": False,
    }


def _points(status: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return trials of one epoch each, in the legend with the lines of their status."""
    named = zip(rows["trial"], rows["epoch"], strict=True)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": status,
        "legendgroup": status,
        "showlegend": False,
        "x": rows["x"].tolist(),
        "y": rows["val_accuracy"].tolist(),
        "text": [f"trial {number}, epoch {epoch}" for number, epoch in named],
        "hovertemplate": "%{text}<br>%{y:.2%}<extra>" + status + "</extra>",
        "marker": {"color": style.colour(status), "size": _POINT},
    }


def _ends(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "stopped here",
        "x": rows["x"].tolist(),
        "y": rows["val_accuracy"].tolist(),
        "text": [f"trial {number} stopped" for number in rows["trial"]],
        "hovertemplate": "%{text}<br>%{y:.2%}<extra></extra>",
        "marker": {"color": style.ORANGE, "symbol": "triangle-down", "size": 8},
    }


def _leader(number: int, rows: pd.DataFrame) -> dict[str, Any]:
    rank = int(rows["rank"].iloc[0])
    return {
        "type": "scatter",
        "mode": "lines" if len(rows) > 1 else "markers",
        "name": f"#{rank}: trial {number}",
        "x": rows["x"].tolist(),
        "y": rows["val_accuracy"].tolist(),
        "text": [f"trial {number}, epoch {epoch}" for epoch in rows["epoch"]],
        "hovertemplate": "%{text}<br>%{y:.2%}<extra></extra>",
        "line": {"color": style.GREEN, "width": _WEIGHT[rank], "dash": _dash(rank)[0]},
        "marker": {"color": style.GREEN, "size": _POINT},
    }


def _dash(rank: int) -> tuple[str, str]:
    return {1: ("solid", "-"), 2: ("dash", "--"), 3: ("dot", ":")}[rank]


def _vertical(x: float, dash: str = "dot") -> dict[str, Any]:
    line = {"color": style.MUTED, "width": 1, "dash": dash}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _note(rung: int, named: str) -> dict[str, Any]:
    place = {"x": rung, "y": 1, "yref": "paper", "yanchor": "bottom"}
    return {"text": f"{named} {rung}", "showarrow": False, "font": {"size": 11}, **place}


def draw(curves: Curves) -> "Figure":
    """Return the same as one drawing."""
    from matplotlib.transforms import blended_transform_factory

    figure = style.new_figure(7.4, 4.0)
    axes = figure.subplots()
    rows = curves.rows
    for status, group in rows[rows["rank"] == 0].groupby("status", sort=False):
        lines = [each[["x", "val_accuracy"]].to_numpy() for _, each in group.groupby("trial")]
        _add_lines(axes, lines, str(status), len(rows) > _MANY)
    ends = rows[rows["last"] & (rows["status"] == "stopped")]
    axes.scatter(
        ends["x"], ends["val_accuracy"], s=20, color=style.ORANGE, marker="v", zorder=3,
        rasterized=len(ends) > style.MANY,
    )  # fmt: skip
    for status, group in _alone(rows).groupby("status", sort=False):
        axes.scatter(
            group["x"], group["val_accuracy"], s=_POINT**2, color=style.colour(str(status)),
            linewidths=0, zorder=3, rasterized=len(group) > style.MANY,
        )  # fmt: skip
    for rank in sorted(set(rows["rank"].tolist()) - {0}):
        group = rows[rows["rank"] == rank]
        number = group["trial"].iloc[0]
        axes.plot(
            group["x"], group["val_accuracy"], color=style.GREEN, linewidth=_WEIGHT[rank],
            linestyle=_dash(rank)[1], label=f"#{rank}: trial {number}", zorder=4,
            marker="o" if len(group) == 1 else "", markersize=_POINT,
        )  # fmt: skip
    place = blended_transform_factory(axes.transData, axes.transAxes)
    for rung in curves.rungs:
        axes.axvline(rung, color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.text(
            rung, 0.01, f" {curves.named} {rung}", transform=place, fontsize=8, color=style.MUTED,
            va="bottom",
        )  # fmt: skip
    axes.set_xlabel(_title(curves))
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("validation accuracy")
    style.percent(axes.yaxis)
    style.legend(axes, columns=6)
    return figure


def _add_lines(axes: Any, lines: list[Any], status: str, rasterize: bool) -> None:
    from matplotlib.collections import LineCollection

    crowd = LineCollection(
        lines, colors=style.colour(status), linewidths=1.0, alpha=0.55, label=status
    )
    crowd.set_rasterized(rasterize)
    axes.add_collection(crowd)
    axes.autoscale_view()
