"""Beginning a study and going on with one: the manifest study.json, and what must be the same."""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.book import Book
from search.domains import domains
from search.errors import ResumeRefused, StudyFailed, StudyTaken, UsageError
from search.experiment import Experiment
from search.folder import StudyFolder, is_blank, numbered
from search.journal import mend, open_journal, own
from search.plan import Plan
from trainables.data import Data
from trainables.files import replace_text

FORMAT = 1
# What a manifest must hold for a study to go on, beside its format.
_PARTS = {
    "experiment": (),
    "space": (),
    "defaults": (),
    "budget": tuple(field.name for field in fields(Plan)),
    "data": ("kind", "dataset", "location", "fingerprint", "sizes"),
}
_LIBRARIES = ("torch", "ray", "optuna", "numpy", "tensorflow-datasets", "pillow")


def manifest(experiment: Experiment, plan: Plan, data: Data, command: list[str]) -> dict[str, Any]:
    """Return what study.json holds."""
    return {
        "format": FORMAT,
        "experiment": experiment.name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "space": describe_space(experiment),
        "defaults": experiment.defaults(),
        "budget": plan.as_json(),
        "seed": plan.seed,
        "data": {
            "kind": data.spec.kind,
            "dataset": data.spec.dataset,
            "location": data.spec.location,
            "real": data.real,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "sizes": dict(data.sizes),
            "notes": list(data.notes),
        },
        "versions": versions(),
        "git_commit": git_commit(),
    }


def describe_space(experiment: Experiment) -> dict[str, str]:
    """Return every hyperparameter with its domain in words."""
    known = domains(experiment.space(), experiment.defaults())
    return {name: domain.describe() for name, domain in known.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}


def git_commit() -> str | None:
    """Return the commit of this code, with "+changes" where a file differs from it.

    None without git, and where this code is not a checkout of its own: installed into an
    environment inside another repository, say, whose commit would tell nothing.
    """
    root = Path(__file__).resolve().parents[1]
    top, commit = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "HEAD")
    if not top or not commit or Path(top).resolve() != root:
        return None
    return f"{commit}+changes" if _git(root, "status", "--porcelain") else commit


def _git(folder: Path, *words: str) -> str | None:
    # Without locks: a user's own git command may run meanwhile.
    command = ["git", "-C", str(folder), "--no-optional-locks", *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if answer.returncode else answer.stdout.strip()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return study.json.

    Raises:
        UsageError: it is missing, damaged, or of another version.
    """
    damaged = UsageError([f"{path} is damaged; the study cannot go on without it"])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format"]
    except OSError as error:
        raise UsageError([f"{path} cannot be read: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if version != FORMAT:
        raise UsageError([f"{path} has format {version}; this version reads format {FORMAT}"])
    for name, parts in _PARTS.items():
        part = content.get(name)
        if not isinstance(part, dict if name != "experiment" else str) or set(parts) - set(part):
            raise damaged
    return dict(content)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a line for everything in which the new manifest would give another study."""
    found = []
    pairs = [("experiment", old["experiment"], new["experiment"])]
    pairs += _pairs("space", old["space"], new["space"])
    pairs += _pairs("defaults", old["defaults"], new["defaults"])
    pairs += _pairs("budget", old["budget"], new["budget"])
    parts = ("kind", "dataset", "fingerprint", "sizes")
    pairs += [(f"data.{part}", old["data"][part], new["data"][part]) for part in parts]
    for name, before, now in pairs:
        if before != now:
            found.append(f"{name}: the study has {before}, now it would be {now}")
    return found


def _pairs(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    names = list(dict.fromkeys([*old, *new]))
    return [(f"{prefix}.{name}", old.get(name), new.get(name)) for name in names]


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
            self.note = mend(folder.journal)
            _check_complete(folder)
            study, storage = open_journal(folder.journal)
            self.book = Book(experiment, plan, folder, study, storage)
            folder.write_curves(self.book.records.values())
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Bring every table up to date and give the journal up."""
        records = list(self.book.records.values())
        self.book.folder.write_curves(records)
        self.book.folder.tidy(records)
        os.close(self._descriptor)


def _write_manifest(folder: StudyFolder, content: Mapping[str, Any]) -> None:
    if folder.manifest.exists():  # another process was a moment earlier
        raise _exists(folder.root)
    replace_text(folder.manifest, json.dumps(content, indent=2) + "\n")


def _check_complete(folder: StudyFolder) -> None:
    if not folder.journal.stat().st_size and (folder.root / "trials.csv").exists():
        raise StudyFailed(f"{folder.journal} is missing or empty, though the study has trials")


def _exists(root: Path) -> StudyTaken:
    return StudyTaken([f"--study {root.name}: exists already; go on with it by --resume"])


def study_folder(root: Path, content: Mapping[str, Any]) -> StudyFolder:
    """Return the folder object that goes with a manifest."""
    data = content["data"]
    about = {"experiment": content["experiment"], "data": f"{data['kind']}:{data['dataset']}"}
    return StudyFolder(root, tuple(content["space"]), about)


def begin(
    experiment: Experiment, plan: Plan, root: Path, content: dict[str, Any], named: bool = True
) -> OpenStudy:
    """Make the folder and the manifest of a new study, and open it.

    Where the name is not the user's (`named`), and another study has it, with -2, -3, ... added.

    Raises:
        StudyTaken: the folder of that name exists already.
        UsageError: the folder cannot be made.
    """
    if named:
        return _begin(experiment, plan, root, content)
    for path in numbered(root):
        with contextlib.suppress(StudyTaken):
            return _begin(experiment, plan, path, content)
    raise AssertionError("names do not run out")


def _begin(experiment: Experiment, plan: Plan, root: Path, content: dict[str, Any]) -> OpenStudy:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError([f"cannot make the folder {root}: {error.strerror}"]) from None
    if not is_blank(root):
        raise _exists(root)
    return OpenStudy(experiment, plan, study_folder(root, content), content)


def go_on(experiment: Experiment, plan: Plan, root: Path, content: dict[str, Any]) -> OpenStudy:
    """Open a study that exists, if the manifest it would get now is the one it has.

    Raises:
        ResumeRefused: another space, budget or data; a line per difference.
        UsageError: its manifest is damaged, or another process runs it.
    """
    old = read_manifest(root / "study.json")
    # Through JSON, so that tuples and the like compare as they are stored.
    changed = differences(old, json.loads(json.dumps(content)))
    if changed:
        raise ResumeRefused(
            "\n".join([f"study {root.name} was made with other settings:", *changed])
        )
    return OpenStudy(experiment, plan, study_folder(root, old))


def command_line() -> list[str]:
    """Return the command that runs, as a user would write it."""
    return ["python", "-m", "search.run", *sys.argv[1:]]
