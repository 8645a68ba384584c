"""`python -m analysis.augment EXPERIMENT`: a contact sheet of what every augmentation does.

A row per op and two combinations, the original first, then draws of it: to be looked at before a
search is trusted with them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.command import Parser, positive, run
from search.experiment import images_of
from trainables.errors import TrellisError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainables.data.source import DataSpec

PROG = "python -m analysis.augment"
DRAWS = 6
# What a leaf allows (it has no up or down) and, with it, what a phone's camera adds.
COMBINATIONS = ("flip+rotation+brightness", "flip+rotation+zoom+colour+gaussian_noise")
CELL_INCHES = 1.3  # at 100 dots an inch, a 128 pixel image about as it is


def sheet(image: NDArray[np.uint8], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return the rows of a contact sheet: name -> [7, height, width, channels] in [0, 1].

    The first is `image`, [height, width, channels], channels 1 or 3; the other 6 are draws that
    depend on `seed` and the name alone. Rows: every op (transpose only for a square image), then
    `COMBINATIONS`.
    """
    import torch

    from trainables.augment import OPS, augment
    from trainables.seeds import generator

    square = image.shape[0] == image.shape[1]
    original = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    rows = {}
    for name in (*(op for op in OPS if square or op != "transpose"), *COMBINATIONS):
        drawn = augment(original.expand(DRAWS, -1, -1, -1), name, generator(seed, "sheet", name))
        rows[name] = torch.cat([original, drawn]).permute(0, 2, 3, 1).numpy()
    return rows


def draw(rows: dict[str, NDArray[np.float32]], heading: str) -> "Figure":
    """Return the contact sheet as a figure: names at the left, the original first in every row."""
    from matplotlib.figure import Figure  # not pyplot: no display, no state

    size = (CELL_INCHES * (DRAWS + 2.5), CELL_INCHES * len(rows) + 0.6)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    figure.suptitle(heading, fontsize=11)
    axes = figure.subplots(len(rows), DRAWS + 1, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for cell, image in zip(line, images, strict=True):
            cell.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
        line[0].set_ylabel(
            name.replace("+", "\n+"), rotation=0, ha="right", va="center", fontsize=9
        )
    for column, cell in enumerate(axes[0]):
        cell.set_title(f"draw {column}" if column else "original", fontsize=9)
    return figure


def title(experiment: str, spec: "DataSpec") -> str:
    """Return the line above the sheet: the experiment, and whether its data is the real thing."""
    return f"{experiment}: {images_of(spec.dataset, spec.kind)}"


def _make(arguments: argparse.Namespace) -> None:
    from search.catalog import find
    from search.data_option import data_spec

    experiment = find(arguments.experiment)
    spec = data_spec(arguments.data, arguments.data_dir, experiment.dataset)
    output: Path = arguments.output or Path("results") / f"augment-{experiment.name}.png"
    if output.suffix.lower() != ".png":
        raise TrellisError(f"--output {output}: must end in .png")

    from search.progress import DataProgress
    from trainables.data import open_data

    progress = DataProgress()
    first = open_data(spec, progress).first("train", arguments.size or experiment.image_size)
    figure = draw(sheet(first, arguments.seed), title(experiment.name, spec))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output)
    except OSError as error:
        raise TrellisError(f"cannot write {output}: {error.strerror}") from None
    print(output)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Draw what every augmentation does to the first training image, "
        "as one PNG, and print its path.",
        epilog=f"example: {PROG} lenet_beans --data embedded --output sheet.png",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="such as lenet_beans")
    parser.add_argument(
        "--data",
        metavar="tfds|embedded|folder:PATH",
        default="tfds",
        help="where images come from (default: tfds)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="the TFDS data directory (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE.png",
        type=Path,
        help="the picture (default: results/augment-EXPERIMENT.png)",
    )
    parser.add_argument(
        "--size",
        metavar="N",
        type=positive,
        help="image side in pixels (default: the experiment's)",
    )
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of the draws")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    return run(PROG, lambda: _make(arguments))


if __name__ == "__main__":
    sys.exit(main())
