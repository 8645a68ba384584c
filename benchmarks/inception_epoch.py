"""What stored activations give inception_beans: epochs on them against a pass of frozen layers.

python -m benchmarks.inception_epoch --images 256 --depths 0 2
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

PROG = "python -m benchmarks.inception_epoch"
# Of beans' train split: what a row is scaled to.
TRAIN_IMAGES = 1034


def drawn_data(images: int) -> object:
    """Return data of as many drawn images to train on, a tenth of that to validate."""
    from trainables.data import Data, DataSpec, Split
    from trainables.data.source import Progress, silent

    draws = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = draws.integers(0, 256, (count, 299, 299, 3), dtype=np.uint8)
        return Split(pixels, draws.integers(0, 3, count))

    counts = {"train": images, "validation": max(3, images // 10)}
    splits = {name: split(count) for name, count in counts.items()}

    class Drawn(Data):
        def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
            return splits[name]

    spec = DataSpec("beans", "embedded")
    return Drawn(spec, ("a", "b", "c"), f"drawn-{images}", counts, ())


def measure(images: int, depths: Sequence[int], threads: int) -> None:
    """Print seconds of the pass, of a head trial and of a fine-tuning epoch at each depth."""
    from spaces.inception_beans import DEFAULTS
    from trainables import inception_beans
    from trainables.budget import Budget
    from trainables.weights import RANDOM

    data: Any = drawn_data(images)
    budget = Budget(epochs=22, threads=threads, weights=RANDOM)
    scale = TRAIN_IMAGES / images
    began = time.perf_counter()
    choices = {"unfreeze_blocks": (0, 2, 3, 6), "augmentation": ("none",)}
    inception_beans.prepare(choices, data, budget)
    pass_s = time.perf_counter() - began
    print(f"{'what':34}{'seconds':>9}{'1,034 images':>14}{'of the pass':>13}")

    def row(what: str, seconds: float) -> None:
        print(
            f"{what:34}{seconds:9.2f}{seconds * scale:14.1f}{seconds / pass_s:13.3f}", flush=True
        )

    row("a pass of the frozen layers", pass_s)
    for depth in depths:
        config = DEFAULTS | {"unfreeze_blocks": depth, "finetune_epochs": 2}
        began = time.perf_counter()
        results = list(inception_beans.epochs(config, data, replace(budget, seed=depth)))
        if depth == 0:
            row("a whole trial of 20 head epochs", time.perf_counter() - began)
        else:
            row(f"a fine-tuning epoch, depth {depth}", results[-1].epoch_s)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__, epilog=f"example: {PROG} --images 256 --depths 0 2 3 6"
    )
    parser.add_argument("--images", type=int, default=256, help="drawn images to train on")
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 2, 3, 6])
    parser.add_argument("--threads", type=int, default=2)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRELLIS_CACHE"] = cache  # so that the pass is made
        measure(parsed.images, parsed.depths, parsed.threads)


if __name__ == "__main__":
    main()
