"""Beginning a study and going on with one: its folder, its journal, its manifest."""

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from search.book import Book
from search.errors import ResumeRefused, StudyFailed, StudyTaken, UsageError
from search.experiment import Experiment
from search.folder import (
    BEFORE,
    STUDY_THERE,
    Elsewhere,
    StudyFolder,
    in_the_way,
    number_in,
    numbered,
)
from search.journal import mend, open_journal, own
from search.manifest import differences, read_manifest
from search.plain import check_plain
from search.plan import Plan, repeats
from search.records import ENDED, VERDICT
from trainables.files import replace_text


class OpenStudy:
    """A study that this process drives, from `begin` or `go_on` until `close`."""

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        folder: StudyFolder,
        new: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the journal, mend its end, and read it. `new` is the manifest of a new study."""
        self._descriptor = own(folder.root)
        try:
            if new is not None:
                _write_manifest(folder, new)
            torn = mend(folder.journal)
            _check_complete(folder)
            study, storage = open_journal(folder.journal)
            lost = _keep_what_is_lost(folder, study)
            self.note = "\n".join(filter(None, (torn, lost))) or None
            self.book = Book(experiment, plan, folder, study, storage)
            folder.write_curves(self.book.records.values())
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self, finish: Callable[[], None] = lambda: None) -> None:
        """Bring every table up to date, do what `finish` does, and give the journal up."""
        records = list(self.book.records.values())
        try:
            self.book.folder.write_curves(records)
            self.book.folder.tidy(records)
            finish()
        finally:
            os.close(self._descriptor)


def _write_manifest(folder: StudyFolder, content: Mapping[str, Any]) -> None:
    if folder.manifest.exists():  # another process was a moment earlier
        raise _taken(folder.root, STUDY_THERE)
    replace_text(folder.manifest, json.dumps(content, indent=2) + "\n")


def _check_complete(folder: StudyFolder) -> None:
    if not folder.journal.stat().st_size and (folder.root / "trials.csv").exists():
        raise StudyFailed(
            f"{folder.journal} is missing or empty, though the study has trials: it "
            "cannot go on (trials.csv and curves.csv still hold what was finished)"
        )


def _keep_what_is_lost(folder: StudyFolder, study: optuna.Study) -> str | None:
    """Put tables and best model aside that know more than the journal; return a note if so.

    They are written after it, so lines are missing at its end, cut off where one line ended.
    """
    trials = study.get_trials(deepcopy=False)
    known = {str(t.number) for t in trials if t.state.is_finished() or VERDICT in t.user_attrs}
    lost = len(_ended_in(folder.root / "trials.csv") - known)
    if not lost:
        return None
    _copy_aside(folder.root, "trials.csv", "curves.csv")
    best = number_in(folder.root / "best.json")
    model = best is not None and str(best) not in known and (folder.root / "best.pt").exists()
    if model:
        _copy_aside(folder.root, "best.json", "best.pt")
    return (
        f"journal.log lacks {lost} trials that trials.csv has as ended: they are trained again; "
        "what was known of them is kept in trials.before.csv and curves.before.csv"
        + (f", the best model in {' and '.join(BEFORE)}" if model else "")
    )


def _copy_aside(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(path, path.with_name(f"{path.stem}.before{path.suffix}"))


def _ended_in(path: Path) -> set[str]:
    """Return the numbers of the trials that a table has as ended; none of one that is damaged."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (FileNotFoundError, csv.Error):
        return set()
    return {str(row.get("trial")) for row in rows if row.get("status") in ENDED}


def _taken(root: Path, reason: str) -> StudyTaken:
    return StudyTaken([f"--study {root.name}: {reason}"])


def study_folder(
    root: Path, content: Mapping[str, Any], mirror: Elsewhere | None = None
) -> StudyFolder:
    """Return the folder object that goes with a manifest."""
    data = content["data"]
    about = {"experiment": content["experiment"], "data": f"{data['kind']}:{data['dataset']}"}
    return StudyFolder(root, tuple(content["space"]), about, repeats(content["budget"]), mirror)


def begin(
    experiment: Experiment,
    plan: Plan,
    root: Path,
    content: dict[str, Any],
    named: bool = True,
    mirror: Elsewhere | None = None,
) -> OpenStudy:
    """Make the folder and the manifest of a new study, and open it.

    Where the name is not the user's (`named`), and another study has it, with -2, -3, ... added.

    Raises:
        StudyTaken: a study, or something else, of that name exists already.
        UsageError: the folder cannot be made, or holds a link where a journal is to be.
    """
    if named:
        return _begin(experiment, plan, root, content, mirror)
    for path in numbered(root):
        with contextlib.suppress(StudyTaken):
            return _begin(experiment, plan, path, content, mirror)
    raise AssertionError("names do not run out")


def _begin(
    experiment: Experiment,
    plan: Plan,
    root: Path,
    content: dict[str, Any],
    mirror: Elsewhere | None,
) -> OpenStudy:
    if reason := in_the_way(root):
        raise _taken(root, reason)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError([f"cannot make the folder {root}: {error.strerror}"]) from None
    check_plain(root)
    return OpenStudy(experiment, plan, study_folder(root, content, mirror), content)


def check_same(name: str, old: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Make sure that a study would go on as what it is.

    Args:
        name: The study's.
        old: Its manifest.
        content: The manifest that it would get now.

    Raises:
        ResumeRefused: another space, budget or data; a line per difference.
    """
    # Through JSON, so that tuples and the like compare as they are stored.
    changed = differences(old, json.loads(json.dumps(content)))
    if changed:
        raise ResumeRefused("\n".join([f"study {name} was made with other settings:", *changed]))


def go_on(
    experiment: Experiment,
    plan: Plan,
    root: Path,
    content: dict[str, Any],
    mirror: Elsewhere | None = None,
) -> OpenStudy:
    """Open a study that exists, if the manifest it would get now is the one it has.

    Raises:
        ResumeRefused: another space, budget or data; a line per difference.
        UsageError: its manifest is damaged, another process runs it, or it holds a link.
    """
    check_plain(root)
    old = read_manifest(root / "study.json")
    check_same(root.name, old, content)
    return OpenStudy(experiment, plan, study_folder(root, old, mirror))
