"""Figures of a report: drawn once, written as PNG and SVG, and put into the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.figures import style
from analysis.figures.style import Chart
from analysis.report_html import Html, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = (
    "best_configurations",
    "best_so_far",
    "learning_curves",
    "parameters",
    "importance",
    "parallel_coordinates",
    "overfitting",
    "confusion_matrix",
    "mistakes",
    "costs",
    "savings",
)


class Gallery:
    """Collects the figures of one report. `charts` are the interactive ones, by name."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Write to `folder`, and tell `say` of every figure."""
        self._folder = folder
        self._say = say
        self._drawn: set[str] = set()
        self.charts: dict[str, list[Chart]] = {}

    def add(
        self,
        name: str,
        draw: "Callable[[], Figure]",
        caption: object,
        charts: Sequence[Chart] = (),
    ) -> Html:
        """Draw a figure, one of `NAMES`, and return it for the page."""
        self._say(f"figure {name.replace('_', ' ')}")
        svg = self.write(name, draw)
        if charts:
            self.charts[name] = [
                {key: value for key, value in chart.items() if key != "width"} for chart in charts
            ]
        widths = [chart.get("width") for chart in charts]
        return figure(name, style.inline(svg, name), widths, caption)

    def write(self, name: str, draw: "Callable[[], Figure]") -> str:
        """Draw a figure and write it; return its SVG."""
        if name not in NAMES:
            raise ValueError(f"name must be one of {', '.join(NAMES)}, but got {name!r}")
        with style.style():
            drawn = draw()
            svg = style.svg_of(drawn)
            style.write(drawn, svg, self._folder / name)
        self._drawn.add(name)
        return svg

    def sweep(self) -> None:
        """Remove what an earlier report drew and this one had no data for."""
        for name in set(NAMES) - self._drawn:
            for suffix in (".png", ".svg"):
                (self._folder / name).with_suffix(suffix).unlink(missing_ok=True)
