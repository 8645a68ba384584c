"""The sampler `additive`: Thompson sampling from a Bayesian additive model of the accuracy.

A linear model over the columns of `search.additive_basis` is fitted to all trials that have ended,
stopped ones included. A proposal is the best configuration of a function drawn from its posterior,
so trials that run at the same time differ without knowing of each other. The model is linear, so a
proposal takes milliseconds, however many workers ask. Thompson sampling: Russo et al., "A Tutorial
on Thompson Sampling", 2018; the posterior: Bishop, "Pattern Recognition and Machine Learning",
2006, sections 3.3 and 3.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search.additive_basis import Basis, Floats
from search.experiment import Space

STARTUP = 10  # trials with a value, before which configurations are drawn at random
# This share of proposals is drawn at random, for the best one may lie where the model is wrong.
RANDOM_SHARE = 0.1
# The worst quarter counts as equally bad, so that the model need not tell bad ones apart. Chosen
# on the tables of benchmarks/sampler_tables.py, the next on benchmarks/curves (README there).
_FLOOR = 0.25
# A trial that was stopped after n epochs counts n / (n + 3) of one with many.
_EPOCHS_FOR_HALF = 3.0
# Variance of the noise over that of a weight: the one with the highest evidence is taken.
_RATIOS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_CONSTANT = 1e-3  # the constant may lie anywhere: its variance is 1,000 times a weight's


@dataclass(frozen=True)
class _Seen:
    """What a trial that has ended says: its row of the model, its best accuracy epoch by epoch.

    `whole` tells that it had all epochs that its configuration asks for.
    """

    row: Floats
    curve: Floats  # empty: it did not fit, or diverged
    whole: bool


class Additive:
    """Proposes configurations of one space."""

    def __init__(self, space: Space, fixed: Mapping[str, Any]) -> None:
        """Model the hyperparameters that are not `fixed`."""
        self._basis = Basis(space, fixed)
        self._seen: dict[int, _Seen] = {}

    def propose(self, trials: Sequence[FrozenTrial], seed: int) -> dict[str, Any] | None:
        """Return the next configuration, or None where it is to be drawn at random.

        A pure function of the trials that have ended and the seed.
        """
        seen = [self._seen_of(trial) for trial in trials if trial.state.is_finished()]
        rng = np.random.default_rng(seed)
        if sum(len(each.curve) > 0 for each in seen) < STARTUP or rng.random() < RANDOM_SHARE:
            return None
        values, weights = _targets(seen)
        drawn = draw(np.array([each.row for each in seen]), values, weights, rng)
        return self._basis.highest(drawn, rng)

    def _seen_of(self, trial: FrozenTrial) -> _Seen:
        found = self._seen.get(trial.number)
        if found is None:
            row = self._basis.row(trial.user_attrs["config"])
            found = _Seen(row, _curve(trial), trial.state == TrialState.COMPLETE)
            self._seen[trial.number] = found
        return found


def _curve(trial: FrozenTrial) -> Floats:
    """Return the best accuracy until each epoch; empty for one that counts as infeasible."""
    if any(excess > 0 for excess in trial.constraints.values()):
        return np.zeros(0)
    reported = [value for _, value in sorted(trial.intermediate_values.items())]
    if not reported and trial.value is not None:
        reported = [trial.value]
    curve: Floats = np.maximum.accumulate(np.array(reported, float))
    return curve


def _targets(seen: Sequence[_Seen]) -> tuple[Floats, Floats]:
    """Return what to fit, of mean 0 and deviation 1, and how much each trial counts.

    Infeasible trials are as bad as the worst quarter. A whole one is what it reached, however many
    epochs it had: those may be a hyperparameter.
    """
    curves = [each.curve for each in seen]
    known = np.array([len(curve) > 0 for curve in curves])
    lengths = np.array([len(curve) for curve in curves])
    values = np.zeros(len(curves))
    values[known] = extrapolated([curve for curve in curves if len(curve)])
    whole = known & np.array([each.whole for each in seen])
    for place in np.flatnonzero(whole):
        values[place] = curves[place][-1]
    floor = np.quantile(values[known], _FLOOR)
    values = np.where(known, np.maximum(values, floor), floor)
    longest = lengths.max()
    share = lengths / (lengths + _EPOCHS_FOR_HALF) * (longest + _EPOCHS_FOR_HALF) / longest
    weights = np.where(known & ~whole, share, 1.0)
    values -= np.average(values, weights=weights)
    return values / (values.std() or 1.0), weights


def extrapolated(curves: Sequence[Floats]) -> Floats:
    """Return what each trial would have reached in as many epochs as the longest, on average.

    In every epoch that it lacks, it gains the mean of those that trained it. Those are the better
    ones, so what bad trials would reach is guessed too high; their order stays.
    """
    longest = max(len(curve) for curve in curves)
    padded = np.full((len(curves), longest), np.nan)
    for place, curve in enumerate(curves):
        padded[place, : len(curve)] = curve
    gains = np.nanmean(np.diff(padded, axis=1), axis=0)  # [longest - 1]; the longest knows all
    to_come = np.append(np.cumsum(gains[::-1])[::-1], 0.0)  # after epoch 1, 2, ...
    ends = np.array([len(curve) - 1 for curve in curves])
    found: Floats = padded[np.arange(len(curves)), ends] + to_come[ends]
    return found


def draw(rows: Floats, values: Floats, weights: Floats, rng: np.random.Generator) -> Floats:
    """Return weights of the model, [width], drawn from their posterior.

    `rows`: [trials, width]; `values`: [trials]; `weights`: [trials], the inverse of a trial's
    variance of noise relative to the others'. Of the ratios of noise to prior variance the one
    with the highest evidence counts.
    """
    prior = np.ones(rows.shape[1])
    prior[-1] = _CONSTANT
    weighted = rows * weights[:, None]
    products, moments = weighted.T @ rows, weighted.T @ values
    square = float(weights @ values**2)
    count, width = rows.shape
    fits = [_fit(products + np.diag(r * prior), moments, square, count) for r in _RATIOS]
    evidence = [
        -0.5 * count * np.log(fit.noise) - fit.log_root + 0.5 * width * np.log(ratio)
        for ratio, fit in zip(_RATIOS, fits, strict=True)
    ]
    best = fits[int(np.argmax(evidence))]
    apart = np.linalg.solve(best.root.T, rng.standard_normal(width))
    drawn: Floats = best.mean + np.sqrt(best.noise) * apart
    return drawn


@dataclass(frozen=True)
class _Fit:
    mean: Floats
    root: Floats  # Cholesky factor of the precision over the noise's
    log_root: float  # of its determinant
    noise: float  # variance


def _fit(precision: Floats, moments: Floats, square: float, count: int) -> _Fit:
    root = np.asarray(np.linalg.cholesky(precision), np.float64)
    mean = np.linalg.solve(root.T, np.linalg.solve(root, moments))
    noise = max((square - float(moments @ mean)) / count, 1e-6)
    return _Fit(mean, root, float(np.log(np.diag(root)).sum()), noise)
