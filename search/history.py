"""What a sampler sees of the trials before: all of them, or beyond a bound the ones that matter.

A sampler's time grows with the trials it sees. TPE tells the 25 best from the rest and fits a
density to each: so the best stay, and of the rest a random sample has the same density. Which, is
a pure function of the trials and a seed.
"""

import bisect
import copy
import random
from collections.abc import Container, Iterable

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from search.tpe import Columns, Rank, rank

# Trials that have ended: how many are shown, and how many of them are the best.
# Optuna's TPE calls a tenth of what it sees good, 25 at most: both numbers follow from that. The
# cost of a Gaussian process grows with the cube of the trials; near the best it should know most.
# The additive model's cost grows with the trials: TPE's bound, and more of the best.
BOUNDS = {"additive": (1000, 50), "gp": (200, 50), "prior": (1000, 25), "tpe": (1000, 25)}
_USED = (TrialState.COMPLETE, TrialState.PRUNED)  # samplers look past failed trials


class Shown(InMemoryStorage):
    """The storage of one proposal: an empty study to which some earlier trials are added."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        """Show `trials` beside what is asked for here, which gets number 0."""
        super().__init__()
        self._shown = trials

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the shown trials and the study's own."""
        shown = [t for t in self._shown if states is None or t.state in states]
        own = super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [*(copy.deepcopy(shown) if deepcopy else shown), *own]


class History:
    """The trials that a sampler may learn from, by number."""

    def __init__(self) -> None:
        """Begin without trials."""
        self._trials: dict[int, FrozenTrial] = {}
        self._running: set[int] = set()
        self._ended: list[int] = []  # sorted
        self._ranked: list[tuple[Rank, int]] = []  # best first
        self.columns = Columns()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return [self._trials[number] for number in sorted(self._trials)]

    def put(self, trial: FrozenTrial) -> None:
        """Take in a trial as it is now: a new one, or one that has ended."""
        number = trial.number
        kept = copy.copy(trial)
        kept.number = number + 1  # 0 is the one that is asked for: see `Shown`
        self._trials[number] = kept
        self.columns.put(trial)
        self._running.discard(number)
        if not trial.state.is_finished():
            self._running.add(number)
        elif trial.state in _USED:
            bisect.insort(self._ended, number)
            bisect.insort(self._ranked, (rank(trial), number))

    def chosen(self, sampler: str, seed: int) -> list[int]:
        """Return which trials `sampler` is to see, in order: what `shown` and `columns` take."""
        if sampler not in BOUNDS:
            return []  # it draws without looking
        return sorted(self._chosen(*BOUNDS[sampler], seed) | self._running)

    def shown(self, chosen: Iterable[int]) -> list[FrozenTrial]:
        """Return those trials as `Shown` shows them, by numbers from 1 on."""
        return [self._trials[number] for number in chosen]

    def _chosen(self, limit: int, best: int, seed: int) -> set[int]:
        if len(self._ended) <= limit:
            return set(self._ended)
        chosen = {number for _, number in self._ranked[:best]}
        # So many that enough are left when those that are among the best do not count.
        for number in random.Random(seed).sample(self._ended, limit):
            if len(chosen) < limit:
                chosen.add(number)
        return chosen
