"""Which study is meant: its folder by name, path or URI, fetched where it is in a store."""

import difflib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from search.errors import UsageError
from search.options import study_name
from search.places import above, check_place, is_remote, local_path
from trainables.errors import TrellisError


def resolve_study(text: str, results_dir: Path | str, weights: bool = True) -> Path:
    """Return the folder of the study `text`: its name under `results_dir`, else a path or a URI.

    What lies in a store (`results_dir` or `text` is a URI) is fetched; its models if `weights`.

    Raises:
        TrellisError: neither is a folder with a study.json; the nearest names are listed.
    """
    place, name = str(results_dir), text
    if is_remote(text):
        _check(text)
        place, name = above(text)
    if is_remote(place):
        return _fetched(place, name, weights)
    root = local_path(place)
    places = [root / text, local_path(text)] if text else []
    places = [each for each in places if not _is_too_long(each)]
    for each in places:
        if (each / "study.json").is_file():
            return each
    for each in places:
        if each.is_dir():
            raise TrellisError(f"{each} is not a study: it has no study.json")
    known = sorted(path.parent.name for path in root.glob("*/study.json"))
    raise TrellisError(
        f"no study {text!r} in {root}, and no such folder; {_near(text, known, root)}"
    )


def resolve_studies(texts: Sequence[str], results_dir: Path | str) -> list[Path]:
    """Return the folder of every study named, in order; of a store without their models.

    Raises:
        UsageError: names that are no studies, a line for each.
    """
    found, wrong = [], []
    for text in texts:
        try:
            found.append(resolve_study(text, results_dir, weights=False))
        except TrellisError as error:
            wrong.append(str(error))
    if wrong:
        raise UsageError(wrong)
    return found


def _fetched(place: str, name: str, weights: bool) -> Path:
    from search.fetched import fetched, studies

    _check(place)
    try:
        study_name(name)
    except ValueError as error:
        raise TrellisError(f"study {name!r} in {place}: {error}") from None
    found = fetched(place, name, weights)
    if found is None:
        raise TrellisError(f"no study {name!r} in {place}; {_near(name, studies(place), place)}")
    return found


def _check(place: str) -> None:
    try:
        check_place(place)
    except ValueError as error:  # told without the place, which may hold a secret
        raise TrellisError(f"the place of the study {error}") from None


def _is_too_long(path: Path) -> bool:
    """Tell whether nothing can have such a name."""
    try:
        os.stat(path / "study.json")
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def _near(text: str, known: Sequence[str], place: object) -> str:
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.4) or known[-3:]
    return f"nearest: {', '.join(near)}" if near else f"{place} holds no studies"
