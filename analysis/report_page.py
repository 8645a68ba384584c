"""The page that holds a report: its look, its script, and plotly.js, packed, in one file.

Nothing is loaded from anywhere. Where scripts are off, or on paper, the SVG drawings stay.
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from analysis.figures.style import MUTED, Chart
from analysis.report_html import Html, escape, join, tag
from analysis.report_script import SCRIPT
from analysis.report_style import STYLE


def page(title: str, body: Sequence[object], charts: Mapping[str, Sequence[Chart]]) -> str:
    """Return the whole document; `charts` are those of the figures in `body`, by name."""
    head = join(
        (
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            tag("style", Html(STYLE)),
        ),
        "\n",
    )
    scripts = [tag("script", _json(charts), type="application/json", id="charts")]
    if charts:
        scripts.append(tag("script", Html(_plotly()), type="text/plain", id="plotly"))
    scripts.append(tag("script", Html(SCRIPT)))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n'
        f"{join(body, chr(10))}\n{join(scripts, chr(10))}\n</body>\n</html>\n"
    )


def _json(charts: Mapping[str, Sequence[Chart]]) -> Html:
    """Return JSON that cannot end the element it stands in; what is not a number is null."""
    text = json.dumps(_finite({k: list(v) for k, v in charts.items()}), allow_nan=False)
    text = text.replace(MUTED, "MUTED")  # the page puts its own in
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(text)


def _finite(value: Any) -> Any:
    """Return plain values with None for what is not a finite number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


@cache
def _plotly() -> str:
    """Return plotly.js of the installed package, packed to a third of its size, as base64."""
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode()


def contents(sections: Sequence[tuple[str, str]]) -> Html:
    """Return the links to the sections: (name, title)."""
    return tag("nav", *(tag("a", escape(title), href=f"#{name}") for name, title in sections))
