"""Parallel coordinates: a line per finished trial through all that varies, to its accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures import style
from analysis.figures.axes import ParameterAxis, axes_of
from analysis.layout import apart
from analysis.summary import finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS = 5
_FEW = 8  # whole numbers that all get a tick
_MOST_NAMED = 8  # choices that are named in the drawing; all are in the chart
_MISSING = "none"
_LONGEST, _SHOWN = 16, 9  # characters of a choice's name in the chart, and in the drawing
_ALL_DIGITS = 17  # that tell any two floats apart


@dataclass(frozen=True)
class Coordinate:
    """One axis: a place per trial, and ticks (place, name) from bottom to top."""

    name: str
    places: NDArray[np.float64]  # [n_trials]
    ticks: tuple[tuple[float, str], ...]
    shown: int | None = None  # characters of a tick in the drawing; None: all, as of numbers


@dataclass(frozen=True)
class Parallel:
    """Coordinates of the trials, the accuracy (in [0, 1]) the last one."""

    trials: tuple[int, ...]
    coordinates: tuple[Coordinate, ...]
    accuracy: NDArray[np.float64]  # [n_trials]


def data(trials: pd.DataFrame, space: Mapping[str, str]) -> Parallel:
    """Return the coordinates of the finished trials: hyperparameters that vary, then accuracy.

    A trial without a hyperparameter has the lowest place of its axis, named none.
    """
    rows = finished(trials).sort_values("val_accuracy").reset_index(drop=True)
    numbers = rows["trial"].tolist()
    found = [_coordinate(axis, numbers) for axis in axes_of(rows, space)]
    accuracy = rows["val_accuracy"].to_numpy(dtype=np.float64)
    if len(accuracy):
        ends = np.unique(np.linspace(accuracy.min(), accuracy.max(), _TICKS)).tolist()
        ticks = tuple(zip(ends, _apart(ends, 1, "%"), strict=True))
        found.append(Coordinate("accuracy", accuracy, ticks))
    return Parallel(tuple(numbers), tuple(found), accuracy)


def _coordinate(axis: ParameterAxis, numbers: list[int]) -> Coordinate:
    places = axis.rows.set_index("trial")["place"].reindex(numbers).to_numpy(dtype=np.float64)
    if axis.scale == "log":
        places = np.log10(places)
    ticks = _ticks(axis, places)
    missing = np.isnan(places)
    if missing.any():
        low, high = np.nanmin(places), np.nanmax(places)
        below = float(low - 0.15 * (high - low or 1.0))
        places = np.where(missing, below, places)
        ticks = ((below, _MISSING), *ticks)
    if axis.scale == "choices":
        names = style.distinct([name for _, name in ticks], _LONGEST)
        ticks = tuple((place, name) for (place, _), name in zip(ticks, names, strict=True))
    return Coordinate(axis.name, places, ticks, _SHOWN if axis.scale == "choices" else None)


def _ticks(axis: ParameterAxis, places: NDArray[np.float64]) -> tuple[tuple[float, str], ...]:
    if axis.scale == "choices":
        return tuple((float(i), choice) for i, choice in enumerate(axis.choices))
    known = np.unique(places[~np.isnan(places)])
    few, ends = len(known) <= _FEW, np.unique(np.linspace(known[0], known[-1], _TICKS))
    if (axis.rows["place"] % 1 == 0).all():
        if axis.scale == "log":
            ends = np.log10(np.unique((10**ends).round()))  # a tick lies where its number does
            return tuple((place, f"{10**place:.0f}") for place in ends.tolist())
        values = known if few else np.unique(ends.round())
        return tuple((place, f"{place:.0f}") for place in values.tolist())
    real = 10**ends if axis.scale == "log" else ends
    return tuple(zip(ends.tolist(), _apart(real.tolist(), 2, "g"), strict=True))


def _apart(values: Sequence[float], digits: int, kind: str) -> list[str]:
    """Return values that differ as texts that do: with so many digits, or more."""

    def texts(more: int) -> list[str]:
        return [f"{value:.{more}{kind}}" for value in values]

    return apart(texts, range(digits, _ALL_DIGITS)) or texts(_ALL_DIGITS)


def charts(parallel: Parallel) -> list[style.Chart]:
    """Return one chart whose axes can be dragged, and brushed to see some trials alone."""
    dimensions = [
        {
            "label": style.label(style.shorten(each.name, 18)),
            "values": each.places.tolist(),
            "tickvals": [place for place, _ in each.ticks],
            "ticktext": [name for _, name in each.ticks],  # plain text, which the label is not
        }
        for each in parallel.coordinates
    ]
    line = {
        "color": parallel.accuracy.tolist(),
        "colorscale": [list(step) for step in style.SCALE],
        "showscale": False,
    }
    trace = {"type": "parcoords", "dimensions": dimensions, "line": line, "labelside": "top"}
    drawn = style.chart([trace], height=420, margin={"l": 110, "r": 56, "t": 54, "b": 20})
    # The page turns itself no narrower than this: it scrolls inside the figure.
    return [drawn | {"width": max(560, 110 * len(dimensions)), "webgl": True}]


def draw(parallel: Parallel) -> "Figure":
    """Return the same as one drawing, the best trials on top."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap

    figure = style.new_figure(7.4, 3.9)
    axes = figure.subplots()
    scaled = [_scaled(each) for each in parallel.coordinates]
    height = np.stack([values for values, _ in scaled], axis=1)  # [n_trials, n_coordinates]
    across = np.broadcast_to(np.arange(height.shape[1]), height.shape)
    lines = LineCollection(
        list(np.stack([across, height], axis=2)),
        array=parallel.accuracy,
        cmap=LinearSegmentedColormap.from_list("accuracy", list(style.SCALE)),
        linewidths=1.4,
        alpha=0.8,
    )
    lines.set_rasterized(len(parallel.trials) > style.MANY)
    axes.add_collection(lines)
    for x, (each, (_, unit)) in enumerate(zip(parallel.coordinates, scaled, strict=True)):
        _draw_axis(axes, x, each, unit)
    axes.set(xlim=(-0.35, height.shape[1] - 0.6), ylim=(-0.04, 1.04), yticks=[])
    names = [style.shorten(each.name, 17).replace("_", "_\n") for each in parallel.coordinates]
    axes.set_xticks(range(len(names)), names, fontsize=8, color=style.INK)
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _scaled(each: Coordinate) -> tuple[NDArray[np.float64], Any]:
    """Return the places in [0, 1], and what puts any place there."""
    marks = [place for place, _ in each.ticks]
    low, high = min(*marks, *each.places), max(*marks, *each.places)
    room = high - low

    def unit(place: Any) -> Any:
        return (place - low) / room if room else place * 0 + 0.5

    return unit(each.places), unit


def _draw_axis(axes: Any, x: int, each: Coordinate, unit: Any) -> None:
    axes.axvline(x, color=style.GRID, linewidth=1, zorder=0)
    every = -(-len(each.ticks) // _MOST_NAMED)
    for place, name in each.ticks[::every]:
        axes.text(
            x - 0.03, unit(place), style.shorten(name, each.shown or len(name)), fontsize=7,
            color=style.MUTED, ha="right", va="center",
            bbox={"facecolor": style.PAPER, "linewidth": 0, "pad": 0.4, "alpha": 0.75},
        )  # fmt: skip
