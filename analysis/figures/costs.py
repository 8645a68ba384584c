"""What each trial took: seconds from its begin to its end, and the peak of memory."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (
    ("minutes", "minutes", "time per trial"),
    ("memory_gib", "peak memory, GiB", "memory per trial"),
)


def data(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per ended trial.

    Columns: trial, status, epochs, minutes, seconds_per_epoch (of all that the trial took),
    memory_gib; NaN where it is not known.
    """
    ended = trials[trials["status"] != "running"]
    rows = ended[["trial", "status", "epochs"]].copy()
    rows["minutes"] = ended["wall_s"] / 60
    epochs = ended["epochs"].astype("float64")
    rows["seconds_per_epoch"] = ended["wall_s"] / epochs.where(epochs > 0)
    rows["memory_gib"] = ended["peak_memory_mb"] / 1024  # the tables count MiB
    return rows.reset_index(drop=True)


def charts(rows: pd.DataFrame) -> list[style.Chart]:
    """Return a chart of minutes and one of memory."""
    return [_chart(rows, column, title, heading) for column, title, heading in _PANELS]


def _chart(rows: pd.DataFrame, column: str, title: str, heading: str) -> style.Chart:
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": str(status),
            "x": group["trial"].tolist(),
            "y": [None if pd.isna(value) else value for value in group[column]],
            "text": [f"trial {n}, {epochs} epochs" for n, epochs in _named(group)],
            "hovertemplate": "%{text}<br>%{y:.3g} " + title + "<extra></extra>",
            "marker": _marker(str(status)),
        }
        for status, group in rows.groupby("status", sort=False)
    ]
    return style.chart(
        traces,
        height=280,
        title={"text": f"<b>{heading}</b>", "x": 0.02, "font": {"size": 13}},
        showlegend=False,
        xaxis=style.axis("trial"),
        yaxis=style.axis(title, rangemode="tozero"),
    )


def _named(rows: pd.DataFrame) -> Any:
    return zip(rows["trial"], rows["epochs"].fillna(0), strict=True)


def _marker(status: str) -> dict[str, Any]:
    return {"color": style.colour(status), "symbol": style.shape(status)[0], "size": 8}


def draw(rows: pd.DataFrame) -> "Figure":
    """Return the same two drawings side by side."""
    figure = style.new_figure(7.4, 2.9)
    cells = figure.subplots(1, 2)
    for cell, (column, title, heading) in zip(cells, _PANELS, strict=True):
        for status, group in rows.groupby("status", sort=False):
            cell.scatter(
                group["trial"], group[column], s=22, linewidths=0, label=str(status),
                color=style.colour(str(status)), marker=style.shape(str(status))[1],
                rasterized=len(rows) > style.MANY,
            )  # fmt: skip
        cell.set_title(heading)
        cell.set_xlabel("trial")
        cell.set_ylabel(title)
        cell.set_ylim(bottom=0)
    handles, names = cells[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper left", ncols=5)
    return figure
