"""How recorded runs lie around what a forest predicts, by seed and by configuration.

A forest gives a mean. What it cannot know of a configuration stays with it whatever the seed, what
a seed does is another time another: a search can find the first and is misled by the second.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from benchmarks.replay_trees import Floats
from search.errors import UsageError

_ALIKE = 8  # what is drawn is of a configuration among so many of about the same accuracy


class Noise:
    """What runs differ from the mean of their configuration's.

    As they were recorded: n values lie nearer to their own mean than to the truth, but to widen
    them by sqrt(n / (n - 1)) widens above the mean what is long below it alone (seeds that learn
    nothing). Of the best of 24, 50, 100 random trials 0.035, 0.043, 0.055 were luck then; as they
    are it is 0.018, 0.025, 0.033, of recorded runs 0.019, 0.028, 0.037 (replay_luck.py).
    """

    def __init__(self, groups: Sequence[Floats]) -> None:
        """Take the curves, [repeats, kinds, epochs], of every configuration.

        Raises:
            UsageError: none was recorded twice, so nothing tells how seeds differ.
        """
        levels, noises, variances = [], [], []
        for curves in groups:
            if len(curves) > 1:
                mean = curves.mean(axis=0)
                levels.append(float(mean[0].max()))
                noises.append(curves - mean)
                variances.append(curves.var(axis=0, ddof=1).mean(axis=1) / len(curves))
        if not levels:
            raise UsageError(["no configuration was recorded with two seeds: noise is unknown"])
        # Variance of a mean curve, epoch by epoch, [kinds].
        self.of_a_mean: Floats = np.mean(variances, axis=0)
        order = np.argsort(levels, kind="stable")
        self._levels = np.array(levels)[order]
        self._noises = [noises[place] for place in order]

    def draw(self, key: bytes, level: float, seed: int) -> Floats:
        """Return whole curves of noise, [kinds, epochs], of a configuration about as accurate.

        Another for every configuration, told apart by its key: what a seed does to one, good or
        bad, it does not do to others.
        """
        rng = np.random.default_rng([seed, zlib.crc32(key)])
        chosen = self._noises[int(rng.choice(_alike(self._levels, level)))]
        noise: Floats = chosen[int(rng.integers(len(chosen)))]
        return noise

    def all(self, level: float) -> Floats:
        """Return all that `draw` may give, [curves, kinds, epochs], each configuration as often.

        Where configurations differ in their repeats, those of fewer come more than once.
        """
        near = [self._noises[place] for place in _alike(self._levels, level)]
        longest = int(np.lcm.reduce([len(each) for each in near]))
        return np.concatenate([np.repeat(each, longest // len(each), axis=0) for each in near])


class Apart:
    """How far the mean curve of a configuration lies from the forest's, another for each.

    Drawn by a hash of the configuration from those of recorded ones about as accurate, each as
    trees that had not seen it predict it, and narrowed by what is but noise of their few seeds.
    Of recorded neighbours it tells next to nothing: their correlation was 0.07 to 0.19.
    """

    def __init__(self, predicted: Floats, means: Floats, noise: Floats) -> None:
        """Take what was predicted of, and what was, each mean: [configurations, kinds, epochs].

        `noise` is the variance of such a mean over seeds, [kinds].
        """
        levels = predicted[:, 0].max(axis=1)
        order = np.argsort(levels, kind="stable")
        self._levels = levels[order]
        apart = (means - predicted)[order]
        whole = (apart**2).mean(axis=(0, 2))
        known = np.divide(noise, whole, out=np.ones_like(whole), where=whole > 0)
        share = np.maximum(0.0, 1.0 - known)  # of the variance
        self._apart = apart * np.sqrt(share)[:, None]

    def of(self, key: bytes, level: float) -> Floats:
        """Return what the configuration of that key has for its own, [kinds, epochs]."""
        near = _alike(self._levels, level)
        found: Floats = self._apart[near[zlib.crc32(key) % len(near)]]
        return found


def _alike(levels: Floats, level: float) -> range:
    """Return the places of the nearest of ascending levels."""
    count = min(_ALIKE, len(levels))
    low = high = int(np.searchsorted(levels, level))
    while high - low < count:
        below = level - levels[low - 1] if low else np.inf
        above = levels[high] - level if high < len(levels) else np.inf
        low, high = (low - 1, high) if below <= above else (low, high + 1)
    return range(low, high)
