"""Decodes and resizes the images of a study, once, before Ray starts."""

from typing import Any

from search.interrupts import Interrupts
from search.model import check_fits
from search.plan import all_possible, image_sizes, published
from search.progress import DataProgress, say
from search.request import Request
from trainables import store
from trainables.data import Data, prepare


def prepare_images(request: Request, data: Data, interrupts: Interrupts) -> None:
    """Make the arrays that all trials share.

    Raises:
        EndEarly: interrupted, or the time is up; a half-made part is removed.
    """
    sizes = image_sizes(request.experiment, request.plan)
    done = prepare(data, sizes, progress=interrupts.checked(DataProgress()))
    say(
        f"data: {done.bytes / 1e6:.0f} MB in arrays shared by all trials, {done.built} made and "
        f"{done.reused} reused, {done.seconds:.1f} s"
    )
    for note in done.notes:
        say(f"note: {note}")


def say_images(request: Request, data: Data) -> None:
    """Tell of a dry run how much room all trials take in the cache, made already or not.

    That of their images, and of what else they share.
    """
    experiment, plan = request.experiment, request.plan
    height, width, channels = data.first("train", None).shape
    pixels = sum(s * s if s else height * width for s in image_sizes(experiment, plan))
    needed = (data.sizes["train"] + data.sizes["validation"]) * pixels * channels
    if experiment.shares:
        needed += experiment.module().shared_bytes(all_possible(experiment, plan), data)
    say(f"data: {store.shown(needed)} in arrays shared by all trials, in {store.root()}")


def check_images(request: Request, data: Data) -> dict[str, Any]:
    """Check images of a folder that a network takes as they are, those of the test split too.

    Returns:
        What study.json is to say of them, their shape: whoever uses the model later may not have
        the folder. Nothing of other images.

    Raises:
        DataError: they differ in size.
        UsageError: they are too small.
    """
    if request.experiment.image_size is not None or data.spec.kind != "folder":
        return {}
    shape, config = data.shape(), published(request.experiment, request.plan)
    check_fits(request.experiment, config, len(data.classes), shape)
    return {"image": list(shape)}
