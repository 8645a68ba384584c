"""A search space as the columns of an additive model: one smooth curve per hyperparameter.

The accuracy of a configuration is modelled as a sum of one function per hyperparameter. A number
has a smooth function of where in its range it lies, a choice of numbers one of their order, and a
choice of words a free value each. What only some choices of another hyperparameter bring into
force has a function that those share, and one for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.domains import Domain, configuration, domains
from search.experiment import Space

Floats = NDArray[np.float64]

# A smooth function is a Gaussian process with squared-exponential covariance of this length, in
# shares of the range, held at so many knots; its variance is 1, as that of a word's value.
_LENGTH = 0.3
_KNOTS = np.linspace(0.0, 1.0, 6)
_TRIED = 64  # values of a number among which the highest is looked for


def _covariance(shares: Floats) -> Floats:
    found: Floats = np.exp(-((shares[:, None] - _KNOTS) ** 2) / (2 * _LENGTH**2))
    return found


# Turns covariances with the knots into columns whose weights are independent, of variance 1.
_WHITEN = np.linalg.inv(np.linalg.cholesky(_covariance(_KNOTS) + 1e-6 * np.eye(len(_KNOTS)))).T


@dataclass(frozen=True)
class Condition:
    """A hyperparameter is in force where `parent` is one of `choices`."""

    parent: str
    choices: tuple[Any, ...]


def conditions(space: Space, fixed: Mapping[str, Any]) -> dict[str, Condition]:
    """Return the condition of every hyperparameter that has one; of nested ones the innermost."""
    known = _free(space, fixed)
    found: dict[str, Condition] = {}
    pending: list[dict[str, Any]] = [{}]
    while pending:
        change = pending.pop(0)
        here = configuration(space, {**fixed, **change})
        for name in [n for n in here if n in known and known[n].choices and n not in change]:
            changes = [{**change, name: choice} for choice in known[name].choices]
            names = [set(configuration(space, {**fixed, **each})) for each in changes]
            always = set.intersection(*names)
            # In the order of the space: what is drawn for each must not hang on a set's own.
            for other in [o for o in known if o in set.union(*names) - always]:
                where = [each[name] for each, n in zip(changes, names, strict=True) if other in n]
                found[other] = Condition(name, tuple(where))
            pending += [e for e, n in zip(changes, names, strict=True) if n - always]
    return found


class Basis:
    """The columns of an additive model over the free hyperparameters of a space."""

    def __init__(self, space: Space, fixed: Mapping[str, Any]) -> None:
        """Lay out the columns; `fixed` hyperparameters have none. The last one is the constant."""
        self._space, self._fixed = space, dict(fixed)
        self._known = _free(space, fixed)
        self._conditions = conditions(space, fixed)
        self._places: dict[tuple[Any, ...], slice] = {}
        self.width = 0
        for name, domain in self._known.items():
            given = self._conditions.get(name)
            for key in [(name,), *((name, choice) for choice in (given.choices if given else ()))]:
                end = self.width + _columns(domain)
                self._places[key] = slice(self.width, end)
                self.width = end
        self.width += 1

    def row(self, config: Mapping[str, Any]) -> Floats:
        """Return the columns of a configuration, [width]."""
        row = np.zeros(self.width)
        row[-1] = 1.0
        for name, domain in self._known.items():
            if name in config:
                values = _features(domain, [config[name]])[0]
                for place in self._of(name, config):
                    row[place] = values
        return row

    def highest(self, weights: Floats, rng: np.random.Generator) -> dict[str, Any]:
        """Return the configuration for which `weights`, [width], give the highest sum.

        A number is looked for among 64 random ones of its range, so no two answers need be equal.
        """
        values: dict[str, Any] = {}
        for name in self._known:
            if name not in self._conditions:
                values |= self._best(name, weights, {}, rng)[1]
        return configuration(self._space, {**self._fixed, **values})

    def _of(self, name: str, config: Mapping[str, Any]) -> list[slice]:
        """Return where the columns of a hyperparameter are that count in a configuration."""
        given = self._conditions.get(name)
        keys = [(name,), (name, config.get(given.parent))] if given else [(name,)]
        return [self._places[key] for key in keys if key in self._places]

    def _best(
        self,
        name: str,
        weights: Floats,
        above: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> tuple[float, dict[str, Any]]:
        """Return the highest sum over a hyperparameter and what it brings, and their values."""
        domain = self._known[name]
        values = domain.choices or [domain.at(share) for share in rng.random(_TRIED)]
        own = sum(weights[place] for place in self._of(name, above))
        sums = _features(domain, values) @ own
        brought = [self._brought(name, value, weights, rng) for value in values]
        sums += [sum(part for part, _ in each) for each in brought]
        best = int(np.argmax(sums))
        found = {name: values[best]}
        for _, more in brought[best]:
            found |= more
        return float(sums[best]), found

    def _brought(
        self, name: str, value: Any, weights: Floats, rng: np.random.Generator
    ) -> list[tuple[float, dict[str, Any]]]:
        below = [n for n, c in self._conditions.items() if c.parent == name and value in c.choices]
        return [self._best(n, weights, {name: value}, rng) for n in below]


def _free(space: Space, fixed: Mapping[str, Any]) -> dict[str, Domain]:
    return {name: d for name, d in domains(space, fixed).items() if name not in fixed}


def _ordered(domain: Domain) -> bool:
    numbers = (isinstance(c, int | float) and not isinstance(c, bool) for c in domain.choices)
    return len(domain.choices) > 1 and all(numbers)


def _columns(domain: Domain) -> int:
    return len(domain.choices) if domain.choices and not _ordered(domain) else len(_KNOTS)


def _features(domain: Domain, values: Any) -> Floats:
    """Return the columns of values of one hyperparameter, [values, columns]."""
    if domain.choices and not _ordered(domain):
        # One that is held outside what is searched has no column of its own.
        return np.array([[float(value == c) for c in domain.choices] for value in values])
    if domain.choices:
        # Between the places of its neighbours, where the value itself is none of the choices.
        order = sorted(domain.choices)
        shares = np.interp(values, order, np.linspace(0.0, 1.0, len(order)))
    else:
        shares = np.array([domain.share(value) for value in values])
    found: Floats = _covariance(np.asarray(shares)) @ _WHITEN
    return found
