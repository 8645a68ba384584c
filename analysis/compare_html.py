"""The page of a comparison: one HTML file without a network, its figures inside it as SVG."""

import html
import io
from typing import TYPE_CHECKING, Any

from analysis.compare_text import SECONDS, all_told, cell, measures
from analysis.comparison import Comparison
from analysis.figures.style import distinct
from analysis.summary import possible
from search.progress import settings
from search.statistics import Summary, student_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of Okabe and Ito: told apart by all eyes, on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")  # of the first six studies, of the next six, and so on
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, p, li, code, figcaption { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
th { min-width: 7rem; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
.warning { border-left: .3rem solid #D55E00; padding-left: .6rem; }
figure { margin: 1rem 0; break-inside: avoid; }
figure svg { min-width: 44rem; max-width: 100%; height: auto; display: block; background: #fff; }
@media print { :root { color-scheme: light; } .wide { overflow: visible; }
  figure svg { min-width: 0; } }
"""


def page(found: Comparison) -> str:
    """Return the page; every text from the studies is escaped."""
    title = " and ".join(side.name for side in found.sides)
    every = [measures(side) for side in found.sides]
    names = list(every[0])
    body = [
        f"<h1>{_text(title)}</h1>",
        *(f'<p class="warning">{_text(each)}</p>' for each in found.warnings),
        '<div class="wide" tabindex="0"><table><thead><tr><th></th>',
        *(f"<th>{_text(side.name)}</th>" for side in found.sides),
        "</tr></thead><tbody>",
        *(_row(name, [values[name] for values in every]) for name in names),
        "</tbody></table></div>",
        *(f"<p>{_text(each)}</p>" for each in all_told(found.differences)),
        f"<p>{_text(SECONDS)}</p>",
        _figure(draw_accuracy(found), "accuracy of every seed, mean and 95 % interval"),
        _figure(
            draw_curves(found),
            "validation accuracy by epoch and by second of training and validating",
        ),
        "<h2>What was compared</h2><ul>",
        *(
            f"<li>{_text(side.name)}: {_text(side.experiment)}, "
            f"<code>{_text(settings(side.config))}</code></li>"
            for side in found.sides
        ),
        "</ul>",
    ]
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    whole = "\n".join([f"<head>{head}{view}</head>", "<body>", *body, "</body>"])
    return f'<!doctype html>\n<html lang="en">\n{whole}\n</html>\n'


def _row(name: str, values: list[Summary | float]) -> str:
    cells = "".join(f"<td>{_text(cell(name, value))}</td>" for value in values)
    return f"<tr><th>{_text(name)}</th>{cells}</tr>"


def _text(text: str) -> str:
    return html.escape(text)


def draw_accuracy(found: Comparison) -> "Figure":
    """Return a dot for every seed, and the mean with its interval, a row for each study."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.5 * len(found.sides)), layout="constrained")
    axes = figure.subplots()
    for row, side in enumerate(found.sides):
        values, colour = list(side.accuracy.values()), _look(row)["color"]
        axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.4)
        summary = student_interval(values)
        axes.plot([summary.mean], [row], "D", color=colour)
        if summary.low is not None and summary.high is not None:
            axes.plot(possible(summary.low, summary.high), [row, row], **_look(row))
    names = _names(found)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"{found.split} accuracy")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_curves(found: Comparison) -> "Figure":
    """Return the validation accuracy of every trial, against epochs and against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    panels, names = figure.subplots(1, 2, sharey=True), _names(found)
    for panel, by in zip(panels, ("epoch", "seconds"), strict=True):
        for row, side in enumerate(found.sides):
            for number, (_, own) in enumerate(side.curves.groupby("trial")):
                label = None if number else names[row]
                panel.plot(own[by], own["val_accuracy"], label=label, alpha=0.8, **_look(row))
        panel.set_xlabel(by)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("validation accuracy")
    panels[0].legend(fontsize=8)
    return figure


def _look(row: int) -> dict[str, Any]:
    """Return the colour of a study, and its line, which is another where colours come again."""
    turn, number = divmod(row, len(COLOURS))
    return {"color": COLOURS[number], "linestyle": DASHES[turn % len(DASHES)]}


def _names(found: Comparison) -> list[str]:
    """Return the studies' names as matplotlib shows them: short, and "$" begins no formula.

    It leaves a name out of a legend that begins with "_", but for a space without width before it.
    """
    names = distinct([side.name for side in found.sides], 32)
    return ["\u200b" * name.startswith("_") + name.replace("$", r"\$") for name in names]


def _figure(figure: "Figure", caption: str) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    svg = drawn[drawn.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{caption}"', 1
    )
    drawing = f'<div class="wide" tabindex="0">{svg}</div>'
    return f"<figure>{drawing}<figcaption>{_text(caption)}</figcaption></figure>"
