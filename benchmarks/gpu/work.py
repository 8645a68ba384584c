"""What is trained: a published configuration on drawn images, and the operations that it takes."""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np

from search.catalog import find

# Side in pixels (LeNet's is a hyperparameter), channels, classes, images to train on.
SHAPES = {
    "lenet_beans": (299, 3, 3, 1034),
    "inception_beans": (299, 3, 3, 1034),
    "mnist_cnn": (28, 1, 10, 54_000),
    "cifar10_net": (32, 3, 10, 45_000),
}


class CannotRun(RuntimeError):
    """A way of training failed here."""


class DoesNotFit(RuntimeError):
    """A share of this GPU's memory is too small for the work: a study would give a larger one."""


@dataclass(frozen=True)
class Work:
    """Trials of one process: plain values, sent as JSON. `images` None: as many as published.

    `share` is the part of the GPU's memory that the process may use; with `batched` its `trials`
    are trained in one batch, with `one_by_one` as `trainables.batched` says.
    """

    experiment: str
    epochs: int  # of each stage
    seed: int = 0
    images: int | None = None
    image_size: int | None = None
    share: float = 1.0
    batched: bool = False
    trials: int = 1
    one_by_one: bool = False

    @property
    def stages(self) -> tuple[int, ...]:
        """Epochs of each stage here; Inception trains its head, then its last blocks, too."""
        return (self.epochs,) * len(self.published)

    @property
    def published(self) -> tuple[int, ...]:
        """Epochs of each stage of a trial as published."""
        experiment = find(self.experiment)
        if experiment.name == "inception_beans":
            given = experiment.defaults()
            return (given["head_epochs"], given["finetune_epochs"])
        return (experiment.presets["standard"].max_epochs,)

    @property
    def config(self) -> dict[str, Any]:
        """The published configuration; Inception with as many epochs as here in each stage."""
        changes: dict[str, Any] = {}
        if self.experiment == "lenet_beans" and self.image_size:
            changes = {"image_size": self.image_size}
        if self.experiment == "inception_beans":
            changes = {"head_epochs": self.epochs, "finetune_epochs": self.epochs}
        return {**find(self.experiment).defaults(), **changes}


def drawn(work: Work) -> Any:
    """Return data of drawn images, as many as the work trains on and a tenth to validate."""
    from trainables.data import Data, DataSpec, Split
    from trainables.data.source import Progress, silent

    side, channels, classes, count = SHAPES[work.experiment]
    count = work.images or count
    counts = {"train": count, "validation": max(classes, count // 10)}

    class Drawn(Data):
        def split(self, name: str, size: int | None, progress: Progress = silent) -> Split:
            pixels, draws = size or side, np.random.default_rng(0)
            shape = (counts[name], pixels, pixels, channels)
            images = draws.integers(0, 256, shape, dtype=np.uint8)
            return Split(images, np.arange(counts[name]) % classes)

    names = tuple(f"class {number}" for number in range(classes))
    spec = DataSpec(find(work.experiment).dataset, "embedded")
    return Drawn(spec, names, f"drawn-{work.experiment}-{count}", counts, ())


def budget_of(work: Work) -> Any:
    """Return the trial's budget: its share of the GPU's memory, and one thread, as in a study."""
    from trainables.budget import Budget
    from trainables.weights import RANDOM

    return Budget(sum(work.stages), work.seed, 1, weights=RANDOM, memory_mb=_room_mb(work))


def check_fits(work: Work) -> None:
    """Raise DoesNotFit if batches would not go whole through the network on the work's share.

    On a CPU all fits.
    """
    room_mb = _room_mb(work)
    if room_mb is None:
        return
    from trainables.memory import predict
    from trainables.shapes import Shapes

    (side, channels, _, _), data = SHAPES[work.experiment], drawn(work)
    sizes = Shapes(  # no images are drawn to work out what they take
        data.spec, data.classes, data.fingerprint, data.sizes, (), image=(side, side, channels)
    )
    module = importlib.import_module(f"trainables.{work.experiment}")
    alone = budget_of(replace(work, share=1.0))
    need_mb = predict(module, work.config, sizes, alone).mb
    if need_mb > room_mb:
        told = f"a trial needs about {need_mb:,.0f} MiB, and its share is {room_mb:,.0f} MiB"
        raise DoesNotFit(told)


def _room_mb(work: Work) -> float | None:
    """Return what a trial may take of the GPU, as in a study; None on a CPU."""
    import torch

    from search.room import gpu_room_mb
    from trainables.cuda import can_compute

    if not can_compute():
        return None
    whole = torch.cuda.get_device_properties(0).total_memory / 2**20
    return gpu_room_mb(whole, work.share)


@contextlib.contextmanager
def _cache_of_its_own() -> Iterator[None]:
    """Keep what frozen layers give of drawn images out of the user's cache."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, TRELLIS_CACHE=folder),
    ):
        yield


def epoch_operations(work: Work) -> int:
    """Return floating-point operations of one epoch of training: 2 per multiply-add.

    Counted on one batch of the last stage by torch's own layers: on the meta device, which takes
    none of the ways made for CPUs, whose zeros would count. Evaluation is left out.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    one = replace(work, images=work.config["batch_size"])
    module = importlib.import_module(f"trainables.{work.experiment}")
    budget = replace(budget_of(one), device="cpu", precision="float32", memory_mb=None)
    with _cache_of_its_own():
        for build in module.stages(one.config, drawn(one), budget):
            stage = build(torch.device("cpu"))
        inputs = stage.prepare(stage.train.inputs).to("meta")
    model, labels = stage.model.train().to("meta"), stage.train.labels.to("meta")
    with FlopCounterMode(display=False) as counter:
        stage.loss(model(inputs), labels).backward()
    images = work.images or SHAPES[work.experiment][3]
    batch: int = one.config["batch_size"]
    counted: int = counter.get_total_flops()
    return round(counted * images / batch)
