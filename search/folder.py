"""A study's folder: where its files are, and the tables and best model that follow from it."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from search.records import CURVE_FIELDS, Record, best_of
from search.trial_log import NAME as LOG_NAME
from trainables.files import replace_file, replace_text, stands_for

# Why a new study cannot have a name.
STUDY_THERE = "exists already; go on with it by --resume"
OTHER_THERE = "exists and is no study, having no study.json; give another name"
# In the folder of a failed trial: the whole traceback.
ERROR_NAME = "error.txt"
# Of a completed trial, where weights are kept: those of its best and of its last epoch.
KEPT_NAMES = ("best.pt", "last.pt")
# What search.confirm chose, and its weights; before it, best.json and best.pt of the search.
CHOSEN = ("confirm_best.json", "confirm.pt")
# Of the best trial, where the journal has lost it.
BEFORE = ("best.before.json", "best.before.pt")
_TRIAL_FIELDS = (
    "trial",
    "status",
    "epochs",
    "best_epoch",
    "val_accuracy",
    "val_loss",
    "train_accuracy",
    "parameters",
    "trainable_parameters",
    "wall_s",
    "peak_memory_mb",
    "seed",
    "error",
)


class Elsewhere(Protocol):
    """What mirrors a study's folder in a store: search.mirror."""

    still: Lock  # while it is held, nothing comes from there into the folder of a trial that ends

    def changed(self) -> None:
        """Hear that the study goes on."""

    def bring(self, number: int, name: str) -> None:
        """Fetch a file of a trial that was trained where this folder is not seen."""

    def ended(self, number: int) -> None:
        """Hear that a trial's folder is as it is to stay; `still` is held."""


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study and what is written there. `names` are its hyperparameters.

    With `keeps` every completed trial's weights stay: `search.confirm` judges them.
    """

    root: Path
    names: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # goes into best.json
    keeps: bool = False
    mirror: Elsewhere | None = None

    @property
    def manifest(self) -> Path:
        """study.json."""
        return self.root / "study.json"

    @property
    def journal(self) -> Path:
        """journal.log."""
        return self.root / "journal.log"

    def trial(self, number: int) -> Path:
        """The folder of a running trial."""
        return self.root / "trials" / str(number)

    def write_trials(self, records: Iterable[Record]) -> None:
        """Replace trials.csv, a row per trial."""
        header = [*_TRIAL_FIELDS, *(f"config.{name}" for name in self.names)]
        rows = [trial_row(record, self.names) for record in records]
        replace_text(self.root / "trials.csv", as_csv([header, *rows]))

    def write_curves(self, records: Iterable[Record]) -> None:
        """Replace curves.csv, sorted by trial and epoch."""
        rows = [curve_row(record.number, row) for record in records for row in record.rows]
        replace_text(self.root / "curves.csv", as_csv([["trial", *CURVE_FIELDS], *rows]))

    def append_curve(self, number: int, row: Mapping[str, Any]) -> None:
        """Add one epoch to curves.csv, in the order of arrival."""
        with (self.root / "curves.csv").open("a", encoding="utf-8") as file:
            file.write(as_csv([curve_row(number, row)]))
        if self.mirror is not None:
            self.mirror.changed()

    def tidy(self, records: list[Record]) -> None:
        """Bring tables and best model up to date, and remove what ended trials leave.

        Each step may be the last before a kill: the next call goes on from any of them.
        """
        self.write_trials(records)
        best = best_of(records)
        if best is not None:
            self._keep_best(best)
        ended = {str(record.number): record for record in records if record.status != "running"}
        trials = self.root / "trials"
        # By what is there, not by all that ever ended: a study of thousands has few folders left.
        for name in sorted(os.listdir(trials)) if trials.is_dir() else ():
            if name in ended:
                self._thin(ended[name])

    def conclude(self, record: Record, best: Record | None) -> None:
        """Keep what an ended trial leaves if it is the best, and remove the rest of its folder."""
        if best is record:
            self._keep_best(record)
        self._thin(record)

    def _thin(self, record: Record) -> None:
        """Remove an ended trial's folder, but for what stays of it."""
        folder = self.trial(record.number)
        stays = self._staying(record.status)
        if self.mirror is None:
            return _clear(folder, stays)
        for name in stays:
            self.mirror.bring(record.number, name)
        with self.mirror.still:  # or a note would come into the folder after that
            _clear(folder, stays)
            self.mirror.ended(record.number)

    def _staying(self, status: str) -> tuple[str, ...]:
        """Return the files that stay of an ended trial: what failed, or weights to judge."""
        if status == "failed":
            return (ERROR_NAME, LOG_NAME)
        return KEPT_NAMES if self.keeps and status == "completed" else ()

    def _keep_best(self, best: Record) -> None:
        if self.mirror is not None:
            self.mirror.bring(best.number, "best.pt")
        text = json.dumps(best_as_json(best, self.about), indent=2) + "\n"
        path, weights = self.root / "best.json", self.trial(best.number) / "best.pt"
        if not path.exists() or path.read_bytes() != text.encode():
            if not weights.exists():
                self._drop_others(best.number)  # first: a kill may come between the two
            replace_text(path, text)
        if not weights.exists():  # moved by an earlier call, or not here
            return
        if self.keeps:  # the trial's own stay where they are
            replace_file(self.root / "best.pt", partial(shutil.copyfile, weights))
        else:
            os.replace(weights, self.root / "best.pt")

    def _drop_others(self, number: int) -> None:
        """Remove best.pt if it is not of `number`, the best trial now, and tell of it."""
        from search.progress import say

        path, named = self.root / "best.pt", number_in(self.root / "best.json")
        # Weights are moved once best.json names their trial; a damaged one says nothing of them.
        if named == number or (named is None and path.exists()):
            return
        path.unlink(missing_ok=True)
        if named is not None and named == number_in(self.root / BEFORE[0]):
            say(
                f"note: trial {number} is the best that the journal has now, and its weights were "
                "not kept: there is no best.pt until a better trial ends"
            )
            return
        say(
            f"note: trial {number} is the best now, but its weights lie on a machine that does "
            f"not share {self.root}: there is no best.pt; --results-dir takes a folder that all "
            "nodes share, or a store"
        )


def number_in(path: Path) -> int | None:
    """Return the trial that a best.json names; None where it is damaged or missing."""
    try:
        found = json.loads(path.read_bytes())["trial"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def _clear(folder: Path, stays: Iterable[str]) -> None:
    """Remove all of a trial's folder but the files that stay."""
    if not any((folder / name).exists() for name in stays):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in stays:
            path.unlink(missing_ok=True)  # or the mirror has just renamed it


def chosen(root: Path) -> tuple[Path, Path]:
    """Return the files of the model to use: what it is, and its weights.

    What `search.confirm` recommends, once it has; else the best of the search.
    """
    confirmed = root / CHOSEN[0], root / CHOSEN[1]
    if all(path.is_file() for path in confirmed):
        return confirmed
    return root / "best.json", root / "best.pt"


def numbered(root: Path) -> Iterator[Path]:
    """Yield a folder's name, then the same with -2, -3, ..."""
    yield root
    yield from (root.with_name(f"{root.name}-{number}") for number in count(2))


def in_the_way(root: Path) -> str:
    """Return why a new study cannot have the folder `root`; nothing where it can."""
    if (root / "study.json").is_file():
        return STUDY_THERE
    free = not os.path.lexists(root) or (root.is_dir() and is_blank(root))
    return "" if free else OTHER_THERE


def is_blank(root: Path) -> bool:
    """Tell whether a folder is empty, but for what a kill before study.json leaves in it."""
    return all(
        stands_for(entry.name) == "study.json"
        or (entry.name == "journal.log" and entry.stat().st_size == 0)
        for entry in root.iterdir()
    )


def trial_row(record: Record, names: Iterable[str]) -> list[Any]:
    """Return the row of trials.csv; what does not apply is empty."""
    best = record.best_row or {}
    peak = max((row["peak_memory_mb"] for row in record.rows), default="")
    wall_s = f"{record.wall_s:.3f}" if record.wall_s == record.wall_s else ""
    return [
        record.number,
        record.status,
        len(record.rows),
        best.get("epoch", ""),
        best.get("val_accuracy", ""),
        best.get("val_loss", ""),
        best.get("train_accuracy", ""),
        best.get("parameters", ""),
        record.trainable_parameters if record.rows else "",
        wall_s,
        peak,
        record.seed,
        record.error,
        *(record.config.get(name, "") for name in names),
    ]


def curve_row(number: int, row: Mapping[str, Any]) -> list[Any]:
    """Return the row of curves.csv."""
    return [number, *(row[name] for name in CURVE_FIELDS)]


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV text, lines ending in a newline alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def best_as_json(best: Record, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what best.json holds: the trial, its configuration and its best epoch's numbers."""
    row = dict(best.best_row or {})
    keys = ("epoch", "val_accuracy", "val_loss", "train_accuracy", "parameters")
    return {
        **about,
        "trial": best.number,
        "status": best.status,
        "config": dict(best.config),
        "seed": best.seed,
        **{key: row[key] for key in keys},
    }
