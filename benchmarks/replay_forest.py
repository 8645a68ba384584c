"""Recorded learning curves as a smooth answer for any configuration of the space.

Between recorded configurations a forest of regression trees answers: the mean curve, and the mean
seconds of an epoch. What one seed differs from the mean is taken from recorded repeats. After
Eggensperger et al., "Efficient Benchmarking of Hyperparameter Optimizers via Surrogates", AAAI
2015, who found forests the best of the models they tried.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.curve_files import ACCURACY, EPOCH_FIELDS, Run
from benchmarks.replay_best import highest
from benchmarks.replay_trees import Floats, Trees, features
from search.book import Assignment
from search.domains import Domain
from search.errors import UsageError
from search.experiment import Space

_ALIKE = 8  # noise is that of a configuration among so many of about the same accuracy


class Forest:
    """Learning curves predicted from recorded ones.

    The truth of a configuration is the accuracy of its mean curve at the best epoch.
    """

    def __init__(
        self, runs: Sequence[Run], known: Mapping[str, Domain], space: Space, clock: str
    ) -> None:
        """Fit to the runs; one that diverged has an accuracy of 0 from there on.

        `clock` are the seconds to go by: wall_s or cpu_s; those of other precisions than the first
        run's are predicted in that one.

        Raises:
            UsageError: no configuration was recorded twice, so nothing tells how seeds differ.
        """
        self._known = known
        points = [features(known, run.config) for run in runs]
        self.epochs = max(len(run.rows) for run in runs)
        curves = np.array([_curve(run, self.epochs) for run in runs])
        self._images = _images(curves)
        groups = _by_configuration(runs)
        self._noise = _Noise([curves[group] for group in groups])
        means = np.array([curves[group].mean(axis=0) for group in groups])
        self._curve = Trees([points[group[0]] for group in groups], means)
        place = EPOCH_FIELDS.index(clock)
        taken = np.array([[np.mean([row[place] for row in run.rows])] for run in runs])
        foreign = [float(run.precision != runs[0].precision) for run in runs]
        timed = [[*point, other] for point, other in zip(points, foreign, strict=True)]
        self._seconds = Trees(timed, np.log(taken))
        epochs_s = np.exp(self._seconds.predict([_here(point) for point in points]))
        self.run_s = self.epochs * float(epochs_s.mean())
        self.best = highest(space, known, self._truths, points)

    def run(self, assignment: Assignment) -> Run:
        """Return the curve that answers for a trial; its seed chooses the noise."""
        point = features(self._known, assignment.config)
        curve = self._curve.at(point)
        noisy = curve + self._noise.draw(float(curve.max()), assignment.seed)
        seen = np.clip(np.round(noisy * self._images) / self._images, 0.0, 1.0)
        epoch_s = float(np.exp(self._seconds.at(_here(point))[0]))
        rows = tuple(_row(float(accuracy), epoch_s) for accuracy in seen)
        return Run(-1, assignment.seed, assignment.config, 0, rows)

    def seconds(self, run: Run) -> list[float]:
        """Return what each epoch took."""
        return [row[-1] for row in run.rows]

    def regret(self, config: Mapping[str, Any]) -> float:
        """Return how far the truth of a configuration lies below the best one's, in [0, 1]."""
        return self.best - float(self._curve.at(features(self._known, config)).max())

    def _truths(self, points: Sequence[Sequence[float]]) -> Floats:
        truths: Floats = self._curve.predict(points).max(axis=1)
        return truths


def _here(point: Sequence[float]) -> list[float]:
    """Return a point of the forest of seconds, in the precision that the clock goes by."""
    return [*point, 0.0]


def _row(accuracy: float, seconds: float) -> tuple[float, ...]:
    """Return EPOCH_FIELDS of an epoch of which only the accuracy and the seconds are known."""
    return (0.0, accuracy, 0.0, accuracy, seconds, seconds)


def _curve(run: Run, epochs: int) -> list[float]:
    accuracies = [row[ACCURACY] for row in run.rows]
    known = [0.0 if math.isnan(accuracy) else accuracy for accuracy in accuracies]
    return known + [0.0] * (epochs - len(known))


def _images(curves: Floats) -> int:
    """Return how many images the accuracies were counted on: the fewest that fit."""
    counts = range(1, 10_001)
    fits = (n for n in counts if np.abs(curves * n - np.round(curves * n)).max() < 1e-3)
    return next(fits)


def _by_configuration(runs: Sequence[Run]) -> list[list[int]]:
    places: dict[int, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        places[run.configuration].append(place)
    return list(places.values())


class _Noise:
    """What runs differ from the mean of their configuration's; `groups` holds its curves."""

    def __init__(self, groups: Sequence[Floats]) -> None:
        levels, noises = [], []
        for curves in groups:
            if len(curves) > 1:
                mean = curves.mean(axis=0)
                # n values lie nearer to their own mean than to the truth, by this factor.
                levels.append(mean.max())
                noises.append((curves - mean) * np.sqrt(len(curves) / (len(curves) - 1)))
        if not levels:
            raise UsageError(["no configuration was recorded with two seeds: noise is unknown"])
        self._levels, self._noises = np.array(levels), noises

    def draw(self, level: float, seed: int) -> Floats:
        """Return a whole curve of noise of a configuration that is about as accurate."""
        alike = np.argsort(np.abs(self._levels - level), kind="stable")[:_ALIKE]
        rng = np.random.default_rng(seed)
        chosen = self._noises[int(rng.choice(alike))]
        noise: Floats = chosen[int(rng.integers(len(chosen)))]
        return noise
