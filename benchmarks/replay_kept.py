"""The CSV file of replayed studies: a row for every step, on the disk as each study ends."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.replay_case import Case
from benchmarks.simulation import Step
from search.errors import UsageError
from trainables.files import replace_file

_ABOUT = ("answers", "curves")  # who answered, and the SHA-256 of the recording
_FIELDS = [*_ABOUT, *Case.FIELDS, *Step.__dataclass_fields__]


class Kept:
    """The studies of a file, and those that are added to it.

    Of the sampler and the stopper it knows their names alone: after a change of theirs take
    another file.
    """

    def __init__(self, path: Path | None, answers: str, curves: Path) -> None:
        """Read the file, if there is one; without a path nothing is written.

        Raises:
            UsageError: the file is something else, or of other answers or curves.
        """
        self._path = path
        self._about = [answers, hashlib.sha256(curves.read_bytes()).hexdigest()]
        self.studies: dict[Case, Sequence[Step]] = {}
        if path is not None and path.exists():
            self._read(path)

    def add(self, case: Case, steps: Sequence[Step]) -> None:
        """Take in a study; where there is a file, it is there when this returns."""
        self.studies[case] = steps
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, self._write)

    def _write(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_FIELDS)
            for case, steps in self.studies.items():
                writer.writerows(self._rows(case, steps))

    def _rows(self, case: Case, steps: Iterable[Step]) -> list[list[object]]:
        return [[*self._about, *case.values(), *asdict(step).values()] for step in steps]

    def _read(self, path: Path) -> None:
        found: dict[Case, list[Step]] = {}
        try:
            with path.open(newline="") as file:
                rows = csv.DictReader(file)
                if rows.fieldnames != _FIELDS:
                    raise ValueError
                for row in rows:
                    self._check(path, row)
                    step = Step(float(row["seconds"]), float(row["regret"]), int(row["trials"]))
                    found.setdefault(Case.read(row), []).append(step)
        except (TypeError, ValueError, csv.Error):
            raise UsageError([f"{path} is no file of replayed studies; take another"]) from None
        self.studies.update(found)

    def _check(self, path: Path, row: Mapping[str, str]) -> None:
        for name, now in zip(_ABOUT, self._about, strict=True):
            if row[name] != now:
                wrong = f"{name} were {row[name]}, now {now}"
                raise UsageError([f"{path} is of other replays: {wrong}; take another"])
