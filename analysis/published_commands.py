"""The commands that fill rows of the published numbers: they make studies that will count.

A study that is there is not begun once more: it is gone on with, confirmed, or left as it is.
"""

import shlex
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from analysis.command import RESULTS
from analysis.frames import read_manifest, read_trials
from analysis.pool import Pool, rows_of, same
from analysis.reference import Reference, arm_config, recipe
from search.catalog import EXPERIMENTS
from search.data_option import absolute, usual_place
from search.errors import StudyFailed
from search.places import is_remote
from trainables.errors import TrellisError

# How a study of a name stands to a configuration; "other": the name is taken.
State = Literal["missing", "unfinished", "trained", "lost", "other"]


class Commands:
    """What to run in a folder of studies, or a store of them, given what counts by now."""

    def __init__(self, pool: Pool, results_dir: Path | str = RESULTS) -> None:
        self._pool, self._results_dir = pool, results_dir

    def fill(self, row: Reference) -> tuple[str, ...]:
        """Return what to run for a number of ours beside `row`; nothing where nothing helps."""
        if row.experiment not in EXPERIMENTS:
            return ()
        made = recipe(row)
        study, state = self._study(made.study, row)
        place = self._place(study)
        there = [] if place == RESULTS else ["--results-dir", str(place)]
        run, named, steps = ["search.run", row.experiment], ["--study", study, *there], []
        if state == "missing":
            steps.append([*run, *made.run, *self._alike(row.experiment), *named])
        elif state == "unfinished":
            steps.append([*run, *named, "--resume"])
        if made.confirm is not None and state != "lost":
            steps.append(["search.confirm", study, *made.confirm, *there])
        return tuple(shlex.join(["python", "-m", *words]) for words in steps)

    def _study(self, name: str, row: Reference) -> tuple[str, State]:
        """Return a study for the row, and how it stands; another name where that is taken."""
        config = arm_config(EXPERIMENTS[row.experiment], row.arm)
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        states = ((each, self._state(each, config)) for each in names)
        return next((each, state) for each, state in states if state != "other")

    def _state(self, study: str, config: Mapping[str, Any]) -> State:
        folder = self._folder(study)
        if folder is None or not folder.exists():
            return "missing"
        if study in self._pool.foreign:
            return "other"
        try:
            budget, trials = read_manifest(folder).get("budget", {}), read_trials(folder)
        except StudyFailed:  # no trial has been written yet
            return "unfinished"
        except TrellisError:
            return "other"
        if (trials["status"] != "running").sum() < budget.get("trials", 0):
            return "unfinished"
        alike = [row for row, each in rows_of(trials) if same(each, config)]
        ended = {row["status"] for row in alike} - {"failed"}
        if not ended:
            return "other"
        return "trained" if "completed" in ended else "lost"

    def _folder(self, study: str) -> Path | None:
        """Return where a study lies or would; None in a store, where nobody has looked."""
        known = self._pool.seen.get(study)
        if known is not None or is_remote(str(self._results_dir)):
            return known
        return Path(self._results_dir) / study

    def _place(self, study: str) -> Path | str:
        folder = self._folder(study)
        if folder is None or is_remote(str(self._results_dir)):
            return self._results_dir
        return folder.parent

    def _alike(self, experiment: str) -> list[str]:
        """Return the options for the data and weights of what counts: others would not."""
        manifest = self._pool.manifest(experiment)
        data, weights = manifest.get("data", {}), manifest.get("weights") or {}
        words = ["--weights", str(weights["path"])] if weights.get("source") == "file" else []
        place = str(data.get("location") or "")
        usual = place in ("", absolute(usual_place()))
        return words if usual else [*words, "--data-dir", place]
