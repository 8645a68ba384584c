"""A trial gets what it was assigned: its seed above all, by which seeds differ."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from search import worker
from tests.search_tests.test_trial_log import RESULT
from trainables.budget import Budget, EpochResult


def test_a_worker_gives_a_trial_what_it_was_assigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, Any, Budget]] = []

    def epochs(config: Any, data: Any, budget: Budget) -> Iterator[EpochResult]:
        seen.append((config, data, budget))
        yield RESULT

    monkeypatch.setattr(worker, "_trainable", lambda _: epochs)
    job = {
        "experiment": "x",
        "folder": str(tmp_path),
        "data": "images",
        "max_epochs": 20,
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
        "weights": None,
        "keep_last": True,
    }
    assigned = {"job": job, "number": 4, "config": {"rate": 0.1}, "seed": 7, "keep_above": 0.5}
    assigned |= {"told": [asdict(RESULT)], "memory_mb": 900.0}
    worker.Worker(assigned).train()
    ((config, data, budget),) = seen
    assert (config, data) == ({"rate": 0.1}, "images")
    assert (budget.seed, budget.epochs, budget.threads) == (7, 20, 1)
    assert (budget.device, budget.precision, budget.memory_mb) == ("cpu", "float32", 900.0)
    assert (budget.keep_above, budget.keep_last, budget.told) == (0.5, True, (RESULT,))
