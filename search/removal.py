"""Removing studies: never one that is run, and nothing outside its folder."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from search.errors import StudyFailed, StudyTaken, UsageError, being_run
from search.overview import by_name, is_study


def find_removable(words: Sequence[str], results: Path) -> list[Path]:
    """Return the folders of the studies named, by name under `results` or by path.

    Raises:
        UsageError: a line for each that is no study, or is a link to one.
    """
    wrong: list[str] = []
    found: list[Path] = []
    for word in dict.fromkeys(words):
        places = [place for place in (results / word, Path(word)) if word and is_study(place)]
        if not places:
            wrong.append(f"no study {word!r} in {results}, and no such folder")
        elif places[0].is_symlink():
            wrong.append(f"{places[0]} is a link to a study elsewhere: remove the link itself")
        elif places[0].resolve() not in {place.resolve() for place in found}:
            found.append(places[0])
    if wrong:
        raise UsageError(wrong)
    return _outermost(found)


def _outermost(folders: Sequence[Path]) -> list[Path]:
    """Leave out those that go with another, and name in full what has no name of its own (.)."""
    named = [by_name(each) for each in folders]
    whole = {each.resolve() for each in named}
    return [each for each in named if whole.isdisjoint(each.resolve().parents)]


def remove(folders: Sequence[Path]) -> None:
    """Remove studies with all that is in their folders; links in them go, what they name stays.

    Raises:
        StudyTaken: one is being run; none is removed.
        StudyFailed: something cannot be removed.
    """
    with contextlib.ExitStack() as every:
        locks = [every.enter_context(contextlib.ExitStack()) for _ in folders]
        for folder, held in zip(folders, locks, strict=True):
            for journal_of in _driven(folder):
                # Held until all is gone: nobody begins to run it meanwhile.
                held.callback(os.close, _own(journal_of, folder))
        for folder, held in zip(folders, locks, strict=True):
            try:
                _remove(folder, held)
            except OSError as error:
                raise StudyFailed(f"cannot remove {error.filename}: {error.strerror}") from None


def _remove(folder: Path, held: contextlib.ExitStack) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
            raise
        # NFS keeps a file that is open, here the journal, under another name until it is closed.
        held.close()
        shutil.rmtree(folder)


def _driven(folder: Path) -> Iterator[Path]:
    """Yield every folder in it with a journal: a study's own, and one that is nested."""
    for place, _, names in os.walk(folder):
        if "journal.log" in names and not Path(place, "journal.log").is_symlink():
            yield Path(place)


def _own(journal_of: Path, study: Path) -> int:
    from search.journal import own

    try:
        return own(journal_of)
    except StudyTaken:
        what = f"{being_run(study.name)}: end it first"
        raise StudyTaken([f"{what}; nothing was removed"]) from None
