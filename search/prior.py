"""The sampler `prior`: keeps most of the published configuration, as long as that does well.

The configuration that a study begins with is mostly a good one, and good ones lie beside it: most
of its hyperparameters are kept, TPE draws the others. How often that is done, and how often TPE
draws all of them, is learnt from the trials that have ended, by Thompson sampling: a configuration
near the published one is drawn as often as such trials seem the likelier to end in the better
half. So where the published configuration is bad, little is lost.

A prior belief that is followed in part: Mallik et al., "PriorBand: Practical Hyperparameter
Optimization in the Age of Deep Learning", 2023, section 4. Thompson sampling: Russo et al., "A
Tutorial on Thompson Sampling", 2018, section 3. Measured: benchmarks/README.md, "Which search".
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from search.tpe import Columns

# The chance of each hyperparameter to be kept; where what was drawn is known already, and another
# is drawn, to the power of 2, 3, ...: what lies near is used up.
_KEPT = 0.75
# A trial is near the published one if it has at least this share of its hyperparameters.
_NEAR = 0.5
# Trials (in the better half, in the other) that each way is taken to have had before the first: so
# nine of ten configurations are near at first. Chosen from 3, 6 and 9 on benchmarks/curves.
_NEAR_BEFORE = (9, 1)
_FAR_BEFORE = (1, 1)


class Prior:
    """What proposals keep of one configuration, and what such trials have come to."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        """Take the configuration, without what the study holds for all trials."""
        self._base = dict(base)
        self._near: dict[int, bool] = {}

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial; its configuration is what counts."""
        same = [self._base.get(name) == value for name, value in trial.params.items()]
        self._near[trial.number] = sum(same) >= _NEAR * len(same)

    def kept(
        self, columns: Columns, chosen: Sequence[int], seed: int, again: int = 0
    ) -> dict[str, Any] | None:
        """Return what the next configuration has of the published one; None: TPE draws all.

        A pure function of the chosen trials, which `columns` knows, the seed, and how many
        configurations were drawn `again` before it, since the study had them.
        """
        rng = random.Random(seed)
        near, far = self._seen(columns, chosen)
        if rng.betavariate(*near) < rng.betavariate(*far):
            return None
        chance = _KEPT ** (1 + again)
        return {name: value for name, value in self._base.items() if rng.random() < chance}

    def _seen(self, columns: Columns, chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return of near trials and of others how many ended in the better half, and in the other.

        With those before the first. Trials that run say nothing.
        """
        better, others = columns.split(chosen, lambda ended: ended // 2)
        near, far = list(_NEAR_BEFORE), list(_FAR_BEFORE)
        for half, numbers in enumerate((better, others[columns.has_ended(others)])):
            for number in numbers.tolist():
                (near if self._near[number] else far)[half] += 1
        return near, far
