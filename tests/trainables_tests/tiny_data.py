"""Data in memory: a few images of any shape whose brightness tells the class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainables.data import Data, DataSpec, Split
from trainables.data.source import Progress, silent


@dataclass(frozen=True)
class TinyData(Data):
    """Hands out what was drawn, whatever its size; at another size every n-th pixel of it."""

    splits: dict[str, Split] = field(default_factory=dict, hash=False)
    asked: list[tuple[str, int | None]] = field(default_factory=list, hash=False)

    def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
        self.asked.append((name, size))
        images, labels = self.splits[name].images, self.splits[name].labels
        if size is None:
            return Split(images, labels)
        rows, columns = (np.arange(size) * side // size for side in images.shape[1:3])
        return Split(np.ascontiguousarray(images[:, rows][:, :, columns]), labels)


def tiny_data(
    shape: Sequence[int], classes: int = 3, train: int = 24, validation: int = 9, seed: int = 1
) -> TinyData:
    """Images [height, width, channels] with noise of a half step between two classes."""
    draw = np.random.default_rng(seed)
    step = 255 // classes

    def split(n: int) -> Split:
        labels = np.arange(n) % classes
        noise = draw.integers(0, step // 2, (n, *shape))
        return Split((noise + step * labels[:, None, None, None]).astype(np.uint8), labels)

    splits = {"train": split(train), "validation": split(validation)}
    sizes = {name: len(each.labels) for name, each in splits.items()}
    names = tuple(f"class {number}" for number in range(classes))
    return TinyData(
        DataSpec("mnist", "folder", str(Path("tiny").absolute())),
        names,
        f"tiny-{shape}-{seed}",
        sizes,
        (),
        splits,
    )
