"""The sampler of OptunaSearch, TPE at Optuna's defaults, with trials kept as arrays.

The same proposals to the bit (tested): with thousands of trials behind, Optuna's own takes a tenth
of a second for each, in loops over all of them. Only replayed searches use it
(benchmarks/stock_search.py); peers and benchmarks that take time search with Optuna's own.
"""

from typing import Any

from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.tpe import Columns, Distributions, best_drawn

_USED = (TrialState.COMPLETE, TrialState.PRUNED)


class StockSampler(TPESampler):
    """Samples for one study, whose trials are asked for one after the other."""

    def __init__(self, seed: int) -> None:
        """Begin without trials."""
        super().__init__(seed=seed)
        self._columns = Columns()
        self._ended: list[int] = []
        self._running: set[int] = set()
        self._seen = 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Distributions:
        """Return what all trials that have ended had: Optuna's `IntersectionSearchSpace`."""
        self._take_in(study, trial.number)
        first, *others = self._columns.distributions(self._ended) or [{}]
        return {
            name: own
            for name, own in sorted(first.items())
            if not own.single() and all(other.get(name) == own for other in others)
        }

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: Distributions
    ) -> dict[str, Any]:
        """Return a value for each hyperparameter, as the method of the same name does.

        Optuna has asked for the search space before.
        """
        numbers = [*self._ended, *self._running]
        return best_drawn(self, self._columns, numbers, search_space)

    def _take_in(self, study: Study, asked: int) -> None:
        """Look at the trials that are new or were running; all before `asked` have begun."""
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        for number in (*sorted(self._running), *range(self._seen, asked)):
            state = trials[number].state
            if state.is_finished() or number >= self._seen:
                self._columns.put(trials[number])
            if state.is_finished():
                self._running.discard(number)
                self._ended += [number] if state in _USED else []
            else:
                self._running.add(number)
        self._seen = asked
