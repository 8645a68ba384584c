"""Optuna's TPE with trials kept as arrays: the same proposals to the bit, sooner.

For every proposal Optuna 5.0 goes through all trials in Python several times: for the groups of
hyperparameters that are in force together, to rank them, and for the values that they had. Trials
that have ended never change, so here each is looked at once. What is done with the values, the
densities and the draws, is Optuna's own.

The method: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011, section 4;
several hyperparameters at once: Falkner et al., "BOHB", 2018, section 3.2.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

Distributions = dict[str, BaseDistribution]
Rank = tuple[float, float, float]
# The one whose inner methods are overridden here; any other has its own sampler, slower.
_KNOWN = "5.0."
_AT_RANDOM = 10  # Optuna's default: trials that have ended before it looks at any
_RUNS: Rank = (math.inf, 0.0, 0.0)  # a trial that has not ended has no rank


def rank(trial: FrozenTrial) -> Rank:
    """Return a key that sorts ended trials as TPE does, the best first; of equals the earlier.

    By value, then stopped ones by how far they came, then infeasible ones. From
    `optuna.samplers._tpe.sampler._split_trials`, for a value to be maximized.
    """
    excess = sum(value for value in trial.constraints.values() if value > 0)
    if excess > 0:
        return 2.0, excess, 0.0
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return 0.0, -trial.value, 0.0
    if not trial.intermediate_values:
        return 1.0, 1.0, 0.0
    step, value = max(trial.intermediate_values.items())
    return 1.0, -step, math.inf if math.isnan(value) else -value


class Columns:
    """What TPE asks of trials, as arrays with a row for each number."""

    def __init__(self) -> None:
        """Begin without trials."""
        self._places: dict[str, int] = {}  # hyperparameter -> column
        self._values = np.full((64, 0), math.nan)  # as distributions hold them; NaN: not in force
        self._ranks = np.full((64, 3), math.nan)
        self._kinds = np.zeros(64, int)  # places in what follows
        self._distributions: dict[frozenset[Any], tuple[int, Distributions]] = {}

    def put(self, trial: FrozenTrial) -> None:
        """Take in a trial as it is now: a new one, or one that has ended."""
        number, own = trial.number, trial.distributions
        while number >= len(self._ranks):
            self._grow()
        self._ranks[number] = rank(trial) if trial.state.is_finished() else _RUNS
        kind = self._distributions.setdefault(
            frozenset(own.items()), (len(self._distributions), own)
        )
        self._kinds[number] = kind[0]
        for name, distribution in own.items():
            place = self._place(name)
            self._values[number, place] = distribution.to_internal_repr(trial.params[name])

    def has_ended(self, numbers: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Tell of each trial whether it has ended."""
        told: NDArray[Any] = self._ranks[np.asarray(numbers, int), 0] != math.inf
        return told

    def distributions(self, numbers: Sequence[int]) -> list[Distributions]:
        """Return those of ended trials, each kind once, in the order in which they come first."""
        rows = np.asarray(numbers, int)
        kinds = self._kinds[rows[self.has_ended(rows)]]
        _, first = np.unique(kinds, return_index=True)
        known = [own for _, own in self._distributions.values()]
        return [known[kinds[place]] for place in np.sort(first)]

    def split(
        self, numbers: Sequence[int], good: Callable[[int], int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the numbers of the best, and of all others, running ones too; each in order.

        `good` tells of how many ended trials how many are the best.
        """
        rows = np.sort(np.asarray(numbers, int))
        kind, first, second = self._ranks[rows].T
        chosen = np.zeros(len(rows), bool)
        chosen[np.lexsort((second, first, kind))[: good(int(np.sum(self.has_ended(rows))))]] = True
        return rows[chosen], rows[~chosen]

    def values(self, rows: NDArray[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the values of hyperparameters in those trials that have all of them."""
        places = [self._place(name) for name in names]  # a new one widens the table
        table = self._values[rows][:, places]
        table = table[~np.isnan(table).any(axis=1)]
        return dict(zip(names, table.T, strict=True))

    def _place(self, name: str) -> int:
        if name not in self._places:
            self._places[name] = len(self._places)
            column = np.full((len(self._values), 1), math.nan)
            self._values = np.hstack([self._values, column])
        return self._places[name]

    def _grow(self) -> None:
        self._values = np.vstack([self._values, np.full_like(self._values, math.nan)])
        self._ranks = np.vstack([self._ranks, np.full_like(self._ranks, math.nan)])
        self._kinds = np.concatenate([self._kinds, np.zeros_like(self._kinds)])


class QuickTPE(TPESampler):
    """Draws one proposal from what `columns` know of the trials `numbers`; shown it needs none."""

    def __init__(self, seed: int, columns: Columns, numbers: Sequence[int]) -> None:
        """Take the trials, of which `columns` must know all. At random until ten have ended."""
        begin = 0 if np.sum(columns.has_ended(numbers)) >= _AT_RANDOM else _AT_RANDOM
        super().__init__(seed=seed, multivariate=True, group=True, n_startup_trials=begin)
        self._columns = columns
        self._numbers = numbers

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Distributions:
        """Return what is drawn at once: all that some ended trial had, in its groups."""
        from optuna.search_space.group_decomposed import _SearchSpaceGroup

        group = _SearchSpaceGroup()
        for own in self._columns.distributions(self._numbers):
            group.add_distributions(own)
        self._search_space_group = group
        pairs = [pair for space in group.search_spaces for pair in sorted(space.items())]
        return {name: own for name, own in pairs if not own.single()}

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: Distributions
    ) -> dict[str, Any]:
        """Return a value for each hyperparameter, as the method of the same name does."""
        return best_drawn(self, self._columns, self._numbers, search_space)


def best_drawn(
    sampler: TPESampler,
    columns: Columns,
    numbers: Sequence[int],
    space: Mapping[str, BaseDistribution],
) -> dict[str, Any]:
    """Return what `TPESampler._sample` does, from trials of `columns`."""
    from optuna.samplers._tpe.sampler import default_gamma

    good, other = (
        sampler._parzen_estimator_cls(
            columns.values(rows, list(space)), dict(space), sampler._parzen_estimator_parameters
        )
        for rows in columns.split(numbers, default_gamma)
    )
    drawn = good.sample(sampler._rng.rng, sampler._n_ei_candidates)
    gains = sampler._compute_acquisition_func(drawn, good, other)
    best = sampler._compare(drawn, gains)
    return {name: own.to_external_repr(best[name]) for name, own in space.items()}


def _quicken() -> None:
    """Give TPE scipy's log of the normal distribution: Optuna's loops in Python, half its time."""
    from optuna.samplers._tpe import _truncnorm
    from scipy.special import log_ndtr

    _truncnorm._log_ndtr = log_ndtr  # type: ignore[assignment]  # a ufunc serves as the function


def make_tpe(seed: int, columns: Columns, numbers: Sequence[int]) -> TPESampler:
    """Return a fresh sampler of one proposal; its whole state is its seed and the trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if optuna.__version__.startswith(_KNOWN):
            _quicken()
            return QuickTPE(seed, columns, numbers)
        return TPESampler(seed=seed, multivariate=True, group=True)
