"""Early stopping at a cost that does not grow with the study: the values of each rung, in order.

A pruner of `search.pruners` looks at all trials whenever it is asked, which at 10,000 trials takes
longer than many epochs. This keeps what it would find, sorted, and gives the same answers.
"""

from bisect import bisect_right, insort

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.epochs import JudgedStudy
from search.experiment import Experiment
from search.names import ACCURACY
from search.pruners import AshaPruner, best_until, falls


class Judge:
    """Decides which trials stop. What it holds follows from the journal: nothing of it is kept.

    For ASHA and Hyperband an answer takes about log2(n) comparisons at n trials, and moving at
    most 8 n bytes. Median asks Optuna's own pruner, which looks at all trials that have ended.
    """

    def __init__(
        self,
        experiment: Experiment,
        study: Study,
        pruner: BasePruner,
        compared: str = ACCURACY,
    ) -> None:
        """Take in all trials of `study`; what is `compared` is told by `search.compared`."""
        self._judged = JudgedStudy(experiment, study, compared)
        self._pruner = pruner
        self._rungs: dict[tuple[int, int], list[float]] = {}  # by bracket and epoch, ascending
        self._known: dict[int, dict[int, float]] = {}  # by trial, then epoch
        for trial in study.get_trials(deepcopy=False):
            self.learn(trial)

    def learn(self, trial: FrozenTrial) -> None:
        """Take in a trial's new epochs, and whether it failed; again changes nothing."""
        if not isinstance(self._pruner, AshaPruner):
            return
        if trial.state == TrialState.FAIL:  # its values count no more
            for step, value in self._known.pop(trial.number, {}).items():
                self._rung(trial.number, step).remove(value)
            return
        judged = self._judged.judged(trial)
        known = self._known.get(trial.number, {})
        for step in self._pruner.steps:
            if step in judged.intermediate_values and step not in known:
                known = self._known.setdefault(trial.number, known)
                known[step] = best_until(judged, step)
                insort(self._rung(trial.number, step), known[step])

    def _rung(self, number: int, step: int) -> list[float]:
        assert isinstance(self._pruner, AshaPruner)
        bracket = self._pruner.bracket(self._judged, number)
        return self._rungs.setdefault((bracket, step), [])

    def stops(self, trial: FrozenTrial) -> bool:
        """Tell whether a trial that has been taken in stops at its latest epoch."""
        judged = self._judged.judged(trial)
        step = judged.last_step
        if step is None:
            return False
        if not isinstance(self._pruner, AshaPruner):
            # A stand-in with all that pruners ask a study for.
            return self._pruner.prune(self._judged, judged)  # type: ignore[arg-type]
        bracket = self._pruner.bracket(self._judged, trial.number)
        if step not in self._pruner.steps[bracket:]:
            return False
        values = self._rungs[bracket, step]
        better = len(values) - bisect_right(values, self._known[trial.number][step])
        return falls(better, len(values))
