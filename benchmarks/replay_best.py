"""The highest accuracy that any configuration of a space has, by a model of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.replay_trees import Floats, features
from search.domains import Domain, configuration
from search.experiment import Space

_DRAWN = 20_000
_CLIMBED = 8
_STEPS = 40  # values tried of a number that is not stepped

Truths = Callable[[Sequence[Sequence[float]]], Floats]


def highest(space: Space, known: Mapping[str, Domain], truths: Truths, points: Any) -> float:
    """Return the highest truth: of `points`, of random configurations, and uphill from the best.

    Uphill one hyperparameter is changed at a time until no change is for the better.
    """
    rng = np.random.default_rng(0)
    tried = {name: domain.sweep(_STEPS) for name, domain in known.items()}
    places = {name: rng.integers(len(values), size=_DRAWN) for name, values in tried.items()}
    drawn = [
        _kept(space, known, {name: values[places[name][i]] for name, values in tried.items()})
        for i in range(_DRAWN)
    ]
    found = truths([features(known, config) for config in drawn])
    starts = [drawn[place] for place in np.argsort(-found)[:_CLIMBED]]
    climbed = [_climb(space, known, truths, start) for start in starts]
    return float(max(*climbed, truths(points).max()))


def _kept(space: Space, known: Mapping[str, Domain], values: Mapping[str, Any]) -> dict[str, Any]:
    config = configuration(space, values)
    return {name: value for name, value in config.items() if name in known}


def _climb(
    space: Space, known: Mapping[str, Domain], truths: Truths, start: Mapping[str, Any]
) -> float:
    at, height = dict(start), -np.inf
    while True:
        changes = [{**at, name: value} for name, d in known.items() for value in d.sweep(_STEPS)]
        tried = [_kept(space, known, change) for change in changes]
        found = truths([features(known, config) for config in tried])
        if found.max() <= height:
            return float(height)
        at, height = tried[int(found.argmax())], found.max()
