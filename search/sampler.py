"""Proposes configurations: an Optuna sampler, seeded per trial, over a view of the journal.

A proposal is drawn in a study of its own, in memory, that shows the journal's trials (see
`search.history`). So a duplicate is replaced before anything is written, and the journal's record
of a new trial is one single line: a kill leaves a trial asked for or not, never half asked.
"""

import random
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.additive import Additive
from search.domains import as_float, config_key, outside
from search.experiment import Space
from search.grid import first_points
from search.history import History, Shown
from search.prior import Prior
from search.tpe import QuickTPE, make_tpe
from trainables.seeds import derive

# Samplers beside TPE and GP: what they leave open is drawn at random.
_AT_RANDOM = ("random", "additive", "grid")
# Beyond this many duplicates in a row the sampler is stuck on a point: random draws go on.
_SAMPLER_TRIES = 10
_RANDOM_TRIES = 200
# So many configurations of a space are walked at least for those that draws have missed.
_WALKED = 10_000


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return a fresh sampler, but for TPE (`search.tpe`); its whole state is its seed.

    Raises:
        ValueError: no such sampler.
    """
    if name not in (known := ("gp", *_AT_RANDOM)):
        raise ValueError(f"sampler must be one of {', '.join(known)}, but got {name!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "gp":
            return GPSampler(seed=seed, deterministic_objective=False)
        return RandomSampler(seed=seed)


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
                value = self._fixed[name]
            else:
                value = getattr(self._trial, method)(name, *args, **kwargs)
                # Optuna's third step of 0.1 is 0.30000000000000004, which 0.3 should be equal to.
                value = round(value, 12) if kwargs.get("step") is not None else value
            return as_float(value) if method == "suggest_float" else value

        return suggest


class Proposer:
    """Draws the configuration of the next trial, never one that the study already has."""

    def __init__(
        self,
        space: Space,
        fixed: Mapping[str, Any],
        sampler: str,
        seed: int,
        repeats: bool = False,
        published: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin with an empty view. With `repeats` a given configuration may come again.

        The sampler `prior` goes by the `published` configuration; others do without it.
        """
        self._space = space
        self._fixed = dict(fixed)
        self._sampler = sampler
        self._seed = seed
        self._repeats = repeats
        self._view = History()
        self._additive: Additive | None = None
        base = {n: value for n, value in (published or {}).items() if n not in self._fixed}
        self._prior = Prior(base)
        self._known: set[str] = set()
        self._walked = 0
        self._left: list[
            dict[str, Any]
        ] = []  # of those walked, what was not known when last asked

    def add(self, trial: FrozenTrial) -> None:
        """Take over a trial of the journal as it is now: a new one, or one that has ended."""
        self._view.put(trial)
        self._prior.add(trial)
        self._known.add(config_key(trial.user_attrs["config"]))

    def propose(self, number: int, given: Mapping[str, Any] | None = None) -> FrozenTrial | None:
        """Return trial `number`, running and with its config, or None: nothing new is left.

        A pure function of the seed, the number, the trials added before, and the configuration
        `given`, which is taken as it is (a repeat of one that the study has is replaced, unless
        repeats are wanted).
        """
        chosen = self._view.chosen(self._sampler, derive(self._seed, "history", number))
        wanted = self._repeats and given is not None
        for attempt in range(_SAMPLER_TRIES + _RANDOM_TRIES):
            asked, config = self._drawn(chosen, number, attempt, given)
            if wanted or config_key(config) not in self._known:
                return self._taken(number, asked, config)
        return self._rest(number)

    def _drawn(
        self, chosen: list[int], number: int, attempt: int, given: Mapping[str, Any] | None
    ) -> tuple[optuna.Trial, dict[str, Any]]:
        """Return a new trial and its configuration: the one that is given, or one that is drawn.

        What is kept of another one, and lies outside a range beside what is drawn, is drawn, too.
        """
        if given is not None and not attempt:
            return self._asked(self._study(chosen, number, attempt), given)
        first = self._ours(chosen, number, attempt)
        while True:
            asked, config = self._asked(self._study(chosen, number, attempt), first)
            left = {domain.name for domain in outside(self._space, config, self._fixed)}
            kept = {name: value for name, value in (first or {}).items() if name not in left}
            if first is None or len(kept) == len(first):
                return asked, config
            first = kept

    def _study(self, chosen: list[int], number: int, attempt: int) -> optuna.Study:
        """Return a study of its own that shows the chosen trials, where its sampler looks."""
        seed = derive(self._seed, "sampler", number, attempt)
        name = self._sampler if attempt < _SAMPLER_TRIES else "random"
        by_tpe = name in ("prior", "tpe")
        made = make_tpe(seed, self._view.columns, chosen) if by_tpe else make_sampler(name, seed)
        shown = [] if isinstance(made, QuickTPE | RandomSampler) else self._view.shown(chosen)
        return optuna.create_study(storage=Shown(shown), sampler=made, direction="maximize")

    def _rest(self, number: int) -> FrozenTrial | None:
        """Return one of the last configurations of a finite space, which draws rarely hit."""
        count = _to_walk(number)
        if count > self._walked:
            self._left = first_points(self._space, self._fixed, count) or []
            self._walked = count
        self._left = [point for point in self._left if config_key(point) not in self._known]
        if not self._left:
            return None
        chosen = random.Random(derive(self._seed, "rest", number)).choice(self._left)
        study = optuna.create_study(sampler=make_sampler("random", 0), direction="maximize")
        return self._taken(number, *self._asked(study, chosen))

    def _asked(
        self, study: optuna.Study, first: Mapping[str, Any] | None
    ) -> tuple[optuna.Trial, dict[str, Any]]:
        """Return a new trial of `study` and its configuration: `first`, or a drawn one."""
        if first is not None:
            study.enqueue_trial(dict(first))
        asked = study.ask()
        return asked, self._space(FixedTrial(asked, self._fixed))

    def _taken(self, number: int, asked: optuna.Trial, config: dict[str, Any]) -> FrozenTrial:
        proposal = _running(number, asked, config)
        self.add(proposal)
        return proposal

    def _ours(self, chosen: list[int], number: int, attempt: int) -> dict[str, Any] | None:
        """Return what is not left to Optuna's sampler: all, a part or None."""
        if attempt >= _SAMPLER_TRIES or self._sampler not in ("additive", "prior"):
            return None
        seed = derive(self._seed, self._sampler, number, attempt)
        if self._sampler == "prior":
            return self._prior.kept(self._view.columns, chosen, seed, attempt)
        if self._additive is None:
            self._additive = Additive(self._space, self._fixed)
        return self._additive.propose(self._view.shown(chosen), seed)


def _to_walk(number: int) -> int:
    """Return how many configurations are walked for trial `number`: twice as many as come before.

    One of them is always new. Doubled, so that the walk, of a second or so, is seldom done again.
    """
    count = _WALKED
    while count < 2 * number:
        count *= 2
    return count


def _running(number: int, asked: optuna.Trial, config: dict[str, Any]) -> FrozenTrial:
    """Return what was asked for, without what was drawn for hyperparameters not in force."""
    trial = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=asked.params,
        distributions=asked.distributions,
        user_attrs={"config": config},
    )
    trial.number = number
    return trial
