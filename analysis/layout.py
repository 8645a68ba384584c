"""Tables as text: aligned columns that go on below where the line is full, plain or with rich."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from trainables.errors import one_line

WIDTH = 110  # characters of a line where no terminal says otherwise
_GAP = "  "
_DIGITS = 4
_ALL_DIGITS = 15  # of which none is of rounding


class Column(NamedTuple):
    """A column of text. `key` columns are repeated in every block of a table."""

    name: str
    cells: list[str]
    right: bool
    key: bool = False

    @property
    def width(self) -> int:
        """Characters of the widest cell or the name."""
        return max(len(text) for text in (self.name, *self.cells))


Block = list[Column]
Section = str | Block


def show(value: object, digits: int = _DIGITS) -> str:
    """Return a value for reading: "-" for none, whole numbers whole, others to 4 digits."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else f"{value:.{digits}g}"
    return str(value)


def shows(values: Sequence[object]) -> dict[object, str]:
    """Return `show` of each value, with as many digits as keep those that differ apart."""
    each = list(dict.fromkeys(values))
    texts = apart(
        lambda digits: [show(value, digits) for value in each], range(_DIGITS, _ALL_DIGITS + 1)
    ) or [repr(value) if isinstance(value, float) else show(value) for value in each]
    return dict(zip(each, texts, strict=True))


def apart(texts: Callable[[int], list[str]], digits: Iterable[int]) -> list[str] | None:
    """Return the first `texts`, of so many digits, that all differ; None where none do."""
    every = map(texts, digits)
    return next((found for found in every if len(set(found)) == len(found)), None)


def column(name: str, values: pd.Series, form: str = "", key: bool = False) -> Column:
    """Return `values` as text by the format `form` (default: `show`), numbers to the right."""
    cells = [form.format(v) if form and pd.notna(v) else show(v) for v in values.tolist()]
    return Column(name, cells, pd.api.types.is_numeric_dtype(values), key)


def blocks(groups: Sequence[Block], width: int = WIDTH) -> list[Block]:
    """Lay the columns of all `groups` side by side in blocks of at most `width` characters.

    One block if all fit; else every group begins a block, and goes on in a next one where it must.
    The key columns, all in the first group, begin every block.
    """
    keys = [item for item in groups[0] if item.key]
    rest = [[item for item in group if not item.key] for group in groups]
    together = [item for group in rest for item in group]
    if _width([*keys, *together]) <= width:
        return [[*keys, *together]]
    return [block for group in rest for block in _packed(keys, group, width)]


def _packed(keys: Block, group: Block, width: int) -> list[Block]:
    done: list[Block] = []
    for item in group:
        if not done or _width([*done[-1], item]) > width:
            done.append([*keys])
        done[-1].append(item)
    return done


def _width(block: Block) -> int:
    return sum(item.width for item in block) + len(_GAP) * (len(block) - 1)


def _printable(sections: Sequence[Section]) -> list[Section]:
    """Escape what moves the cursor: names and configurations may be of somebody else's study."""
    return [
        one_line(section) if isinstance(section, str) else [_clean(item) for item in section]
        for section in sections
    ]


def _clean(item: Column) -> Column:
    return item._replace(name=one_line(item.name), cells=[one_line(cell) for cell in item.cells])


def plain(sections: Sequence[Section]) -> str:
    """Return lines and tables as text without control codes, a blank line around each table."""
    text, sections = "", _printable(sections)
    for before, section in zip((None, *sections), sections, strict=False):
        text += "\n" if _apart(before, section) else ""
        text += section + "\n" if isinstance(section, str) else _aligned(section)
    return text


def _apart(before: Section | None, section: Section) -> bool:
    return before is not None and not (isinstance(before, str) and isinstance(section, str))


def _aligned(block: Block) -> str:
    lines = []
    for row in zip(*([item.name, *item.cells] for item in block), strict=True):
        cells = zip(block, row, strict=True)
        lines.append(_GAP.join(f"{cell:{_side(item)}{item.width}}" for item, cell in cells))
    return "".join(line.rstrip() + "\n" for line in lines)


def _side(item: Column) -> str:
    return ">" if item.right else "<"


def show_on_terminal(sections: Sequence[Section]) -> None:
    """Print to a terminal with rich: bold headers, and no control codes of a study's own."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, sections = Console(highlight=False), _printable(sections)
    for before, section in zip((None, *sections), sections, strict=False):
        if _apart(before, section):
            console.print()
        if isinstance(section, str):
            console.print(Text(section))
            continue
        table = Table(box=None, pad_edge=False, header_style="bold")
        for item in section:
            table.add_column(item.name, justify="right" if item.right else "left")
        for row in zip(*(item.cells for item in section), strict=True):
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
