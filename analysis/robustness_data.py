"""Accuracy of a model under every disturbance and strength: a table, and curves of it."""

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.disturbances import DISTURBANCES, Disturbance
from search.statistics import wilson_interval
from trainables.data.source import Progress, silent
from trainables.errors import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Predict = Callable[[NDArray[np.uint8]], NDArray[np.int64]]
COLUMNS = ("disturbance", "strength", "value", "unit", "images", "correct", "accuracy")
THUMBNAIL_INCHES = 1.2
_WIDE = 75  # characters of a heading


def accuracies(
    predict: Predict,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seed: int = 0,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return a row per disturbance and strength, the undisturbed images first.

    Columns: `COLUMNS`, then low and high, the 95 % Wilson interval of the accuracy for so many
    images; `strength` is 0 to 5, `value` what it stands for in `unit` (NaN undisturbed).

    Args:
        predict: uint8 images [n, height, width, channels] -> classes [n].
        images: As the network gets them.
        labels: Their true classes.
        seed: Of the noise.
        progress: Hears of every strength.
    """
    steps = [("none", 0, np.nan, "", images)]
    total = 1 + sum(len(each.strengths) for each in DISTURBANCES)
    rows = [_row(*steps[0][:4], predict(images), labels)]
    for each in DISTURBANCES:
        for strength, value in enumerate(each.strengths, 1):
            progress("models asked about disturbed images", len(rows), total)
            found = predict(each.apply(images, value, seed))
            rows.append(_row(each.name, strength, value, each.unit, found, labels))
    progress("models asked about disturbed images", total, total)
    return pd.DataFrame(rows, columns=[*COLUMNS, "low", "high"])


def _row(
    name: str,
    strength: int,
    value: float,
    unit: str,
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> tuple[object, ...]:
    correct = int((predicted == labels).sum())
    interval = wilson_interval(correct, len(labels))
    return (
        *(name, strength, float(value), unit),
        *(len(labels), correct, correct / len(labels)),
        *interval,
    )


def curve(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of one disturbance, with the undisturbed ones as its strength 0."""
    return table[table["disturbance"].isin(["none", name])].sort_values("strength")


def draw_curves(table: pd.DataFrame, chance: float, heading: str) -> "Figure":
    """Return the accuracy curves, a panel for each disturbance, with their Wilson intervals.

    `chance` is the accuracy of always naming the commonest class: a dashed line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.4 * len(DISTURBANCES), 3.2), dpi=100, layout="constrained")
    _head(figure, heading)
    axes = figure.subplots(1, len(DISTURBANCES), sharey=True)
    for panel, each in zip(axes, DISTURBANCES, strict=True):
        rows = curve(table, each.name)
        panel.fill_between(rows["strength"], rows["low"], rows["high"], alpha=0.2, linewidth=0)
        panel.plot(rows["strength"], rows["accuracy"], marker="o", markersize=4)
        panel.axhline(chance, color="gray", linestyle="--", linewidth=1)
        ticks = ["none", *(f"{value:g}" for value in each.strengths)]
        panel.set_xticks(range(6), ticks, fontsize=8)
        panel.set_title(each.name, fontsize=10)
        panel.set_xlabel(each.unit, fontsize=9)
        panel.set_ylim(0, 1.02)
        panel.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("accuracy")
    return figure


def _head(figure: "Figure", heading: str) -> None:
    """Write a heading with the name of a study, which may be bytes that are no text."""
    figure.suptitle(textwrap.fill(one_line(heading), _WIDE), fontsize=11, parse_math=False)


def examples(image: NDArray[np.uint8], seed: int = 0) -> dict[str, list[NDArray[np.uint8]]]:
    """Return what every disturbance does to one image [height, width, channels]: six each."""
    one = image[None]
    return {
        each.name: [image, *(each.apply(one, value, seed)[0] for value in each.strengths)]
        for each in DISTURBANCES
    }


def draw_examples(pictures: dict[str, list[NDArray[np.uint8]]], heading: str) -> "Figure":
    """Return a sheet with a row for each disturbance, the undisturbed image first."""
    from matplotlib.figure import Figure

    columns = 1 + max(len(each.strengths) for each in DISTURBANCES)
    size = (THUMBNAIL_INCHES * (columns + 1), THUMBNAIL_INCHES * len(pictures) + 0.6)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    _head(figure, heading)
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    for line, each in zip(axes, DISTURBANCES, strict=True):
        for cell, picture, title in zip(line, pictures[each.name], _titles(each), strict=True):
            cell.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_title(title, fontsize=8)
        label = f"{each.name}\n{textwrap.fill(each.unit, 14)}"
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _titles(each: Disturbance) -> list[str]:
    return ["none", *(f"{value:g}" for value in each.strengths)]
