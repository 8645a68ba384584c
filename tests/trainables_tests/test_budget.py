"""What a trial is given and tells: ranges, the best epoch, stopping."""

from collections.abc import Iterator
from typing import Any

import pytest

from trainables.budget import Budget, EpochResult, best_of, drive


def result(epoch: int, accuracy: float) -> EpochResult:
    return EpochResult(
        epoch=epoch,
        stage="train",
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=1.0,
        val_accuracy=accuracy,
        learning_rate=0.1,
        epoch_s=0.1,
        peak_memory_mb=1.0,
        parameters=10,
        trainable_parameters=10,
    )


def results(*accuracies: float) -> list[EpochResult]:
    return [result(epoch, accuracy) for epoch, accuracy in enumerate(accuracies, 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "^epochs >= 1 must hold, but got 0$"),
        ({"epochs": -3}, "^epochs >= 1 must hold, but got -3$"),
        ({"epochs": 1, "threads": -1}, "^threads >= 0 must hold, but got -1$"),
        ({"epochs": 1, "device": "gpu"}, "^device must be auto, cpu or cuda, but got 'gpu'$"),
        (
            {"epochs": 1, "precision": "float16"},
            "^precision must be auto, bfloat16 or float32, but got 'float16'$",
        ),
    ],
)
def test_an_option_outside_its_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**options)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("precision", ["auto", "bfloat16", "float32"])
def test_every_listed_option_is_taken(device: str, precision: str) -> None:
    taken = Budget(1, device=device, precision=precision)
    assert (taken.device, taken.precision) == (device, precision)


def test_a_budget_needs_only_its_epochs() -> None:
    plain = Budget(20)
    assert (plain.seed, plain.threads, plain.device) == (0, 0, "auto")
    assert (plain.precision, plain.folder, plain.keep_above) == ("auto", None, -1.0)


def test_best_is_the_earliest_of_the_highest() -> None:
    assert best_of(results(0.2, 0.7, 0.5, 0.7, 0.1)).epoch == 2
    assert best_of(results(0.2)).epoch == 1
    assert best_of(iter(results(0.0, 0.0))).epoch == 1


def test_there_is_no_best_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_of([])
    with pytest.raises(ValueError, match="empty"):
        drive(iter(()), None)


class Source:
    """Counts the epochs that were asked of it."""

    def __init__(self, *accuracies: float) -> None:
        self.asked = 0
        self._rows = results(*accuracies)

    def __iter__(self) -> Iterator[EpochResult]:
        for row in self._rows:
            self.asked += 1
            yield row


@pytest.mark.parametrize("answer", [None, False])
def test_drive_tells_every_epoch_once_and_returns_the_best(answer: bool | None) -> None:
    source, seen = Source(0.1, 0.8, 0.3), []

    def report(row: EpochResult) -> bool | None:
        seen.append(row.epoch)
        return answer

    assert drive(source, report).epoch == 2
    assert seen == [1, 2, 3]


def test_drive_without_a_report() -> None:
    source = Source(0.1, 0.8, 0.3)
    assert drive(source, None).epoch == 2
    assert source.asked == 3


def test_a_true_answer_stops_at_once() -> None:
    source = Source(0.1, 0.5, 0.3, 0.9)
    assert drive(source, lambda row: row.epoch == 3).epoch == 2
    assert source.asked == 3  # the fourth epoch was never trained
