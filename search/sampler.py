"""Proposes configurations: an Optuna sampler, seeded per trial, over a view of the journal.

The view is an in-memory study that mirrors the journal's trials. Sampling there first lets a
duplicate be replaced before anything is written, and makes the journal's record of a new trial
one single line: a kill leaves a trial asked for or not, never half asked.
"""

import json
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.experiment import Space
from trainables.seeds import derive

# Beyond this many duplicates in a row the sampler is stuck on a point: random draws go on.
_SAMPLER_TRIES = 10
_RANDOM_TRIES = 200


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return a fresh sampler; its whole state is its seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return TPESampler(seed=seed, multivariate=True, group=True)
        if name == "gp":
            return GPSampler(seed=seed, deterministic_objective=False)
        return RandomSampler(seed=seed)


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


class FixedTrial:
    """An Optuna trial in which some hyperparameters are held: the sampler never sees those."""

    def __init__(self, trial: optuna.Trial, fixed: Mapping[str, Any]) -> None:
        """Hold `fixed`, ask `trial` for the rest."""
        self._trial = trial
        self._fixed = fixed

    def __getattr__(self, method: str) -> Any:
        """Answer a held name at once; pass every other suggestion on."""

        def suggest(name: str, *args: Any, **kwargs: Any) -> Any:
            if name in self._fixed:
                return self._fixed[name]
            value = getattr(self._trial, method)(name, *args, **kwargs)
            # Optuna's third step of 0.1 is 0.30000000000000004, which 0.3 should be equal to.
            return round(value, 12) if kwargs.get("step") is not None else value

        return suggest


class Proposer:
    """Draws the configuration of the next trial, never one that the study already has."""

    def __init__(self, space: Space, fixed: Mapping[str, Any], sampler: str, seed: int) -> None:
        """Begin with an empty view."""
        self._space = space
        self._fixed = dict(fixed)
        self._sampler = sampler
        self._seed = seed
        self._view = optuna.create_study(direction="maximize")
        self._open: dict[int, optuna.Trial] = {}  # by the journal's number
        self._known: set[str] = set()

    def add(self, trial: FrozenTrial) -> None:
        """Take over a trial of the journal as it is now: a new one, or one that has ended."""
        begun = self._open.pop(trial.number, None)
        if begun is None:
            self._take(trial.number, trial)
        else:
            self._finish(begun, trial)

    def _take(self, number: int, trial: FrozenTrial) -> None:
        self._view.add_trial(trial)
        self._known.add(_key(trial.user_attrs["config"]))
        if not trial.state.is_finished():
            identifier = self._view.get_trials(deepcopy=False)[-1]._trial_id
            self._view.sampler = RandomSampler()  # a handle only: nothing is drawn
            self._open[number] = optuna.Trial(self._view, identifier)

    def propose(self, number: int, given: Mapping[str, Any] | None = None) -> FrozenTrial | None:
        """Return trial `number`, running and with its config, or None: nothing new is left.

        A pure function of the seed, the number, the trials added before, and the configuration
        `given`, which is taken as it is (a repeat of one that the study has is replaced).
        """
        if given is not None:
            self._view.enqueue_trial(dict(given))
        for attempt in range(_SAMPLER_TRIES + _RANDOM_TRIES):
            name = self._sampler if attempt < _SAMPLER_TRIES else "random"
            self._view.sampler = make_sampler(name, derive(self._seed, "sampler", number, attempt))
            asked = self._view.ask()
            config = self._space(FixedTrial(asked, self._fixed))
            # Samplers look past failed trials. One that was asked for holds more than the journal
            # will (what was drawn for hyperparameters not in force): it never stays as it is.
            self._view.tell(asked, state=TrialState.FAIL)
            if _key(config) not in self._known:
                proposal = _running(asked, config)
                self._take(number, proposal)
                return proposal
        return None

    def _finish(self, begun: optuna.Trial, trial: FrozenTrial) -> None:
        # A trial that an earlier driver began came here with the reports it had then.
        had = self._view.get_trials(deepcopy=False)[begun.number]
        for step, value in sorted(trial.intermediate_values.items()):
            if step not in had.intermediate_values:
                begun.report(value, step)
        for name, excess in trial.constraints.items():
            if name not in had.constraints:
                begun.set_constraint(name, excess)
        values = trial.values if trial.state == TrialState.COMPLETE else None
        self._view.tell(begun, values, state=trial.state)


def _running(asked: optuna.Trial, config: dict[str, Any]) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=asked.params,
        distributions=asked.distributions,
        user_attrs={"config": config},
    )
