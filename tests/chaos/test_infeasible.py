"""A space of which half is infeasible: how often a sampler tries that half, told and not told."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search import study
from search.manifest import make_manifest
from search.plan import Plan
from tests.chaos.conftest import SEED, times
from tests.search_tests.toy import DATA, PRESETS, Toy, row

pytestmark = pytest.mark.slow
DEFAULTS = {"width": 8.0, "batch_size": 8.0}
TRIALS = 60


def space(trial: Any) -> dict[str, Any]:
    return {name: trial.suggest_float(name, 1.0, 64.0, log=True) for name in DEFAULTS}


def fits(config: dict[str, Any]) -> bool:
    """Half of the space, on the scale that samplers draw on."""
    return bool(config["width"] * config["batch_size"] <= 64)


def accuracy(config: dict[str, Any]) -> float:
    """Grows with both, so that the best lies at the edge of what fits."""
    return math.log(config["width"] * config["batch_size"]) / math.log(64 * 64)


@dataclass(frozen=True)
class Sizes(Toy):
    def space(self) -> Any:
        return space

    def defaults(self) -> dict[str, Any]:
        return dict(DEFAULTS)


EXPERIMENT = Sizes("sizes", "a toy", "beans", None, PRESETS, None)


def too_large(root: Path, seed: int, status: str, sampler: str = "tpe") -> int:
    """Run a study whose trials that do not fit end as `status`; return how many those were."""
    plan = Plan(trials=TRIALS, max_epochs=1, seed=seed, sampler=sampler, stopper="none")
    manifest = make_manifest(EXPERIMENT, plan, DATA, ["x"])
    opened = study.begin(EXPERIMENT, plan, root, manifest)
    found = 0
    while (given := opened.book.next()) is not None:
        if fits(given.config):
            opened.book.report(given.number, row(1, accuracy(given.config)))
            opened.book.end(given.number, "completed")
        else:
            found += 1
            opened.book.end(given.number, status, "out of memory")
    opened.close()
    assert len(opened.book.records) == TRIALS
    return found


def test_a_size_that_does_not_fit_is_not_tried_again_and_again(
    memory_path: Path, tally: Counter[str]
) -> None:
    seeds = range(SEED, SEED + times(4))
    told, not_told = (
        [too_large(memory_path / f"{status}-{seed}", seed, status) for seed in seeds]
        for status in ("infeasible", "failed")
    )
    by_chance = [too_large(memory_path / f"r-{s}", s, "infeasible", "random") for s in seeds]
    print(
        f"of {TRIALS} trials, seeds {list(seeds)}: {told} told, {not_told} not, {by_chance} drawn"
    )
    tally["trials per study"] = TRIALS
    tally["too large, told"] += sum(told)
    tally["too large, not told"] += sum(not_told)
    tally["too large, drawn at random"] += sum(by_chance)
    tally["studies of each kind"] += len(told)
    assert sum(told) < sum(by_chance)
    assert sum(told) < sum(not_told) * 0.7
