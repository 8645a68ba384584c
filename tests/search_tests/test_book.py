"""Whole studies with a formula for a trainable: undisturbed, and killed after every line."""

import json
import math
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages.journal import JournalFileBackend

from analysis.frames import read_curves, read_trials
from search import study
from search.book import Book
from search.errors import StudyFailed
from search.plan import Plan
from search.telling import say_times
from tests.search_tests.toy import DEFAULTS, begin, drive, events, go_on, manifest, row

# Seed 36 is one whose ten trials have every status: see the first test.
PLAN = Plan(trials=10, max_epochs=4, seed=36, sampler="random")


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks of test machines may need long for it, and no power is cut here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def snapshots(monkeypatch: pytest.MonkeyPatch, root: Path, to: Path) -> Callable[[], list[Path]]:
    """Copy the study folder as a kill would leave it: before and after every journal line."""
    append = JournalFileBackend.append_logs
    copies: list[Path] = []

    def copy() -> None:
        copies.append(to / str(len(copies)))
        shutil.copytree(root, copies[-1])

    def append_and_copy(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        for log in logs:
            copy()
            append(self, [log])
            copy()

    monkeypatch.setattr(JournalFileBackend, "append_logs", append_and_copy)

    def stop() -> list[Path]:
        monkeypatch.setattr(JournalFileBackend, "append_logs", append)
        return copies

    return stop


def finish(plan: Plan, root: Path, concurrent: int = 1) -> Path:
    """Begin a study or go on with it, and run it to its end."""
    there = (root / "study.json").exists()
    opened = go_on(plan, root) if there else begin(plan, root)
    drive(opened.book, concurrent)
    assert not opened.book.unfinished
    opened.close()
    return root


def tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_trials(root).drop(columns="wall_s"), read_curves(root).drop(columns="epoch_s")


def reports(root: Path) -> list[tuple[int, int]]:
    """(trial, epoch) of every value that the journal holds, by Optuna's operation 7."""
    lines = [json.loads(line) for line in (root / "journal.log").read_text().splitlines()]
    found = [(log["trial_id"], log["step"]) for log in lines if log["op_code"] == 7]
    assert found
    return found


def is_sound(root: Path, plan: Plan) -> None:
    """No trial is lost, none is there twice, every epoch once, nothing is left of ended trials."""
    trials, curves = read_trials(root), read_curves(root)
    assert list(trials["trial"]) == list(range(plan.trials))
    assert set(trials["status"]) <= {"completed", "stopped", "infeasible", "failed"}
    configs = trials.filter(like="config.").map(str).agg("|".join, axis=1)
    assert configs.nunique() == plan.trials
    for trial, epochs in zip(trials["trial"], trials["epochs"], strict=True):
        assert list(curves[curves["trial"] == trial]["epoch"]) == list(range(1, epochs + 1))
    assert len(reports(root)) == len(set(reports(root))) == trials["epochs"].sum()
    assert list((root / "trials").iterdir()) == []
    best = trials[trials["status"].isin(["completed", "stopped"])].sort_values(
        ["val_accuracy", "trial"], ascending=[False, True]
    )
    told = json.loads((root / "best.json").read_text())
    assert told["trial"] == best["trial"].iloc[0]
    weights = json.loads((root / "best.pt").read_text())
    assert weights == [best["trial"].iloc[0], best["best_epoch"].iloc[0]]


def test_a_study_has_every_status_and_its_files_agree(tmp_path: Path) -> None:
    root = finish(PLAN, tmp_path / "s")
    trials, _ = tables(root)
    assert set(trials["status"]) == {"completed", "stopped", "infeasible", "failed"}
    assert trials["config.kind"][0] == "a"
    assert math.isnan(trials["config.depth"][0])
    errors = dict(zip(trials["status"], trials["error"], strict=True))
    assert errors["failed"] == "ValueError: no"
    assert errors["infeasible"] in ("out of memory", "diverged: epoch 2")
    is_sound(root, PLAN)


@pytest.mark.parametrize(
    ("changes", "concurrent", "every"),
    [
        pytest.param({}, 1, 1, marks=pytest.mark.slow),
        ({}, 1, 11),
        ({"sampler": "tpe", "trials": 14}, 1, 15),
        ({"sampler": "additive", "trials": 24}, 1, 31),
        ({"stopper": "median", "trials": 14}, 1, 17),
        ({"stopper": "hyperband"}, 1, 13),
        ({"stopper": "none"}, 1, 15),
        ({"sampler": "grid"}, 1, 13),
        ({"sweep": ("kind", "drop"), "stopper": "none", "trials": 5}, 1, 9),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_killed_at_any_line_equals_undisturbed(
    changes: dict[str, Any],
    concurrent: int,
    every: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = replace(PLAN, **changes)
    root = tmp_path / "whole"
    stop = snapshots(monkeypatch, root, tmp_path)
    finish(plan, root, concurrent)
    copies = stop()
    assert len(copies) > 60
    trials, curves = tables(root)
    is_sound(root, plan)
    for copy in copies[::every]:
        finish(plan, copy, concurrent)
        pd.testing.assert_frame_equal(tables(copy)[0], trials, obj=f"trials of {copy.name}")
        pd.testing.assert_frame_equal(tables(copy)[1], curves, obj=f"curves of {copy.name}")
        for name in ("best.json", "best.pt"):
            assert (copy / name).read_text() == (root / name).read_text(), copy.name
        is_sound(copy, plan)


@pytest.mark.parametrize("sampler", ["random", "tpe", "prior"])
def test_killed_with_three_at_a_time_loses_nothing(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, sampler=sampler, trials=12)
    root = tmp_path / "whole"
    stop = snapshots(monkeypatch, root, tmp_path)
    finish(plan, root, 3)
    copies = stop()
    assert len(copies) > 60
    is_sound(root, plan)
    for copy in copies[::9]:
        finish(plan, copy, 3)
        is_sound(copy, plan)


def test_three_at_a_time_undisturbed_is_repeatable(tmp_path: Path) -> None:
    plan = replace(PLAN, sampler="tpe", trials=16)
    one, two = (tables(finish(plan, tmp_path / name, 3)) for name in ("one", "two"))
    for mine, other in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(mine, other)


def test_a_study_killed_again_and_again_still_equals(tmp_path: Path) -> None:
    whole = tables(finish(PLAN, tmp_path / "whole"))
    begin(PLAN, tmp_path / "s").close()
    kills = 0
    while True:
        opened = go_on(PLAN, tmp_path / "s")
        if not opened.book.unfinished:
            break
        given = opened.book.next()  # one epoch, then a kill that leaves no time for anything
        if given is None:
            break
        before = len(opened.book.records[given.number].rows)
        for event in events(given, opened.book.folder.trial(given.number), PLAN.max_epochs):
            if "outcome" in event:
                opened.book.end(given.number, event["outcome"], event["error"])
            elif event["epoch"] <= before:
                assert not opened.book.report(given.number, event)
                continue
            else:
                opened.book.report(given.number, event)
            break
        study.os.close(opened._descriptor)
        kills += 1
    opened.close()
    assert kills > 18
    for mine, other in zip(tables(tmp_path / "s"), whole, strict=True):
        pd.testing.assert_frame_equal(mine, other)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A new study of at most 4 epochs; its rungs are at 1 and 3."""
    return begin(PLAN, tmp_path / "s").book


def trained(book: Book, *accuracies: float, end: str = "completed") -> int:
    """Hand out a trial, report its epochs, end it if it was not stopped."""
    given = book.next()
    assert given is not None
    for epoch, value in enumerate(accuracies, 1):
        if book.report(given.number, row(epoch, value)):
            return given.number
    if end:
        book.end(given.number, end)
    return given.number


def killed(*_: Any, **__: Any) -> None:
    raise InterruptedError


def again(book: Book) -> Book:
    """The study as the next driver finds it after a kill at this moment."""
    copy = book.folder.root.with_name(book.folder.root.name + "+")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(book.folder.root, copy)
    return go_on(book.plan, copy).book


def frozen(book: Book, number: int) -> optuna.trial.FrozenTrial:
    return book._study.get_trials(deepcopy=False)[number]


def test_the_first_trial_is_the_published_configuration(book: Book) -> None:
    given = book.next()
    assert given is not None
    assert (given.number, given.config) == (0, {"kind": "a", "rate": 0.001, "drop": 0.0})
    assert given.keep_above == -1.0


def test_a_stop_that_was_due_at_the_kill_is_taken_first(book: Book, tmp_path: Path) -> None:
    trained(book, 0.5, 0.5, 0.5, 0.5)
    given = book.next()
    assert given is not None
    book._judge._pruner = optuna.pruners.NopPruner()  # the kill comes before the verdict
    book.report(given.number, row(1, 0.1))
    resumed = again(book)
    assert resumed.records[1].status == "stopped"
    assert resumed.done_before == (2, 0)
    following = resumed.next()
    assert following is not None
    assert following.number == 2


def test_a_decision_taken_before_the_kill_stands(tmp_path: Path) -> None:
    plan = Plan(4, 8, sampler="random")
    opened = begin(plan, tmp_path / "s")
    for _ in range(3):
        opened.book.next()
    for number, accuracy in enumerate((0.5, 0.6, 0.7)):  # each the best when it comes to the rung
        assert not opened.book.report(number, row(1, 0.1))
        assert not opened.book.report(number, row(2, accuracy))
    opened.book.next()  # one more line after the last value
    os.close(opened._descriptor)
    resumed = go_on(plan, tmp_path / "s").book
    assert [resumed.records[n].status for n in range(4)] == ["running"] * 4
    assert resumed.report(3, row(1, 0.1)) is False
    assert resumed.report(3, row(2, 0.4)) is True


def test_a_trial_with_all_its_epochs_at_the_kill_is_completed(book: Book) -> None:
    given = trained(book, 0.5, 0.6, 0.7, 0.6, end="")
    resumed = again(book)
    assert resumed.records[given].status == "completed"
    assert frozen(resumed, given).value == 0.7  # the best epoch's, not the last's
    assert resumed.records[given].wall_s == pytest.approx(4, abs=1)  # its four epochs


@pytest.mark.parametrize(
    ("status", "error"),
    [("infeasible", "out of memory"), ("failed", "ValueError: no"), ("completed", "")],
)
def test_a_verdict_in_the_journal_is_carried_out_after_a_kill(
    book: Book, status: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = trained(book, 0.5, end="")
    monkeypatch.setattr(Book, "_tell", killed)
    monkeypatch.setattr(Book, "_wall_s", lambda *_: 12.5)
    with pytest.raises(InterruptedError):
        book.end(given, status, error)
    monkeypatch.undo()
    record = again(book).records[given]
    assert (record.status, record.error, record.wall_s) == (status, error, 12.5)


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior", "gp"])
def test_a_kill_between_constraint_and_verdict_warns_of_nothing(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = begin(replace(PLAN, sampler=sampler), tmp_path / "s").book
    given = trained(book, 0.5, end="")

    monkeypatch.setattr(optuna.Study, "tell", killed)
    with pytest.raises(InterruptedError):
        book.end(given, "infeasible", "out of memory")
    monkeypatch.undo()
    assert frozen(book, given).constraints == {"feasible": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = again(book)
    assert resumed.records[given].status == "infeasible"
    assert resumed._proposer._view.trials[given].constraints == {"feasible": 1.0}


def test_running_trials_come_first_after_a_kill_under_their_own_numbers(book: Book) -> None:
    numbers = []
    for _ in range(3):
        given = book.next()
        assert given is not None
        assert given.told == ()
        numbers.append(given)
    book.report(1, row(1, 0.5))
    numbers[1] = replace(numbers[1], told=(row(1, 0.5),))  # as its worker must hear of it
    resumed = again(book)
    assert [resumed.next() for _ in range(3)] == numbers
    fourth = resumed.next()
    assert fourth is not None
    assert fourth.number == 3
    resumed.report(1, row(1, 0.9))  # done again: nothing changes
    assert [r["val_accuracy"] for r in resumed.records[1].rows] == [0.5]
    assert not resumed.report(1, row(2, 0.6))
    assert reports(resumed.folder.root) == [(1, 1), (1, 2)]


def test_an_epoch_whose_value_was_not_yet_written_is_reported_again(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = trained(book, 0.5, end="")
    monkeypatch.setattr(book._storage, "set_trial_intermediate_value", lambda *_: None)
    book._storage.set_trial_user_attr(0, "epoch:2", row(2, 0.9))
    resumed = again(book)
    assert len(resumed.records[given].rows) == 1
    resumed.report(given, row(2, 0.6))
    assert [r["val_accuracy"] for r in resumed.records[given].rows] == [0.5, 0.6]
    assert again(resumed).records[given].rows == resumed.records[given].rows


def test_a_gap_between_epochs_is_our_fault(book: Book) -> None:
    given = trained(book, 0.5, end="")
    with pytest.raises(AssertionError, match="trial 0 skipped an epoch"):
        book.report(given, row(3, 0.5))


def test_reports_of_an_ended_trial_only_say_that_it_ended(book: Book) -> None:
    given = trained(book, 0.5)
    before = book.records[given]
    assert book.report(given, row(2, 0.9))
    book.end(given, "failed", "late")
    assert book.records[given] is before


@pytest.mark.parametrize(
    ("name", "value"),
    [("val_accuracy", math.nan), ("val_loss", math.inf), ("train_loss", math.nan)],
)
def test_a_number_that_is_not_finite_ends_the_trial_as_infeasible(
    book: Book, name: str, value: float
) -> None:
    given = trained(book, 0.5, end="")
    assert book.report(given, row(2, 0.9) | {name: value})
    record = book.records[given]
    assert (record.status, len(record.rows)) == ("infeasible", 1)
    assert record.error == f"diverged: epoch 2: {name} is {value}"
    assert again(book).records[given] == record
    assert book.best is None


def test_a_trial_without_epochs_that_says_it_is_done_has_failed(book: Book) -> None:
    record = book.records[trained(book)]
    assert (record.status, record.error) == ("failed", "it ended before its first epoch")
    trials = read_trials(book.folder.root)
    assert list(trials["status"]) == ["failed"]
    assert list(trials["epochs"]) == [0]


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior", "gp"])
def test_trials_without_any_epoch_disturb_neither_sampler_nor_tables(
    sampler: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    plan = replace(PLAN, sampler=sampler, trials=16)
    book = begin(plan, tmp_path / "s").book
    for number in range(15):
        outcome = ("infeasible", "completed", "failed")[number % 3]
        trained(book, *([0.5] if outcome == "completed" else []), end=outcome)
    given = book.next()
    assert given is not None
    trials = read_trials(book.folder.root)
    assert list(trials["status"]).count("infeasible") == 5
    assert trials["val_accuracy"].isna().sum() == 11
    assert list(trials["status"])[-1] == "running"


def test_infeasible_is_a_constraint_and_no_value(book: Book) -> None:
    number = trained(book, 0.9, end="infeasible")
    trial = frozen(book, number)
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert trial.constraints == {"feasible": 1.0}
    assert book.best is None
    better = trained(book, 0.95)
    assert book.best is book.records[better]


def test_gp_learns_from_complete_trials_alone_so_infeasible_ones_are(tmp_path: Path) -> None:
    book = begin(replace(PLAN, sampler="gp"), tmp_path / "s").book
    infeasible = trained(book, 0.9, end="infeasible")
    stopped = trained(book, 0.1)
    complete = optuna.trial.TrialState.COMPLETE
    assert (frozen(book, infeasible).state, frozen(book, infeasible).value) == (complete, 0.0)
    assert book.records[infeasible].status == "infeasible"
    assert book.records[stopped].status == "stopped"
    assert again(book).records == book.records


def test_no_trial_is_stopped_at_its_last_epoch(tmp_path: Path) -> None:
    book = begin(replace(PLAN, stopper="median", seed=1), tmp_path / "s").book
    for _ in range(6):
        trained(book, 0.5, 0.6, 0.7, 0.8)
    given = book.next()
    assert given is not None
    for epoch, value in enumerate((0.51, 0.61, 0.71, 0.1), 1):  # at the median, then below it
        assert not book.report(given.number, row(epoch, value))
    assert again(book).records[given.number].status == "completed"


def weights(book: Book, number: int, text: str) -> None:
    book.folder.trial(number).mkdir(parents=True)
    (book.folder.trial(number) / "best.pt").write_text(text)


def test_the_best_model_follows_the_best_trial(book: Book) -> None:
    root = book.folder.root
    for number, accuracies, kept in [
        (0, (0.5, 0.7, 0.6, 0.6), "trial 0"),
        (1, (0.6, 0.65, 0.69, 0.69), "trial 0"),
        (2, (0.8, 0.8, 0.8, 0.9), "trial 2"),
        (3, (0.8, 0.8, 0.8, 0.9), "trial 2"),  # of equals the earliest
    ]:
        weights(book, number, f"trial {number}")
        assert trained(book, *accuracies) == number
        assert (root / "best.pt").read_text() == kept
        assert list((root / "trials").iterdir()) == []
    told = json.loads((root / "best.json").read_text())
    assert (told["trial"], told["epoch"], told["val_accuracy"]) == (2, 4, 0.9)
    assert told["config"] == dict(book.records[2].config)
    assert (told["experiment"], told["data"]) == ("toy", "embedded:beans")


def test_the_best_trial_so_far_goes_on_where_its_latest_epoch_is_a_bad_one(book: Book) -> None:
    trained(book, 0.3, 0.3, 0.3, 0.3)
    trained(book, 0.4, 0.4, 0.2, 0.2)
    assert book.records[1].status == "completed"
    assert book.best is book.records[1]


def test_a_stopped_trial_may_be_the_best_where_a_better_one_diverged(book: Book) -> None:
    trained(book, 0.5, end="infeasible")
    trained(book, 0.4)
    assert [book.records[n].status for n in (0, 1)] == ["infeasible", "stopped"]
    assert book.best is book.records[1]


def test_an_earlier_trial_that_may_tie_with_the_best_keeps_its_weights(book: Book) -> None:
    first, second = book.next(), book.next()
    assert first is not None
    assert second is not None
    book.report(1, row(1, 0.9))
    book.end(1, "completed")
    resumed = again(book).next()
    assert resumed is not None
    assert resumed.number == 0
    assert resumed.keep_above == 0.9  # kept from there on: an equal makes trial 0 the best
    following = book.next()
    assert following is not None
    assert following.keep_above == 0.9


def test_folders_on_disk_are_those_of_running_trials(book: Book) -> None:
    for number in range(3):
        weights(book, number, "x")
        book.next()
    book.report(1, row(1, 0.5))
    book.end(1, "completed")
    book.end(2, "failed", "x")
    assert [path.name for path in (book.folder.root / "trials").iterdir()] == ["0"]


def test_wall_time_adds_up_over_drivers(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.book.time.monotonic", lambda: 1000.0)
    given = trained(book, 0.5, 0.6, end="")  # two epochs of one second each
    resumed = again(book)
    resumed.next()
    monkeypatch.setattr("search.book.time.monotonic", lambda: 1007.5)
    resumed.end(given, "completed")
    assert resumed.records[given].wall_s == 9.5


def test_overhead_is_of_trials_that_ran_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five trials one is cut by a kill, one loses its worker, two run through, one is old."""
    clock = [0.0]
    monkeypatch.setattr("search.book.time.monotonic", lambda: clock[0])

    def train(book: Book, number: int, seconds: float) -> None:
        book.report(number, row(1, 0.5))  # trained in a second
        clock[0] += seconds
        book.end(number, "completed")

    first = begin(Plan(5, 1, sampler="random", stopper="none"), tmp_path / "s")
    for number in (0, 1):
        assert first.book.next().number == number  # type: ignore[union-attr]
    train(first.book, 0, 900.0)
    first.close()
    book = go_on(first.book.plan, tmp_path / "s").book
    handed = [book.next() for _ in range(2)]
    book.again(2)  # its worker died
    handed += [book.next()]
    assert [given.number for given in handed if given] == [1, 2, 2]
    train(book, 1, 800.0)
    train(book, 2, 700.0)
    for number, seconds in ((3, 3.0), (4, 5.0)):
        assert book.next().number == number  # type: ignore[union-attr]
        train(book, number, seconds)
    assert book.in_one_piece == {3, 4}
    say_times(list(book.records.values()), book.in_one_piece, 60.0)
    # 3 and 5 seconds, one of them training: 2 and 4.
    assert "overhead per trial beyond training: median 3.00 s" in capsys.readouterr().err
    say_times(list(book.records.values()), set(), 60.0)
    assert "overhead" not in capsys.readouterr().err


def test_a_space_that_is_used_up_ends_the_study(tmp_path: Path) -> None:
    fixed = {"kind": "a", "rate": 0.01}  # leaves four values of drop
    opened = begin(replace(PLAN, fixed=fixed), tmp_path / "s")
    book = opened.book
    handed = drive(book)
    assert handed == [0, 1, 2, 3]
    assert not book.unfinished
    opened.close()
    again = go_on(replace(PLAN, fixed=fixed), tmp_path / "s")
    assert not again.book.unfinished  # a new driver starts nothing to find that out
    again.close()
    assert sorted(r.config["drop"] for r in book.records.values()) == [0.0, 0.2, 0.4, 0.6]


def test_a_sweep_trains_each_value_once(tmp_path: Path) -> None:
    plan = replace(PLAN, sweep=("drop",), stopper="none", trials=4)
    book = begin(plan, tmp_path / "s").book
    assert drive(book) == [0, 1, 2, 3]
    assert [r.config["drop"] for r in book.records.values()] == [0.0, 0.2, 0.4, 0.6]
    assert not book.unfinished


def test_a_grid_smaller_than_the_budget_ends_the_study(tmp_path: Path) -> None:
    fixed = {"kind": "a", "rate": 0.01}
    plan = replace(PLAN, sampler="grid", fixed=fixed)
    book = begin(plan, tmp_path / "s").book
    assert drive(book) == [0, 1, 2, 3]
    assert not book.unfinished


def test_a_journal_that_lacks_a_trial_is_refused(tmp_path: Path) -> None:
    root = finish(PLAN, tmp_path / "s")
    lines = (root / "journal.log").read_bytes().splitlines(keepends=True)
    created = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
    assert len(created) == 10
    (root / "journal.log").write_bytes(b"".join(lines[: created[2]] + lines[created[2] + 1 :]))
    with pytest.raises(StudyFailed, match=r"journal.log is damaged: trial 2 has the seed of"):
        go_on(PLAN, root)


def test_a_journal_that_lacks_an_epoch_is_refused(tmp_path: Path) -> None:
    root = finish(PLAN, tmp_path / "s")
    lines = (root / "journal.log").read_bytes().splitlines(keepends=True)
    values = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 7]
    del lines[values[1]]
    (root / "journal.log").write_bytes(b"".join(lines))
    with pytest.raises(StudyFailed, match=r"trial 0 has epochs \[1, 3, 4\] only"):
        go_on(PLAN, root)


def test_a_whole_study_warns_of_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finish(replace(PLAN, sampler="tpe", trials=14), tmp_path / "s", 3)
    assert capfd.readouterr() == ("", "")


def test_hyperparameters_of_the_space_are_columns(tmp_path: Path) -> None:
    root = finish(PLAN, tmp_path / "s")
    columns = [c for c in read_trials(root).columns if c.startswith("config.")]
    assert columns == [f"config.{name}" for name in manifest(PLAN)["space"]]
    assert {c.removeprefix("config.") for c in columns} == set(DEFAULTS)
