"""What stands in the way of search.confirm, in its own words: the training is search.run's."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from search.errors import UsageError, being_run
from search.folder import OTHER_THERE, STUDY_THERE
from trainables.errors import one_line


@contextlib.contextmanager
def in_own_words(root: Path, folder: Path) -> Iterator[None]:
    """Tell mistakes without options that search.confirm lacks.

    Args:
        root: The study that is confirmed.
        folder: Of its training: in `root`, or `root` itself.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError([_reworded(line, root, folder) for line in error.mistakes]) from None


def _reworded(line: str, root: Path, folder: Path) -> str:
    name = folder.name
    busy = f"study {root.name} is being confirmed by another process"
    in_the_way = f"{folder} exists and is no study, having no study.json: move it away"
    known = {
        f"--study {name}: {STUDY_THERE}": busy,
        being_run(name): busy,
        f"--study {name}: {OTHER_THERE}": in_the_way,
    }
    if folder != root and line in known:
        return known[line]
    option, place = one_line(f"--study {name}: "), one_line(f"--results-dir {folder.parent}: ")
    if line.startswith(f"{option}must be a plain name"):
        return f"{folder}: rename it; its name {line.removeprefix(option)}"
    return f"{folder.parent}: {line.removeprefix(place)}" if line.startswith(place) else line
