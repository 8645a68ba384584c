"""The most confident mistakes of the best model, as pictures."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

MOST = 12
_ACROSS = 4


def data(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: "Sequence[str]",
    most: int = MOST,
) -> pd.DataFrame:
    """Return images that were taken for another class, the most confident mistake first.

    Args:
        probabilities: [n, classes], each row adds up to 1.
        labels: [n], index into `classes`.
        classes: Names.
        most: Rows at most.

    Returns:
        Columns image (index), truth, predicted (names), confidence (probability of the predicted
        class), truth_probability; of equal confidence the lower index first.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    chosen = wrong[np.argsort(-confidence, kind="stable")][:most]
    return pd.DataFrame(
        {
            "image": chosen,
            "truth": [classes[i] for i in labels[chosen]],
            "predicted": [classes[i] for i in predicted[chosen]],
            "confidence": probabilities[chosen, predicted[chosen]].astype(float),
            "truth_probability": probabilities[chosen, labels[chosen]].astype(float),
        }
    )


def draw(rows: pd.DataFrame, images: NDArray[np.uint8]) -> "Figure":
    """Return the pictures, four in a row; `images` [n, height, width, channels] by index."""
    down = -(-len(rows) // _ACROSS)
    figure = style.new_figure(7.4, 2.35 * down)
    cells = figure.subplots(down, _ACROSS, squeeze=False).ravel()
    for cell in cells:
        cell.set_axis_off()
    for cell, row in zip(cells, rows.to_dict("records"), strict=False):
        picture = images[row["image"]].squeeze()
        cell.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        said = f"{style.shorten(row['predicted'], 20)} {row['confidence']:.0%}"
        cell.set_title(
            f"{said}\ntruth: {style.shorten(row['truth'], 17)}", fontsize=8, fontweight="normal"
        )
    return figure
