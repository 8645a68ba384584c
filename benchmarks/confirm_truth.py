"""Intervals and letters of `search.statistics` on simulated studies whose truth is known.

python -m benchmarks.confirm_truth                      every table, in about a minute
python -m benchmarks.confirm_truth --repetitions 1000   rougher, in seconds
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from search.statistics import (
    SIGNIFICANCE,
    pairwise_p,
    recommend,
    student_bounds,
    wilson_interval,
)
from trainables.seeds import derive

SEEDS = (3, 5, 10)
CONFIGURATIONS = (2, 3, 4, 5, 6)
# Of the best over the others, in standard deviations of one accuracy, as far as that can be.
_ADVANTAGE = 3.0
_RECOMMENDED = 500  # repetitions of what is computed one study at a time
_PART = 10_000  # studies simulated at once


@dataclass(frozen=True)
class Noise:
    """Where accuracies differ: between seeds, of which a part is common to all configurations.

    `accuracy` is the true mean, `sd` that of a seed's own true accuracy around it, `common` the
    share of its variance that all configurations have of the same seed (order of the images), and
    `images` those of the test split, whose count adds binomial noise.
    """

    name: str
    accuracy: float
    sd: float
    common: float
    images: int

    @property
    def spread(self) -> float:
        """Standard deviation of one measured accuracy."""
        return float(np.hypot(self.sd, np.sqrt(self.accuracy * (1 - self.accuracy) / self.images)))


NOISES = (
    Noise("beans: 128 images, seeds differ by 0.016", 0.70, 0.016, 0.25, 128),
    Noise("CIFAR-10: 4,000 images, seeds differ by 0.004", 0.75, 0.004, 0.25, 4000),
    Noise("coarse: 50 images, nearly all right", 0.97, 0.005, 0.0, 50),
)


@dataclass(frozen=True)
class Row:
    """What one kind of study gave; shares in [0, 1]."""

    noise: str
    configurations: int
    seeds: int
    covered: float  # of the Student intervals
    false_all_equal: float  # of the studies in which equal configurations were told apart
    false_beside_best: float  # the same where one more configuration is better
    best_ahead: float  # of the studies in which the better one was told apart from all others
    best_recommended: float  # the better one is recommended, though it costs most


def simulate(
    noise: Noise, advantages: Sequence[float], seeds: int, repetitions: int, seed: int
) -> NDArray[np.float64]:
    """Return accuracies of studies, [repetitions, configurations, seeds] in [0, 1].

    `advantages` are added to the true accuracy of each configuration.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(0, noise.sd * noise.common**0.5, (repetitions, 1, seeds))
    own = noise.sd * (1 - noise.common) ** 0.5
    drawn = rng.normal(0, own, (repetitions, len(advantages), seeds))
    means = noise.accuracy + np.asarray(advantages)[:, None]
    return rng.binomial(noise.images, np.clip(means + common + drawn, 0, 1)) / noise.images


def coverage(accuracies: NDArray[np.float64], truth: NDArray[np.float64] | float) -> float:
    """Return the share of 95 % Student intervals over the last axis that hold the truth."""
    low, high = student_bounds(accuracies)
    return float(((low <= truth) & (truth <= high)).mean())


def told_apart(accuracies: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each study and pair whether its letters tell the two apart."""
    return pairwise_p(accuracies) < SIGNIFICANCE


def measure(noise: Noise, configurations: int, seeds: int, repetitions: int, seed: int) -> Row:
    """Simulate studies of equal configurations, and such with one more that is the best."""
    equal = simulate(noise, [0.0] * configurations, seeds, repetitions, derive(seed, "equal"))
    advantages = [min(_ADVANTAGE * noise.spread, 0.99 - noise.accuracy)] + [0.0] * configurations
    led = simulate(noise, advantages, seeds, repetitions, derive(seed, "led"))
    pairs = list(combinations(range(configurations + 1), 2))
    apart, with_best = told_apart(led), np.array([0 in pair for pair in pairs])
    cost = dict.fromkeys(range(configurations + 1), 1.0) | {0: 2.0}
    chosen = [recommend(dict(enumerate(each.tolist())), cost) for each in led[:_RECOMMENDED]]
    return Row(
        noise.name,
        configurations,
        seeds,
        coverage(equal, noise.accuracy),
        float(told_apart(equal).any(axis=-1).mean()),
        float(apart[:, ~with_best].any(axis=-1).mean()),
        float(apart[:, with_best].all(axis=-1).mean()),
        chosen.count(0) / len(chosen),
    )


@dataclass(frozen=True)
class ImagesRow:
    """How often each interval holds each truth, where all seeds are tested on the same images."""

    images: int
    seeds: int
    student_here: float  # mean over seeds on these images
    student_new: float  # mean over seeds on images not seen yet
    wilson_new: float


def measure_images(images: int, seeds: int, repetitions: int, seed: int) -> ImagesRow:
    """Simulate tests on one set of images, some of which are hard for every seed.

    The share of seeds that get an image right is drawn from Beta(0.7, 0.3), 0.7 on average: most
    images are right or wrong for nearly all seeds.
    """
    rng = np.random.default_rng(seed)
    chances = rng.beta(0.7, 0.3, (repetitions, images))
    right = [(rng.random(chances.shape) < chances).sum(axis=1) for _ in range(seeds)]
    accuracies = np.stack(right, axis=1) / images
    counts = np.rint(accuracies.mean(axis=1) * images).astype(int).tolist()
    bounds = {count: wilson_interval(count, images) for count in set(counts)}
    return ImagesRow(
        images,
        seeds,
        coverage(accuracies, chances.mean(axis=1)),
        coverage(accuracies, 0.7),
        sum(bounds[count][0] <= 0.7 <= bounds[count][1] for count in counts) / repetitions,
    )


def table(rows: Sequence[Row | ImagesRow]) -> str:
    """Return a Markdown table of the rows' fields; shares in percent."""
    names = list(vars(rows[0]))
    lines = [names, ["---"] * len(names)]
    for row in rows:
        values = vars(row).values()
        lines.append([f"{100 * v:.1f} %" if isinstance(v, float) else str(v) for v in values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print what each kind of study gave."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=_PART, help="studies of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for noise in NOISES:
        rows = [
            measure(noise, k, n, options.repetitions, derive(options.seed, noise.name, k, n))
            for k in CONFIGURATIONS
            for n in SEEDS
        ]
        print(table(rows), "\n", flush=True)
    print(
        table(
            [
                measure_images(
                    images, n, min(options.repetitions, 2000), derive(options.seed, images, n)
                )
                for images in (128, 2000)
                for n in SEEDS
            ]
        )
    )


if __name__ == "__main__":
    main()
