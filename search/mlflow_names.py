"""The names that MLflow gave to the runs of a study: mlflow.json in its folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

from trainables.files import replace_text

NAME = "mlflow.json"


class Names:
    """The names of our runs on one server; the file may have those on others, too.

    It is written whole, and a study may have 50,000 trials: so once for all that are new, by
    `save`. What a kill keeps out of it the server still knows.
    """

    def __init__(self, path: Path, uri: str) -> None:
        """Read what an earlier run of the study has kept for the server at `uri`."""
        self._path, self._uri = path, uri
        self._all: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._all = dict(json.loads(path.read_text(encoding="utf-8")))
        own = self._all.get(uri, {})
        self.place: str | None = own.get("experiment")
        self.study: str | None = own.get("run")
        self.trials: dict[int, str] = {int(k): v for k, v in own.get("trials", {}).items()}
        self._saved = dict(self.trials)

    def keep_study(self, place: str, run_id: str) -> None:
        """Keep the study's own run and the MLflow experiment that it is in; written at once."""
        self.place, self.study = place, run_id
        self._write()

    def save(self) -> None:
        """Write the file if trials have come or gone."""
        if self.trials != self._saved:
            self._write()

    def _write(self) -> None:
        trials = {str(number): run_id for number, run_id in self.trials.items()}
        self._all[self._uri] = {"experiment": self.place, "run": self.study, "trials": trials}
        replace_text(self._path, json.dumps(self._all, indent=2) + "\n")
        self._saved = dict(self.trials)
