"""Value against accuracy, a small drawing for every hyperparameter that varies.

What one axis shows is over whatever the others were: a pattern, not an effect.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style
from analysis.figures.axes import ParameterAxis, axes_of
from analysis.layout import show
from analysis.summary import finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3  # drawings in a row
_SPREAD = 0.5  # of the room of a choice: points of one choice are drawn apart
_WIDE = 20  # characters of all choices from which they are written smaller
_LONG = 9  # characters from which names of choices stand at the side


def data(trials: pd.DataFrame, space: Mapping[str, str]) -> list[ParameterAxis]:
    """Return an axis per hyperparameter of which finished trials have two values or more."""
    return axes_of(finished(trials), space)


def apart(axis: ParameterAxis) -> list[float]:
    """Return where points are drawn: choices spread by trial number, the same every time."""
    if axis.scale != "choices":
        return [float(place) for place in axis.rows["place"]]
    places = zip(axis.rows["place"], axis.rows["trial"], strict=True)
    # The golden ratio's multiples fill an interval evenly, in whatever order.
    return [float(place) + _SPREAD * (trial * 0.618034 % 1 - 0.5) for place, trial in places]


def decades(low: float, high: float) -> list[float]:
    """Return round numbers for a log axis from `low` to `high`: 1, 2, 5 where it is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1,) if last - first > 2 else (1, 2, 5)
    every = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    inside = [float(f"{tick:.1g}") for tick in every if low / 1.001 <= tick <= high * 1.001]
    return inside[:: -(-len(inside) // 5)] if inside else [low, high]


def sideways(axis: ParameterAxis) -> bool:
    """Tell whether names of choices are so long that accuracy lies on the x axis."""
    return any(len(choice) > _LONG for choice in axis.choices)


def charts(axes: list[ParameterAxis]) -> list[style.Chart]:
    """Return a chart per hyperparameter."""
    return [_chart(axis) for axis in axes]


def _chart(axis: ParameterAxis) -> style.Chart:
    own: dict[str, Any] = {}
    if axis.scale == "choices":
        names = style.labels(style.distinct(axis.choices))
        ends = [-0.5, len(names) - 0.5]
        own = {"tickvals": list(range(len(names))), "ticktext": names, "range": ends}
    elif axis.scale == "log":
        ticks = decades(axis.rows["place"].min(), axis.rows["place"].max())
        own = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    turned = sideways(axis)
    traces = [
        _trace(str(status), group, turned) for status, group in _placed(axis).groupby("status")
    ]
    named, accuracy = style.axis("", **own), style.accuracy_axis("")
    return style.chart(
        traces,
        height=max(230, 70 + 24 * len(axis.choices)) if turned else 230,
        title={"text": f"<b>{style.label(axis.name)}</b>", "x": 0.02, "font": {"size": 13}},
        showlegend=False,
        margin={"l": 44, "r": 10, "t": 34, "b": 34},
        xaxis=accuracy if turned else named,
        yaxis=named if turned else accuracy,
    )


def _placed(axis: ParameterAxis) -> pd.DataFrame:
    return axis.rows.assign(drawn=apart(axis))


def _trace(status: str, rows: pd.DataFrame, turned: bool) -> dict[str, Any]:
    accuracy, places = rows["val_accuracy"].tolist(), rows["drawn"].tolist()
    shown = [
        f"trial {trial}: {style.label(show(value))}<br>{accuracy:.2%}"
        for trial, value, accuracy in zip(
            rows["trial"], rows["value"], rows["val_accuracy"], strict=True
        )
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": status,
        "x": accuracy if turned else places,
        "y": places if turned else accuracy,
        "text": shown,
        "hovertemplate": "%{text}<extra>" + status + "</extra>",
        "marker": {
            "color": style.colour(status),
            "symbol": style.shape(status)[0],
            "size": 7,
            "opacity": 0.7,
        },
    }


def draw(axes: list[ParameterAxis]) -> "Figure":
    """Return the same, three in a row."""
    down = -(-len(axes) // _ACROSS)
    figure = style.new_figure(7.4, 2.15 * down + 0.35)
    cells = figure.subplots(down, min(_ACROSS, len(axes)), squeeze=False).ravel()
    for cell, axis in zip(cells, axes, strict=False):
        _draw_one(cell, axis)
    for cell in cells[len(axes) :]:
        cell.set_visible(False)
    statuses = dict.fromkeys(status for axis in axes for status in axis.rows["status"])
    handles = [_handle(status) for status in statuses]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _handle(status: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], linestyle="", marker=style.shape(status)[1], color=style.colour(status),
        label=status,
    )  # fmt: skip


def _draw_one(cell: "Axes", axis: ParameterAxis) -> None:
    turned = sideways(axis)
    for status, rows in _placed(axis).groupby("status"):
        x, y = rows["drawn"], rows["val_accuracy"]
        cell.scatter(
            *((y, x) if turned else (x, y)), s=16, alpha=0.7, linewidths=0,
            color=style.colour(str(status)), marker=style.shape(str(status))[1],
            rasterized=len(axis.rows) > style.MANY,
        )  # fmt: skip
    cell.set_title(axis.name)
    own, accuracy = (cell.yaxis, cell.xaxis) if turned else (cell.xaxis, cell.yaxis)
    style.percent(accuracy)
    if axis.scale == "log":
        ticks = decades(axis.rows["place"].min(), axis.rows["place"].max())
        cell.set_xscale("log")
        cell.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        cell.minorticks_off()
    if axis.scale == "choices":
        size = 6.5 if turned or len("".join(axis.choices)) > _WIDE else 8.0
        own.set_ticks(range(len(axis.choices)), style.distinct(axis.choices, 18), fontsize=size)
        limits = (-0.5, len(axis.choices) - 0.5)
        cell.set(**{"ylim" if turned else "xlim": limits})
