"""A forest of regression trees over configurations, asked one configuration at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold, cross_val_predict

from search.domains import Domain

Floats = NDArray[np.float64]
_TREES = 200
_PARTS = 10
_ABSENT = -1.0  # of a hyperparameter not in force: below every value, for a tree to split off


def features(known: Mapping[str, Domain], config: Mapping[str, Any]) -> list[float]:
    """Return a configuration as numbers for trees to split.

    A number is its share of its range, of its logarithm where it is drawn so. A choice of numbers
    is its place among them by size; of texts, a flag for each part that any has between "+".
    """
    found: list[float] = []
    for name, domain in known.items():
        found += _features(domain, config.get(name))
    return found


def _features(domain: Domain, value: Any) -> list[float]:
    if not domain.choices:
        return [_ABSENT if value is None else domain.share(value)]
    if not isinstance(domain.choices[0], str):
        return [_ABSENT if value is None else float(sorted(domain.choices).index(value))]
    parts = list(dict.fromkeys(part for text in domain.choices for part in text.split("+")))
    return [_ABSENT if value is None else float(part in value.split("+")) for part in parts]


class Trees:
    """A random forest with one or several outputs; its answer is the mean over its trees."""

    def __init__(self, points: Sequence[Sequence[float]], targets: Floats, seed: int = 0) -> None:
        """Fit to targets [points, outputs]."""
        forest = RandomForestRegressor(_TREES, random_state=seed)
        forest.fit(np.array(points), targets if targets.shape[1] > 1 else targets[:, 0])
        self.predict: Callable[[Any], Floats] = forest.predict
        trees = [each.tree_ for each in forest.estimators_]
        size, self._depth = max(t.node_count for t in trees), max(t.max_depth for t in trees)
        self._every = np.arange(len(trees))

        def stacked(name: str) -> NDArray[Any]:
            arrays = [getattr(tree, name) for tree in trees]
            rest = [(0, 0)] * (arrays[0].ndim - 1)
            return np.stack([np.pad(a, [(0, size - len(a)), *rest]) for a in arrays])

        self._feature, self._threshold = stacked("feature"), stacked("threshold")
        self._left, self._right = stacked("children_left"), stacked("children_right")
        self._value = stacked("value")[..., 0]  # [trees, nodes, outputs]

    def at(self, point: Sequence[float]) -> Floats:
        """Return the outputs at one point: `predict` without its 10 ms of overhead."""
        values = np.array(point, np.float32)  # as sklearn compares
        node = np.zeros_like(self._every)
        for _ in range(self._depth):
            feature = self._feature[self._every, node]
            left = values[feature] <= self._threshold[self._every, node]
            child = np.where(left, self._left[self._every, node], self._right[self._every, node])
            node = np.where(feature < 0, node, child)  # a leaf stays
        answer: Floats = self._value[self._every, node].mean(axis=0)
        return answer


def left_out(points: Sequence[Sequence[float]], targets: Floats, seed: int = 0) -> Floats:
    """Return what a forest predicts of each tenth of the points by the others, [points, outputs].

    Of a single point there is nothing to predict it by: its targets are returned.
    """
    if len(points) < 2:
        return targets
    parts = KFold(min(_PARTS, len(points)), shuffle=True, random_state=seed)
    forest = RandomForestRegressor(_TREES, random_state=seed)
    found: Floats = cross_val_predict(forest, np.array(points), targets, cv=parts)
    return found
