"""Pieces of a report's page. Text is escaped here, once: only an `Html` goes in as it is."""

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_VOID = ("br", "img", "meta")  # elements without an end


class Html(str):
    """Text that is HTML already, made by the functions of this module."""

    __slots__ = ()


class Cell(NamedTuple):
    """A cell of a table: what it shows, and the text of a small mark beside it."""

    text: object
    mark: str = ""


def escape(value: object) -> Html:
    """Return a value as HTML; what is HTML already stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element; `class_` is its class, and an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return parts one after the other; None is left out."""
    return Html(between.join(escape(part) for part in parts if part is not None))


def paragraph(*children: object, class_: str | None = None) -> Html:
    """Return a paragraph."""
    return tag("p", *children, class_=class_)


def section(name: str, title: str, *body: object) -> Html:
    """Return a section of the page, which its table of contents links to by `name`."""
    return tag("section", tag("h2", title), *body, id=name)


def notice(*children: object, kind: str = "note") -> Html:
    """Return a box that stands out; `kind` is note, warn or empty (for what is not there)."""
    return tag("div", *children, class_=f"notice {kind}", role="note")


def tile(value: object, label: str, note: object = "") -> Html:
    """Return a number with what it is."""
    small = tag("div", note, class_="tile-note") if note else None
    head = tag("div", label, class_="tile-label")
    return tag("div", head, tag("div", value, class_="tile-value"), small, class_="tile")


def definitions(pairs: Sequence[tuple[str, object]]) -> Html:
    """Return names with what they stand for."""
    inner = [join((tag("dt", name), tag("dd", value))) for name, value in pairs]
    return tag("dl", *inner)


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    numbers: Iterable[int] = (),
    first: bool = False,
) -> Html:
    """Return a table that scrolls by itself where it is too wide.

    Args:
        names: Of the columns.
        rows: A value or a `Cell` per column.
        numbers: Columns that are aligned to the right.
        first: Whether the first row stands out.
    """
    right = set(numbers)
    head = [tag("th", name, class_=_side(i, right)) for i, name in enumerate(names)]
    body = [
        tag(
            "tr",
            *(tag("td", _cell(value), class_=_side(i, right)) for i, value in enumerate(row)),
            class_="first" if first and not number else None,
        )
        for number, row in enumerate(rows)
    ]
    inner = join((tag("thead", tag("tr", *head)), tag("tbody", *body)))
    return tag("div", tag("table", inner), class_="scroll", tabindex="0")


def _side(column: int, right: set[int]) -> str | None:
    return "number" if column in right else None


def _cell(value: object) -> Html:
    if not isinstance(value, Cell):
        return escape(value)
    mark = tag("span", value.mark, class_="mark") if value.mark else None
    return join((value.text, " " if mark else None, mark))


def figure(name: str, drawing: str, widths: Sequence[int | None], caption: object) -> Html:
    """Return a figure: an SVG for readers without scripts and for paper, places for charts.

    `widths` has the least width in pixels of every chart that takes the SVG's place on a screen.
    """
    places = [
        tag("div", class_="chart", style=f"min-width:{width}px" if width else None)
        for width in widths
    ]
    live = tag("div", *places, class_="live", data_name=name) if widths else None
    still = tag("div", Html(drawing), class_="still", role="img", aria_label=str(caption))
    return tag("figure", still, live, tag("figcaption", caption), id=f"figure-{name}")


def more(summary: str, *body: object) -> Html:
    """Return what is folded away until it is asked for."""
    return tag("details", tag("summary", summary), *body)


def code(text: str) -> Html:
    """Return lines of code."""
    return tag("pre", tag("code", text), tabindex="0")
