"""Decodes and resizes the images of a study, once, before Ray starts."""

from typing import Any

from search.interrupts import Interrupts
from search.model import check_fits
from search.plan import image_sizes, published
from search.progress import DataProgress, say
from search.request import Request
from trainables.data import Data, prepare


def prepare_images(request: Request, data: Data, interrupts: Interrupts) -> dict[str, Any]:
    """Make the arrays that all trials share; return what study.json is to say of the images.

    Of images of a folder that a network takes as they are the shape is kept: whoever uses the
    model later may not have the folder.

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
    return {"image": list(data.shape())} if _as_they_are(request, data) else {}


def check_images(request: Request, data: Data) -> None:
    """Check images of a folder that a network takes as they are, those of the test split too.

    Raises:
        DataError: they differ in size.
        UsageError: they are too small.
    """
    if _as_they_are(request, data):
        config = published(request.experiment, request.plan)
        check_fits(request.experiment, config, len(data.classes), data.shape())


def _as_they_are(request: Request, data: Data) -> bool:
    return request.experiment.image_size is None and data.spec.kind == "folder"
