"""Who answers for a configuration that was not recorded: a model, or the nearest recorded one."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.curve_files import Run, read_curves
from benchmarks.record_curves import EXPERIMENT
from benchmarks.replay_forest import Forest
from benchmarks.replay_table import Table
from search.book import Assignment
from search.catalog import find
from search.domains import domains

KINDS = ("forest", "nearest")


class Answers(Protocol):
    """Learning curves for every configuration of a space."""

    epochs: int
    run_s: float  # of a run on average
    best: float  # truth of the best configuration, an accuracy

    def run(self, assignment: Assignment) -> Run:
        """Return the run that answers for a trial; its seed chooses among several."""

    def seconds(self, run: Run) -> list[float]:
        """Return what each epoch took."""

    def regret(self, config: Mapping[str, Any]) -> float:
        """Return how far the truth of a configuration lies below the best one's, in [0, 1]."""


@functools.cache
def load(path: Path, kind: str) -> tuple[Answers, dict[str, Any]]:
    """Return what answers from a recording, and the hyperparameters that recording held.

    The clock goes by CPU seconds where one thread trained: other work does not lengthen them.

    Raises:
        UsageError: there is no recording, or too few repeats for a model.
    """
    runs, about = read_curves(path)
    experiment = find(EXPERIMENT)
    fixed = {"image_size": about["image_size"]}
    known = domains(experiment.space(), {**experiment.defaults(), **fixed})
    free = {name: domain for name, domain in known.items() if name not in fixed}
    clock = "cpu_s" if about["threads"] == 1 else "wall_s"
    if kind == "nearest":
        return Table(runs, free, clock), fixed
    return Forest(runs, free, experiment.space(), clock), fixed
