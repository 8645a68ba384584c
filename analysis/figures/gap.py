"""Accuracy on training against validation images of one trial by epoch: how far it overfits.

Training accuracy is taken while weights still change and images are augmented, as the trials
report it, so early in training it lies below what the finished epoch would give.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_LINES = (
    ("train_accuracy", style.ORANGE, "training"),
    ("val_accuracy", style.BLUE, "validation"),
)


@dataclass(frozen=True)
class Gap:
    """`rows`: epoch, stage, train_accuracy, val_accuracy, gap (train minus validation).

    `best_epoch` is the epoch of the highest validation accuracy, the earliest of equals.
    """

    trial: int
    rows: pd.DataFrame
    best_epoch: int

    @property
    def at_best(self) -> float:
        """Training minus validation accuracy at the best epoch."""
        return float(self.rows.set_index("epoch")["gap"][self.best_epoch])


def data(curves: pd.DataFrame, trial: int) -> Gap | None:
    """Return both accuracies of one trial; None without an epoch of it."""
    rows = curves[curves["trial"] == trial].sort_values("epoch")
    if rows.empty:
        return None
    rows = rows[["epoch", "stage", "train_accuracy", "val_accuracy"]].reset_index(drop=True)
    rows["gap"] = rows["train_accuracy"] - rows["val_accuracy"]
    highest = int(rows["val_accuracy"].to_numpy().argmax())
    return Gap(trial, rows, int(rows["epoch"].tolist()[highest]))


def charts(gap: Gap) -> list[style.Chart]:
    """Return one chart, the gap shaded."""
    rows = gap.rows
    best = {"x0": gap.best_epoch, "x1": gap.best_epoch, "y0": 0, "y1": 1, "yref": "paper"}
    line = {"color": style.MUTED, "width": 1, "dash": "dot"}
    note = {"text": "best epoch", "x": gap.best_epoch, "y": 1, "yref": "paper"}
    traces = [
        _line(rows, "val_accuracy", "validation", style.BLUE),
        {
            **_line(rows, "train_accuracy", "training", style.ORANGE),
            "fill": "tonexty",
            "fillcolor": "rgba(217,130,11,0.13)",
        },
    ]
    return [
        style.chart(
            traces,
            xaxis=style.axis("epoch"),
            yaxis=style.accuracy_axis("accuracy"),
            shapes=[{"type": "line", "line": line, **best}],
            annotations=[{**note, "showarrow": False, "yanchor": "bottom", "font": {"size": 11}}],
            legend={"orientation": "h", "y": 1.09, "yanchor": "bottom", "x": 0},
            margin={"l": 52, "r": 16, "t": 56, "b": 46},
        )
    ]


def _line(rows: pd.DataFrame, column: str, name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": rows["epoch"].tolist(),
        "y": rows[column].tolist(),
        "text": style.labels(rows["stage"].tolist()),
        "hovertemplate": "%{text}, epoch %{x}: %{y:.2%}<extra>" + name + "</extra>",
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 5},
    }


def draw(gap: Gap) -> "Figure":
    """Return the same as one drawing."""
    figure = style.new_figure(7.4, 3.2)
    axes = figure.subplots()
    rows = gap.rows
    axes.fill_between(
        rows["epoch"], rows["train_accuracy"], rows["val_accuracy"], color=style.ORANGE,
        alpha=0.13, linewidth=0,
    )  # fmt: skip
    marker = "o" if len(rows) == 1 else ""  # one epoch is no line
    for column, colour, label in _LINES:
        axes.plot(
            rows["epoch"], rows[column], color=colour, label=label, marker=marker, markersize=5
        )
    axes.axvline(gap.best_epoch, color=style.MUTED, linestyle=":", linewidth=1)
    axes.set_xlabel("epoch (dotted: the best one)")
    axes.set_ylabel("accuracy")
    style.percent(axes.yaxis)
    style.legend(axes)
    return figure
