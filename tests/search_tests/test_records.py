import math
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.errors import StudyFailed
from search.records import (
    CURVE_FIELDS,
    ROW_FIELDS,
    Record,
    best_of,
    epoch_key,
    record_of,
    status_of,
)
from tests.search_tests.toy import row


def frozen(state: TrialState = TrialState.RUNNING, **parts: Any) -> FrozenTrial:
    attributes = {"config": {"kind": "a"}, "seed": 7} | parts.pop("user_attrs", {})
    values = parts.pop("intermediate_values", {})
    value = 0.5 if state == TrialState.COMPLETE else None
    trial = optuna.trial.create_trial(
        state=state, value=value, user_attrs=attributes, intermediate_values=values, **parts
    )
    trial.number = 3
    return trial


def record(number: int, *accuracies: float, status: str = "completed") -> Record:
    rows = tuple(row(epoch, value) for epoch, value in enumerate(accuracies, 1))
    return Record(number, status, {}, 0, rows)


@pytest.mark.parametrize(
    ("state", "constraints", "status"),
    [
        (TrialState.RUNNING, {}, "running"),
        (TrialState.WAITING, {}, "running"),
        (TrialState.COMPLETE, {}, "completed"),
        (TrialState.PRUNED, {}, "stopped"),
        (TrialState.FAIL, {}, "failed"),
        (TrialState.PRUNED, {"feasible": 1.0}, "infeasible"),
        (TrialState.COMPLETE, {"feasible": 1.0}, "infeasible"),
        (TrialState.RUNNING, {"feasible": 1.0}, "running"),
        (TrialState.COMPLETE, {"feasible": -1.0}, "completed"),
        (TrialState.PRUNED, {"feasible": -1.0}, "stopped"),
    ],
)
def test_status_by_state_and_constraint(
    state: TrialState, constraints: dict[str, float], status: str
) -> None:
    assert status_of(frozen(state, constraints=constraints)) == status


def test_record_of_a_new_trial() -> None:
    told = record_of(frozen())
    assert (told.number, told.status, told.seed, told.rows) == (3, "running", 7, ())
    assert told.config == {"kind": "a"}
    assert math.isnan(told.wall_s)
    assert told.error == ""


def test_an_epoch_counts_once_its_value_is_there() -> None:
    attributes = {epoch_key(epoch): row(epoch, 0.5) for epoch in (1, 2, 3)}
    trial = frozen(user_attrs=attributes, intermediate_values={1: 0.5, 2: 0.5})
    assert [r["epoch"] for r in record_of(trial).rows] == [1, 2]


def test_rows_are_in_order_of_numbers_not_of_text() -> None:
    attributes = {epoch_key(epoch): row(epoch, epoch / 20) for epoch in range(1, 13)}
    values = {epoch: epoch / 20 for epoch in reversed(range(1, 13))}
    told = record_of(frozen(user_attrs=attributes, intermediate_values=values))
    assert [r["epoch"] for r in told.rows] == list(range(1, 13))


@pytest.mark.parametrize("steps", [[2], [1, 3], [0, 1]])
def test_a_missing_epoch_is_damage(steps: list[int]) -> None:
    attributes = {epoch_key(step): row(step, 0.5) for step in steps}
    trial = frozen(user_attrs=attributes, intermediate_values=dict.fromkeys(steps, 0.5))
    with pytest.raises(StudyFailed, match=r"damaged: trial 3 has epochs \[\d(, \d)?\] only"):
        record_of(trial)


def test_a_verdict_counts_when_it_was_carried_out() -> None:
    verdict = {"verdict": {"status": "failed", "error": "no", "wall_s": 2.5}}
    running = record_of(frozen(user_attrs=verdict))
    assert (running.status, running.error) == ("running", "")
    ended = record_of(frozen(TrialState.FAIL, user_attrs=verdict))
    assert (ended.status, ended.error, ended.wall_s) == ("failed", "no", 2.5)


VERDICT = {"verdict": {"status": "stopped", "error": "", "wall_s": 2.5}}
ROWS = {epoch_key(epoch): row(epoch, 0.5) for epoch in (1, 2)}


@pytest.mark.parametrize(
    ("attributes", "steps", "what"),
    [
        ({}, (), "has ended as stopped, its verdict is None"),
        ({"verdict": {"status": "infeasible"}}, (), "ended as stopped, its verdict is infeasible"),
        ({**VERDICT, **ROWS}, (1,), "lacks the value of epoch 2"),
        (VERDICT, (1, 2), "lacks epoch:1, epoch:2"),
    ],
)
def test_lines_that_are_missing_are_damage(
    attributes: dict[str, Any], steps: tuple[int, ...], what: str
) -> None:
    trial = frozen(
        TrialState.PRUNED,
        user_attrs=attributes,
        intermediate_values=dict.fromkeys(steps, 0.5),
    )
    with pytest.raises(StudyFailed, match=rf"journal.log is damaged: trial 3 .*{what} \("):
        record_of(trial)


def test_a_row_that_was_taken_back_is_no_epoch() -> None:
    attributes = {**VERDICT, **ROWS, epoch_key(2): None}
    trial = frozen(TrialState.PRUNED, user_attrs=attributes, intermediate_values={1: 0.5})
    assert [each["epoch"] for each in record_of(trial).rows] == [1]


def test_a_trial_without_its_configuration_is_damage() -> None:
    trial = frozen()
    del trial._user_attrs["config"]
    with pytest.raises(StudyFailed, match="trial 3 lacks config"):
        record_of(trial)


def test_the_best_epoch_is_the_earliest_of_equals() -> None:
    told = record(0, 0.3, 0.7, 0.7, 0.5)
    assert told.best_row is not None
    assert (told.best_row["epoch"], told.val_accuracy) == (2, 0.7)
    assert record(0).best_row is None
    assert math.isnan(record(0).val_accuracy)


@pytest.mark.parametrize(
    ("status", "accuracies", "counts"),
    [
        ("completed", (0.5,), True),
        ("stopped", (0.5,), True),
        ("stopped", (), False),
        ("running", (0.5,), False),
        ("infeasible", (0.5,), False),
        ("failed", (0.5,), False),
    ],
)
def test_what_may_be_the_best(status: str, accuracies: tuple[float, ...], counts: bool) -> None:
    assert record(0, *accuracies, status=status).counts is counts


def test_the_best_trial_is_the_earliest_of_equals_that_count() -> None:
    records = [
        record(3, 0.6, 0.8),
        record(1, 0.8, 0.2),
        record(0, 0.5),
        record(2, 0.9, status="infeasible"),
        record(4),
    ]
    best = best_of(records)
    assert best is not None
    assert best.number == 1
    assert best_of([record(2, 0.9, status="failed"), record(4)]) is None
    assert best_of([]) is None


def test_with_row_leaves_the_old_record() -> None:
    one = record(0, 0.5)
    two = one.with_row(row(2, 0.6))
    assert (len(one.rows), len(two.rows)) == (1, 2)


def test_curve_fields_are_those_of_the_design() -> None:
    assert ",".join(CURVE_FIELDS) == (
        "epoch,stage,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,epoch_s"
    )
    assert set(ROW_FIELDS) == set(row(1, 0.5))
