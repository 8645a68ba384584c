"""Confusion matrix: what images of each class are taken for. In a page it is a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUMBERED = 25  # classes up to which cells have their count written in them
NAMED = 50  # classes up to which all are named: names of more would lie on each other


class Pair(NamedTuple):
    """A class that was taken for another: so many images, this share of its own."""

    truth: str
    taken_for: str
    images: int
    share: float


@dataclass(frozen=True)
class Confusion:
    """`counts` [n, n]: row the true class, column the predicted one. `shares`: of each row.

    `classes` are the names; a class without images has shares 0.
    """

    counts: NDArray[np.int64]
    shares: NDArray[np.float64]
    classes: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of the images on the diagonal, in [0, 1]."""
        return float(np.trace(self.counts) / self.counts.sum())


def data(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]
) -> Confusion:
    """Count images [n] by true and predicted class; classes that have neither are left out."""
    every = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(every, (labels, predicted), 1)
    return from_counts(every.tolist(), classes)


def from_counts(rows: Sequence[Sequence[int]], classes: Sequence[str]) -> Confusion:
    """Return the confusion of a matrix that was counted before, as confirm.json has it."""
    every = np.array(rows, dtype=np.int64)
    used = [i for i in range(len(classes)) if every[i].any() or every[:, i].any()]
    counts = every[np.ix_(used, used)]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return Confusion(counts, shares, tuple(classes[i] for i in used))


def worst_pairs(confusion: Confusion, top: int) -> list[Pair]:
    """Return at most `top` pairs of classes, the one with the most mistaken images first.

    Of as many images the one with the larger share of its class.
    """
    mistaken = confusion.counts - np.diag(np.diag(confusion.counts))
    order = np.lexsort((-confusion.shares.ravel(), -mistaken.ravel()))[:top]
    rows, columns = np.unravel_index(order, mistaken.shape)
    names = confusion.classes
    return [
        Pair(names[i], names[j], int(mistaken[i, j]), float(confusion.shares[i, j]))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if mistaken[i, j]
    ]


def draw(confusion: Confusion) -> "Figure":
    """Return the matrix as a drawing: a cell is the darker, the larger its share of the row.

    Of many classes every second, third, ... is named.
    """
    from matplotlib.colors import LinearSegmentedColormap

    count = len(confusion.classes)
    side = min(7.4, 2.6 + 0.5 * count)
    figure = style.new_figure(side, side * 0.86)
    axes = figure.subplots()
    shade = LinearSegmentedColormap.from_list("share", [style.PAPER, style.BLUE])
    axes.imshow(confusion.shares, cmap=shade, vmin=0, vmax=1)
    every = 1 if count <= NAMED else -(-count // (NAMED // 2))
    names = style.distinct(confusion.classes[::every], 18)
    places = range(0, count, every)
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(visible=False)
    if count <= _NUMBERED:
        _write_counts(axes, confusion)
    return figure


def _write_counts(axes: Any, confusion: Confusion) -> None:
    for (row, column), n in np.ndenumerate(confusion.counts):
        dark = confusion.shares[row, column] > 0.5
        axes.text(
            column, row, str(n), ha="center", va="center", fontsize=9,
            color="#ffffff" if dark else style.INK,
        )  # fmt: skip
