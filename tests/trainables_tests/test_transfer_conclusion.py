"""transfer.json: ratios and comparisons by hand, and a start from scratch on tiny images."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from spaces.cifar10_transfer import DEFAULTS
from tests.spaces_tests.reference import REFERENCE
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables import transfer_conclusion
from trainables.budget import Budget, Diverged, EpochResult
from trainables.cifar10_transfer import epochs
from trainables.training import Stage
from trainables.transfer_conclusion import (
    PUBLISHED,
    compare,
    conclude,
    from_scratch,
    lines,
    ratio,
)

CONFIG: dict[str, Any] = DEFAULTS | {
    "source_classes": "0,1",
    "target_classes": "2,3",
    "dense_width": 8,
    "batch_size": 8,
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))


@pytest.fixture
def data() -> TinyData:
    return tiny_data((13, 13, 3), classes=4, train=24, validation=8)


def test_the_published_numbers_are_those_of_the_reference() -> None:
    with REFERENCE.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["experiment"] == "cifar10_transfer"]
    values = {(row["arm"], row["metric"]): float(row["value"]) for row in rows}
    notes = {row["arm"]: row["note"] for row in rows if row["note"]}
    assert set(values) == {
        (arm, metric)
        for arm in ("source", "target")
        for metric in ("val_accuracy", "train_seconds")
    }
    for arm in ("source", "target"):
        assert PUBLISHED[arm]["val_accuracy"] == values[arm, "val_accuracy"]
        assert PUBLISHED[arm]["seconds"] == values[arm, "train_seconds"]
        assert notes[arm] == f"best epoch {PUBLISHED[arm]['best_val_accuracy']:.4f}"


def test_ratios_by_hand() -> None:
    told = {
        "source": {"seconds": 8.0, "val_accuracy": 0.5},
        "target": {"seconds": 2.0, "val_accuracy": 0.75},
    }
    assert ratio(told) == {"seconds": 0.25, "val_accuracy": 1.5}
    told["source"]["val_accuracy"] = 0.0
    assert ratio(told) == {"seconds": 0.25, "val_accuracy": None}


HISTORY = [
    {"val_accuracy": 0.3, "seconds": 2.0},
    {"val_accuracy": 0.6, "seconds": 4.0},
    {"val_accuracy": 0.5, "seconds": 6.0},
    {"val_accuracy": 0.7, "seconds": 8.5},
]


def test_a_comparison_by_hand() -> None:
    assert compare(HISTORY, 2.5, 6.0, 2) == {
        "epochs": 4,
        "seconds": 8.5,
        "cut_short": False,
        "within_target_seconds": {
            "epochs": 1, "seconds": 2.0, "val_accuracy": 0.3, "best_val_accuracy": 0.3,
        },
        "within_all_seconds": {
            "epochs": 3, "seconds": 6.0, "val_accuracy": 0.5, "best_val_accuracy": 0.6,
        },
        "after_equal_epochs": {
            "epochs": 2, "seconds": 4.0, "val_accuracy": 0.6, "best_val_accuracy": 0.6,
        },
    }  # fmt: skip


def test_what_was_not_reached_is_none() -> None:
    found = compare(HISTORY[:1], 1.9, 1.9, 2)
    assert found["within_target_seconds"] is None
    assert found["within_all_seconds"] is None
    assert found["after_equal_epochs"] is None
    assert compare([], 5.0, 9.0, 1) == {
        "epochs": 0,
        "seconds": 0.0,
        "within_target_seconds": None,
        "within_all_seconds": None,
        "after_equal_epochs": None,
        "cut_short": True,
    }


def clocked(monkeypatch: pytest.MonkeyPatch, seconds: float, end: int = 99) -> list[Stage]:
    """Epochs that take so long by the clock and are not trained; the one after `end` diverges."""
    stages: list[Stage] = []

    def epoch(stage: Stage, _given: Budget, number: int, _device: Any) -> EpochResult:
        if number > end:
            raise Diverged(f"epoch {number}")
        stages.append(stage)
        return EpochResult(number, "", 1, 0, 1, number / 100, 0.001, seconds, 1, 1, 1)

    monkeypatch.setattr(transfer_conclusion, "run_epoch", epoch)
    return stages


@pytest.mark.parametrize(
    ("limit", "trial_epochs", "trained"),
    [
        (5.0, 2, 3),  # 2, 4, 6 seconds: past the limit
        (6.0, 2, 3),  # exactly there
        (0.5, 1, 1),  # one at least
        (0.5, 4, 4),  # and as many as the trial
        (100.0, 2, 6),  # but no more than six
    ],
)
def test_from_scratch_goes_on_until_time_and_epochs_have_passed(
    limit: float, trial_epochs: int, trained: int, data: TinyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = clocked(monkeypatch, 2.0)
    told: list[tuple[str, int, int | None]] = []
    given = budget(1, progress=lambda *words: told.append(words))
    history = from_scratch(CONFIG, data, given, limit, trial_epochs, 3 * trial_epochs)
    assert history == [
        {"val_accuracy": n / 100, "seconds": 2.0 * n} for n in range(1, trained + 1)
    ]
    assert len(stages) == trained
    assert told[:-1] == [
        ("training from scratch for comparison", n, 3 * trial_epochs) for n in range(trained)
    ]
    assert told[-1] == ("training from scratch for comparison", trained, trained)
    # All of the published target network learns, on the target's images.
    stage = stages[0]
    assert all(p.requires_grad for p in stage.model.parameters())
    # 13: 10, 5; 2, 1 pixel: 32 8 + 8, 8 4 + 4.
    assert sum(p.numel() for p in stage.model.parameters()) == 1568 + 16416 + 264 + 36
    assert stage.train.labels.tolist() == [2, 3] * 6
    assert stage.validation.labels.tolist() == [2, 3] * 2
    assert stage.batch_size == 8
    learning = sum(p.numel() for g in stage.optimizer.param_groups for p in g["params"])
    assert learning == 1568 + 16416 + 264 + 36


def test_divergence_ends_the_start_from_scratch(
    data: TinyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocked(monkeypatch, 2.0, end=2)
    assert len(from_scratch(CONFIG, data, budget(1), 50.0, 4, 12)) == 2


def test_all_of_it_on_tiny_data(data: TinyData, monkeypatch: pytest.MonkeyPatch) -> None:
    given = budget(2)
    rows = [
        {"val_accuracy": r.val_accuracy, "epoch_s": r.epoch_s} for r in epochs(CONFIG, data, given)
    ]
    alone: list[float] = []

    def timed(*given: Any) -> EpochResult:
        result = run_epoch(*given)
        alone.append(result.epoch_s)
        return result

    run_epoch = transfer_conclusion.run_epoch
    monkeypatch.setattr(transfer_conclusion, "run_epoch", timed)
    told: list[str] = []
    heard = budget(2, progress=lambda what, *_: told.append(what))
    found = conclude(CONFIG, rows, data, heard)
    assert json.loads(json.dumps(found)) == found
    source, target = found["source"], found["target"]
    assert (source["classes"], source["epochs"]) == ("0,1", 10)
    assert (target["classes"], target["epochs"]) == ("2,3", 2)
    assert target["val_accuracy"] == rows[-1]["val_accuracy"]
    assert target["best_val_accuracy"] == max(row["val_accuracy"] for row in rows)
    assert target["feature_seconds"] > 0
    # Trained once more, alone: not the seconds of the study's tables, taken beside others.
    # The epochs after those two are the start from scratch.
    assert target["seconds"] == pytest.approx(target["feature_seconds"] + sum(alone[:2]))
    assert len(alone) == 2 + found["from_scratch"]["epochs"]
    assert found["ratio"]["seconds"] == pytest.approx(target["seconds"] / source["seconds"])
    assert found["published"]["ratio"]["seconds"] == pytest.approx(96.2 / 269.7)
    # Three times the ten epochs of the source and the two of the trial at most.
    assert 2 <= found["from_scratch"]["epochs"] <= 36
    assert found["from_scratch"]["after_equal_epochs"]["epochs"] == 2
    assert set(told) == {
        "training the target alone for comparison",
        "training from scratch for comparison",
    }  # all else is stored
    assert {split for split, _ in data.asked} == {"train", "validation"}
    assert len(lines(found)) == 3 + found["from_scratch"]["cut_short"]


TOLD: dict[str, Any] = {
    "source": {
        "classes": "0,1", "val_accuracy": 0.7, "best_val_accuracy": 0.75, "seconds": 8.0,
        "device": "cpu", "threads": 1,
    },
    "target": {
        "classes": "2,3", "val_accuracy": 0.8, "best_val_accuracy": 0.85, "seconds": 2.0,
    },
    "ratio": {"seconds": 0.25, "val_accuracy": 1.14},
    "published": {"ratio": {"seconds": 0.36, "val_accuracy": 1.11}},
    "device": "cpu",
    "threads": 1,
    "from_scratch": {
        "epochs": 5,
        "seconds": 10.5,
        "cut_short": False,
        "within_target_seconds": None,
        "within_all_seconds": {"epochs": 4, "val_accuracy": 0.66},
        "after_equal_epochs": {"epochs": 2, "val_accuracy": 0.5},
    },
}  # fmt: skip


def test_the_lines_by_hand() -> None:
    assert lines(TOLD) == [
        "source, classes 0,1: validation accuracy 0.7000 (best 0.7500) in 8.0 s",
        "target, classes 2,3: validation accuracy 0.8000 (best 0.8500) in 2.0 s, 0.25 of the "
        "source's time (published 0.36)",
        "the same network from scratch on the target's classes: not an epoch in the target's "
        "time, 0.6600 (epoch 4) in that of source and target, 0.5000 (epoch 2) after as many "
        "epochs as the target",
    ]


def test_a_start_from_scratch_that_was_cut_short_is_told() -> None:
    scratch = TOLD["from_scratch"] | {"cut_short": True}
    *_, last = lines(TOLD | {"from_scratch": scratch})
    assert last == (
        "note: the start from scratch was ended after 5 epochs and 10.5 s, before it had as much "
        "time as source and target"
    )


def test_times_of_different_machines_are_told_apart() -> None:
    *_, last = lines(TOLD | {"device": "cuda"})
    assert last == (
        "note: the source was trained on cpu with 1 threads, the target on cuda with 1: times "
        "don't compare"
    )
    assert len(lines(TOLD | {"threads": 2})) == 4
