"""Odd trials and odd machines: each has a defined outcome, and no trial stays open."""

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search import worker
from search.passed import MEMORY, OUTCOME
from search.worker import Worker
from tests.chaos.conftest import SEED
from tests.chaos.killing import run_study, tables
from tests.chaos.test_kills import plan_of, undisturbed
from trainables.budget import Budget, EpochResult
from trainables.data import Split
from trainables.evaluation import Examples
from trainables.training import Stage, run_stages

pytestmark = pytest.mark.slow
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)


def stage(labels: list[int], **changes: Any) -> Stage:
    split = Split(IMAGES[: len(labels)], np.array(labels, dtype=np.int64))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 2))
    examples = Examples.of(split, torch.device("cpu"))
    rate = torch.optim.SGD(model.parameters(), lr=0.01)
    whole = Stage("train", 3, model, rate, examples, examples, changes.pop("batch_size", 4))
    return replace(whole, **changes)


def trainable_of(made: Stage) -> Any:
    """Return a trainable that trains one stage."""

    def epochs(config: Any, data: Any, budget: Budget) -> Iterator[EpochResult]:
        return run_stages([lambda _: made], budget, "x")

    return epochs


def outcome_of(made: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Drive a worker, without Ray, as Ray would: step after step until it says that it is done."""
    monkeypatch.setattr(worker, "_trainable", lambda _: trainable_of(made))
    job = {"experiment": "x", "folder": str(folder), "data": None, "max_epochs": 3}
    job |= {"threads": 1, "device": "cpu", "precision": "float32"} | {
        "weights": None,
        "keep_last": False,
    }
    driven = Worker(
        {"job": job, "number": 0, "seed": 1, "config": {}, "keep_above": -1.0, "told": []}
        | {MEMORY: None}
    )
    for _ in range(10):
        result = driven.train()
        if result.get("done"):
            return result
    raise AssertionError("it never ends")


def nowhere(logits: torch.Tensor, labels: torch.Tensor, **how: Any) -> torch.Tensor:
    return logits.sum() * torch.nan


@pytest.mark.parametrize(
    ("made", "outcome", "error"),
    [
        (lambda: stage([0, 1] * 4), "completed", ""),
        (lambda: stage([1] * 8), "completed", ""),  # constant labels
        (lambda: stage([0, 1] * 4, loss=nowhere), "infeasible", "diverged: epoch 1: loss nan"),
        (lambda: stage([0, 1] * 4, penalty=lambda: torch.tensor(torch.inf)), "infeasible", "inf"),
        (lambda: stage([0, 1] * 4, batch_size=0), "failed", "Error: "),
        (lambda: stage([]), "failed", "Error: "),  # no images at all
        (lambda: stage([0, 1, 7, 1]), "failed", "IndexError: Target 7 is out of bounds"),
    ],
)
def test_an_odd_trial_has_an_outcome(
    made: Any, outcome: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = outcome_of(made(), tmp_path, monkeypatch)
    assert result[OUTCOME] == outcome
    assert error in result["error"]
    assert bool(result["error"]) == bool(error)


def test_a_clock_that_jumps_changes_nothing(
    memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(SEED)
    calm = undisturbed(plan, memory_path / "calm")
    draws, calls = random.Random(SEED), itertools.count()

    def jumping() -> float:
        next(calls)
        return 1.7e9 + draws.uniform(-1e9, 1e9)  # thirty years to and fro

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(calls)) * 1e6)  # suspended a lot
    run_study(plan, memory_path / "jumping")
    assert next(calls) > 20
    assert tables(memory_path / "jumping") == tables(calm)
