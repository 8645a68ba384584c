"""What all figures share: colours that colour-blind readers tell apart, type, sizes, files.

Statuses differ in shape as well. Colours of ink, grid and paper are replaced by the page's own
where a figure stands in a report, so that it follows light and dark.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import one_line
from trainables.files import replace_file, replace_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Chart = dict[str, Any]  # "data" and "layout" of plotly.js, plain values; "height" in pixels

# After Okabe and Ito, Color Universal Design, 2008; somewhat darker where white is behind.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#2186c4", "#d9820b", "#0a9b74", "#c8412b", "#a2559c", "#8a95a1",
)  # fmt: skip
INK, MUTED, GRID, PAPER = "#1c2733", "#5d6b7b", "#dde3ea", "#fefefe"
STATUS_COLOUR = {
    "completed": BLUE,
    "stopped": ORANGE,
    "infeasible": PURPLE,
    "failed": RED,
    "running": GREY,
}
# By the names of plotly, then of matplotlib.
STATUS_SHAPE = {
    "completed": ("circle", "o"),
    "stopped": ("triangle-down", "v"),
    "infeasible": ("x", "X"),
    "failed": ("cross", "P"),
    "running": ("circle-open", "$\u25cb$"),
}
# Low accuracies are grey, high ones stand out, on white as on black.
SCALE = ((0.0, "#a7b1bc"), (0.5, "#6f9fc4"), (1.0, "#d9820b"))
# Marks or lines of trials beyond which an SVG holds them as a picture.
MANY = 400
_PAGE = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--card)"}
_RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a $ in somebody's class name is a $
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "trellis",  # the same figure is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this: one look, and letters that a font lacks are no warning."""
    from matplotlib import rc_context

    with warnings.catch_warnings(), rc_context(_RC):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_figure(width: float = 7.4, height: float = 3.6) -> "Figure":
    """Return an empty figure of so many inches, with no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def percent(axis: Any) -> None:
    """Label an axis of accuracies in [0, 1] with percents."""
    axis.set_major_formatter(lambda value, _: f"{round(100 * value, 2):g}%")


def legend(axes: "Axes", columns: int = 5) -> None:
    """Put the legend above the axes, where it covers no data; none for nothing."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns,
            handletextpad=0.4, columnspacing=1.2, borderaxespad=0.1,
        )  # fmt: skip


def shape(status: str) -> tuple[str, str]:
    """Return the marker of a status for plotly and for matplotlib."""
    return STATUS_SHAPE.get(status, ("circle", "o"))


def colour(status: str) -> str:
    """Return the colour of a status."""
    return STATUS_COLOUR.get(status, GREY)


def shorten(text: str, most: int = 24) -> str:
    """Cut a text to `most` characters, the last one an ellipsis; what no font has is escaped."""
    text = one_line(text)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def distinct(texts: Sequence[str], most: int = 24) -> list[str]:
    """Shorten texts that differ so that they still differ: a clash gets a number at its end."""
    found: list[str] = []
    for text in map(one_line, texts):
        short, number = shorten(text, most), 2
        while short in found:
            mark = f"\u2026{number}"
            short, number = text[: most - len(mark)] + mark, number + 1
        found.append(short)
    return found


def label(value: object) -> str:
    """Return a text that plotly.js shows as it is: it reads some HTML in labels and hovers."""
    return html.escape(str(value), quote=False)


def labels(values: Sequence[object]) -> list[str]:
    """Return `label` of each."""
    return [label(value) for value in values]


def chart(data: list[dict[str, Any]], height: int = 340, **layout: Any) -> Chart:
    """Return a chart for plotly.js; colours of text and grid come from the page."""
    base: dict[str, Any] = {
        "margin": {"l": 52, "r": 16, "t": 34, "b": 46},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "font": {"size": 12.5},
    }
    return {"data": data, "layout": base | {"height": height} | layout, "height": height}


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """Return an axis of plotly.js."""
    return {"title": {"text": label(title), "standoff": 8}, "automargin": True, **settings}


def accuracy_axis(title: str = "validation accuracy", **settings: Any) -> dict[str, Any]:
    """Return an axis of accuracies in [0, 1]."""
    return axis(title, tickformat=".2~%", **settings)  # 98.4% and 98%, not 98% twice


def svg_of(figure: "Figure") -> str:
    """Return a figure as an SVG document."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def write(figure: "Figure", svg: str, path: Path) -> None:
    """Write `path` with .svg and with .png, 150 dots an inch."""
    figure.set_layout_engine("none")  # `svg_of` has laid it out: once is half of the work
    replace_text(path.with_suffix(".svg"), svg)
    replace_file(
        path.with_suffix(".png"), lambda aside: figure.savefig(aside, format="png", dpi=150)
    )


def inline(svg: str, name: str) -> str:
    """Return an SVG document as an element for a page, which gives ink, grid and paper.

    `name` makes its identifiers different from those of the page's other figures.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", body)
    body = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", body)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    for fixed, variable in _PAGE.items():
        body = body.replace(fixed, variable)
    return body
