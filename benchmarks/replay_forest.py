"""Recorded learning curves as a smooth answer for any configuration of the space.

Between recorded configurations forests of regression trees answer: the mean curve of accuracies,
that of the logarithms of validation losses, and the mean seconds of an epoch. What a
configuration and what a seed differ from them are drawn from recorded ones (replay_spread.py).
After Eggensperger et al., "Efficient Benchmarking of Hyperparameter Optimizers via Surrogates",
AAAI 2015, who found forests the best of the models they tried.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.curve_files import ACCURACY, EPOCH_FIELDS, LOSS, Run
from benchmarks.replay_best import highest
from benchmarks.replay_spread import Apart, Noise
from benchmarks.replay_trees import Floats, Trees, features, left_out
from search.book import Assignment
from search.domains import Domain
from search.experiment import Space


class Forest:
    """Learning curves predicted from recorded ones.

    The truth of a configuration is the accuracy at the best epoch, the mean over all seeds.
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
        curves = _curves(runs, self.epochs)
        self._images = _images(curves[:, 0])
        groups = _by_configuration(runs)
        self._noise = Noise([curves[group] for group in groups])
        means = np.array([curves[group].mean(axis=0) for group in groups])
        recorded = [points[group[0]] for group in groups]
        kinds = means.swapaxes(0, 1)
        self._trees = [Trees(recorded, each) for each in kinds]
        unseen = np.stack([left_out(recorded, each) for each in kinds], axis=1)
        self._apart = Apart(unseen, means, self._noise.of_a_mean)
        own = means - self._predicted(recorded)
        self._recorded = {_key(each): apart for each, apart in zip(recorded, own, strict=True)}
        place = EPOCH_FIELDS.index(clock)
        taken = np.array([[np.mean([row[place] for row in run.rows])] for run in runs])
        foreign = [float(run.precision != runs[0].precision) for run in runs]
        timed = [[*point, other] for point, other in zip(points, foreign, strict=True)]
        self._seconds = Trees(timed, np.log(taken))
        epochs_s = np.exp(self._seconds.predict([_here(point) for point in points]))
        self.run_s = self.epochs * float(epochs_s.mean())
        self.best = highest(space, known, self._truths, points)

    def run(self, assignment: Assignment) -> Run:
        """Return the curves that answer for a trial; its seed chooses the noise."""
        point = features(self._known, assignment.config)
        mean = self._mean(point, self._at(point))
        noise = self._noise.draw(_key(point), float(mean[0].max()), assignment.seed)
        accuracies, losses = mean + noise
        epoch_s = float(np.exp(self._seconds.at(_here(point))[0]))
        told = zip(self._seen(accuracies).tolist(), np.exp(losses).tolist(), strict=True)
        rows = tuple(_row(accuracy, loss, epoch_s) for accuracy, loss in told)
        return Run(-1, assignment.seed, assignment.config, 0, rows)

    def seconds(self, run: Run) -> list[float]:
        """Return what each epoch took."""
        return [row[-1] for row in run.rows]

    def regret(self, config: Mapping[str, Any]) -> float:
        """Return how far the truth of a configuration lies below the best one's, in [0, 1]."""
        point = features(self._known, config)
        return self.best - self._truth(point, self._at(point))

    def _at(self, point: Sequence[float]) -> Floats:
        return np.stack([trees.at(point) for trees in self._trees])

    def _predicted(self, points: Sequence[Sequence[float]]) -> Floats:
        curves = [trees.predict(points).reshape(len(points), -1) for trees in self._trees]
        return np.stack(curves, axis=1)

    def _truths(self, points: Sequence[Sequence[float]]) -> Floats:
        curves = self._predicted(points)
        return np.array([self._truth(*each) for each in zip(points, curves, strict=True)])

    def _truth(self, point: Sequence[float], predicted: Floats) -> float:
        accuracies = self._mean(point, predicted)[0]
        every = self._seen(accuracies + self._noise.all(float(accuracies.max()))[:, 0])
        return float(every.max(axis=1).mean())

    def _mean(self, point: Sequence[float], predicted: Floats) -> Floats:
        """Return the mean curves over all seeds of a configuration, [kinds, epochs].

        A recorded one has its own.
        """
        apart = self._recorded.get(_key(point))
        if apart is None:
            apart = self._apart.of(_key(point), float(predicted[0].max()))
        return predicted + apart

    def _seen(self, curves: Floats) -> Floats:
        """Return accuracies as so many images can show them."""
        seen: Floats = np.clip(np.round(curves * self._images) / self._images, 0.0, 1.0)
        return seen


def _key(point: Sequence[float]) -> bytes:
    """Return what tells configurations apart: 24 bits of every number of theirs."""
    return np.asarray(point, np.float32).tobytes()


def _here(point: Sequence[float]) -> list[float]:
    """Return a point of the forest of seconds, in the precision that the clock goes by."""
    return [*point, 0.0]


def _row(accuracy: float, loss: float, seconds: float) -> tuple[float, ...]:
    """Return EPOCH_FIELDS of an epoch; of training nothing is known but the seconds."""
    return (0.0, accuracy, loss, accuracy, seconds, seconds)


def _curves(runs: Sequence[Run], epochs: int) -> Floats:
    """Return accuracies and logarithms of losses, [runs, kinds, epochs].

    What diverged has an accuracy of 0 from there on, and the highest loss of all.
    """
    accuracies = [_curve(run, epochs, ACCURACY, 0.0) for run in runs]
    losses = [row[LOSS] for run in runs for row in run.rows if math.isfinite(row[LOSS])]
    most, least = max(losses, default=1.0), min((loss for loss in losses if loss > 0), default=1.0)
    known = np.array([_curve(run, epochs, LOSS, most) for run in runs])
    return np.stack([np.array(accuracies), np.log(np.maximum(known, least))], axis=1)


def _curve(run: Run, epochs: int, place: int, where_unknown: float) -> list[float]:
    values = [row[place] for row in run.rows]
    known = [value if math.isfinite(value) else where_unknown for value in values]
    return known + [where_unknown] * (epochs - len(known))


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
