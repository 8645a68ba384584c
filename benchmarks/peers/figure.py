"""The figure: best validation accuracy against wall-clock time, a line per tool."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.runs import TOOLS, Run, of_tool

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7")


def best_so_far(run: Run, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best accuracy so far at so many seconds; NaN before the first epoch."""
    times = np.array([each.seconds for each in run.improvements])
    values = np.array([np.nan, *(each.val_accuracy for each in run.improvements)])
    found: NDArray[np.float64] = values[np.searchsorted(times, seconds, side="right")]
    return found


def curves(runs: Sequence[Run]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds [n], and lowest, median and highest accuracy [3, n] over a tool's seeds.

    From when every seed has an epoch to when the last seed's run ends; a run that has ended
    keeps its accuracy.
    """
    moments = {each.seconds for run in runs for each in run.improvements}
    begin = max(run.improvements[0].seconds for run in runs)
    end = max(run.wall_s for run in runs)
    seconds = np.array(sorted({each for each in moments if each >= begin} | {end}))
    accuracy = np.stack([best_so_far(run, seconds) for run in runs])
    return seconds, np.stack([accuracy.min(0), np.median(accuracy, 0), accuracy.max(0)])


def draw(runs: Sequence[Run], title: str, path: Path) -> None:
    """Write the figure as the ending of `path` says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for tool, colour in zip(TOOLS, COLOURS, strict=True):
        found = [each for each in of_tool(runs, tool) if each.improvements]
        if not found:
            continue
        seconds, (low, middle, high) = curves(found)
        axes.step(seconds, middle, where="post", color=colour, label=TOOLS[tool])
        axes.fill_between(seconds, low, high, step="post", color=colour, alpha=0.15, lw=0)
        axes.plot(seconds[-1], middle[-1], "o", color=colour, ms=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds since the start (log scale)")
    axes.set_ylabel("best validation accuracy so far: median, range over seeds")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if axes.lines:  # of no tool, where none had an epoch in its time
        axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
