"""What the notebooks need beyond the other modules: which studies, and figures as pictures."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.places import is_remote
from search.resolve import resolve_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STUDIES = "TRELLIS_STUDIES"


def chosen(names: Sequence[str], results_dir: str = "results") -> list[Path]:
    """Return the folders of the studies `names`; those of $TRELLIS_STUDIES where it is set.

    The variable holds names or paths, separated as in $PATH (no URIs: they have colons of their
    own). The results folder is looked for in the working folder and those above it, so that a
    notebook finds it from its own folder; paths count from where it lies, too.

    Raises:
        TrellisError: there is no such study.
    """
    given = os.environ.get(STUDIES)
    wanted = given.split(os.pathsep) if given else names
    here = Path.cwd()
    places = [each / results_dir for each in (here, *here.parents)]
    place = next((each for each in places if each.is_dir()), places[0])
    return [resolve_study(_from_beside(place, name), place) for name in wanted]


def _from_beside(place: Path, name: str) -> str:
    """Return `name`, as a whole path where it is one from the folder that holds `place`."""
    path = place.parent / name
    there = not is_remote(name) and not (place / name).exists() and path.is_dir()
    return str(path) if there else name


class Picture:
    """A figure that a notebook shows as PNG; figures made without pyplot do not do so alone."""

    def __init__(self, figure: "Figure") -> None:
        self._figure = figure

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self._figure.savefig(file, format="png")
        return file.getvalue()
