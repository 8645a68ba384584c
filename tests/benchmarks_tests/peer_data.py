"""A few image files whose brightness tells the class, and a task over them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.peers.task import Task

from ..trainables_tests.tiny_data import TinyData, tiny_data

SIDE = 24


def write_images(folder: Path, data: TinyData) -> Path:
    for split, arrays in data.splits.items():
        for number, (image, label) in enumerate(zip(arrays.images, arrays.labels, strict=True)):
            place = folder / split / data.classes[int(label)]
            place.mkdir(parents=True, exist_ok=True)
            pixels = image[:, :, 0] if image.shape[2] == 1 else image
            Image.fromarray(pixels).save(place / f"{number:03}.png")
    return folder


def tiny_task(
    folder: Path, experiment: str, epochs: int = 2, fixed: Mapping[str, Any] | None = None
) -> tuple[Task, TinyData]:
    data = tiny_data((SIDE, SIDE, 1 if experiment == "mnist_cnn" else 3), train=30, validation=12)
    images = write_images(folder / "images", data)
    task = Task(
        experiment=experiment,
        images=str(images),
        trials=3,
        epochs=epochs,
        cores=2,
        seed=0,
        folder=str(folder / "work"),
        records=str(folder / "records.jsonl"),
        fixed=fixed or {},
    )
    return task, data
