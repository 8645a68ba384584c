"""Recorded learning curves as a table that answers for any configuration of the space."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.curve_files import ACCURACY, EPOCH_FIELDS, Run, by_configuration
from search.book import Assignment
from search.domains import Domain


class Table:
    """Recorded runs, found by the configuration nearest to the one that is asked for.

    Distance is measured as samplers see the space: another choice of a categorical hyperparameter
    is 1 away, a number its difference over its range, of its logarithm where it is drawn so. One
    that only some choices bring into force counts where both configurations have it.
    """

    def __init__(self, runs: Sequence[Run], known: Mapping[str, Domain], clock: str) -> None:
        """Take the runs, the space's domains, and the seconds to go by: wall_s or cpu_s."""
        self._known = known
        self._clock = EPOCH_FIELDS.index(clock)
        self._runs = by_configuration(runs)
        self._keys = list(self._runs)
        points = [self._point(each[0].config) for each in self._runs.values()]
        self._points = np.array(points)  # [configurations, hyperparameters], NaN: not in force
        truths = [statistics.fmean(map(best_accuracy, each)) for each in self._runs.values()]
        self.truth = dict(zip(self._keys, truths, strict=True))
        self.best = max(truths)
        self.epochs = max(len(run.rows) for run in runs)
        self.run_s = statistics.fmean(sum(self.seconds(run)) for run in runs)

    def seconds(self, run: Run) -> list[float]:
        """Return what each epoch took."""
        return [row[self._clock] for row in run.rows]

    def nearest(self, config: Mapping[str, Any]) -> int:
        """Return the recorded configuration that answers for `config`; the first of equals."""
        apart = np.abs(self._points - self._point(config))
        chosen = [bool(domain.choices) for domain in self._known.values()]
        apart[:, chosen] = np.where(np.isnan(apart), np.nan, apart > 0)[:, chosen]
        return self._keys[int(np.nansum(apart, axis=1).argmin())]

    def regret(self, config: Mapping[str, Any]) -> float:
        """Return how far the truth of a configuration lies below the best one's, in [0, 1]."""
        return self.best - self.truth[self.nearest(config)]

    def run(self, assignment: Assignment) -> Run:
        """Return the run that answers for a trial; its seed chooses the repeat."""
        repeats = self._runs[self.nearest(assignment.config)]
        return repeats[assignment.seed % len(repeats)]

    def _point(self, config: Mapping[str, Any]) -> list[float]:
        return [_coordinate(domain, config.get(name)) for name, domain in self._known.items()]


def _coordinate(domain: Domain, value: Any) -> float:
    if value is None:
        return math.nan
    return float(domain.choices.index(value)) if domain.choices else domain.share(value)


def best_accuracy(run: Run) -> float:
    """Return the validation accuracy at a run's best epoch; 0 if it diverged before the first."""
    known = [row[ACCURACY] for row in run.rows if math.isfinite(row[ACCURACY])]
    return max(known, default=0.0)
