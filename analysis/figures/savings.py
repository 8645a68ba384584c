"""What early stopping and stored activations saved, in epochs and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.figures import style
from search.records import FINISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = pd.Series  # of every trial
_WIDTH = 0.85  # of a bar, of the room of a trial


@dataclass(frozen=True)
class Activations:
    """Images that went through frozen layers, and would have without stored activations.

    `seconds` that the passes took, None where the study computed none itself; `epochs` are those
    of all trials, `images_per_epoch` their training and validation images.
    """

    images: int
    epochs: int
    images_per_epoch: int
    seconds: float | None

    @property
    def plain_images(self) -> int:
        """Images that would have gone through the frozen layers, every epoch anew."""
        return self.epochs * self.images_per_epoch

    @property
    def saved_epochs(self) -> float:
        """Epochs' worth of frozen passes that were not run."""
        return (self.plain_images - self.images) / self.images_per_epoch

    @property
    def saved_s(self) -> float | None:
        """Seconds that those passes would have taken, as fast as the ones that were run."""
        if self.seconds is None or not self.images:
            return None
        return self.seconds / self.images * (self.plain_images - self.images)


@dataclass(frozen=True)
class Savings:
    """`rows` of completed and stopped trials: trial, status, epochs, saved, saved_s.

    `saved` are epochs that a stopped trial was planned to do and did not; `saved_s` those times
    its own mean seconds per epoch.
    """

    rows: pd.DataFrame
    activations: Activations | None = None

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return int(self.rows["epochs"].sum())

    @property
    def saved(self) -> int:
        """Epochs that early stopping saved."""
        return int(self.rows["saved"].sum())

    @property
    def saved_s(self) -> float:
        """Seconds that early stopping saved, an estimate."""
        return float(self.rows["saved_s"].sum())


def data(
    trials: pd.DataFrame,
    curves: pd.DataFrame,
    planned: Mapping[int, int],
    last_stage: str | None = None,
    activations: Activations | None = None,
) -> Savings:
    """Return what was saved.

    Args:
        trials: As `analysis.frames.read_trials` gives them.
        curves: As `analysis.frames.read_curves` gives them.
        planned: Epochs of each trial if it is not stopped.
        last_stage: The stage that stopping cuts short, whose epochs may take longer than those
            before it; None where a trial is one stage.
        activations: Of experiments with frozen layers.
    """
    rows = trials.loc[trials["status"].isin(FINISHED), ["trial", "status"]].copy()
    done = dict(zip(trials["trial"], trials["epochs"].fillna(0).astype(int), strict=True))
    rows["epochs"] = rows["trial"].map(done)
    left = rows["trial"].map(dict(planned)).astype("Int64").fillna(rows["epochs"]) - rows["epochs"]
    rows["saved"] = left.clip(lower=0).where(rows["status"] == "stopped", 0).astype("int64")
    rows["saved_s"] = rows["saved"] * rows["trial"].map(_epoch_s(curves, last_stage)).fillna(0.0)
    return Savings(rows.reset_index(drop=True), activations)


def _epoch_s(curves: pd.DataFrame, last_stage: str | None) -> "pd.Series[float]":
    """Return the mean seconds of an epoch of each trial, of its last stage if it got there."""
    means = curves.groupby("trial")["epoch_s"].mean()
    if last_stage is not None:
        later = curves[curves["stage"] == last_stage].groupby("trial")["epoch_s"].mean()
        means = later.combine_first(means)
    return means


def charts(savings: Savings) -> list[style.Chart]:
    """Return one chart: epochs trained and not trained of every trial."""
    rows = savings.rows
    return [
        style.chart(
            [
                _bars(rows, "epochs", "trained", style.BLUE),
                _bars(rows, "saved", "not trained, since stopped", style.ORANGE),
            ],
            height=280,
            barmode="stack",
            bargap=0.15,
            xaxis=style.axis("trial"),
            yaxis=style.axis("epochs"),
        )
    ]


def _bars(rows: pd.DataFrame, column: str, name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": rows["trial"].tolist(),
        "y": rows[column].tolist(),
        "marker": {"color": colour, "line": {"width": 0}},
        "opacity": 1.0 if column == "epochs" else 0.45,
        "hovertemplate": "trial %{x}: %{y} epochs<extra>" + name + "</extra>",
    }


def draw(savings: Savings) -> "Figure":
    """Return the same as one drawing."""
    rows = savings.rows
    figure = style.new_figure(7.4, 2.6)
    axes = figure.subplots()
    done, planned = rows["epochs"], rows["epochs"] + rows["saved"]
    _draw_bars(axes, rows["trial"], done * 0, done, color=style.BLUE, label="trained")
    _draw_bars(
        axes, rows["trial"], done, planned, color=style.ORANGE, alpha=0.45,
        label="not trained, since stopped",
    )  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel("epochs")
    axes.grid(visible=False, axis="x")
    style.legend(axes)
    return figure


def _draw_bars(axes: "Axes", trials: Numbers, low: Numbers, high: Numbers, **look: Any) -> None:
    """Draw a bar for every trial; many as one collection: `bar` takes milliseconds for each."""
    if len(trials) <= style.MANY:
        axes.bar(trials, high - low, bottom=low, width=_WIDTH, **look)
        return
    from matplotlib.collections import PolyCollection

    left, right = trials - _WIDTH / 2, trials + _WIDTH / 2
    corners = np.array([[left, left, right, right], [low, high, high, low]])  # [2, 4, n]
    bars = PolyCollection(list(corners.T), linewidths=0, rasterized=True, **look)
    axes.add_collection(bars)
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
