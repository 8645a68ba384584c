"""Rungs in trials of two stages: only the last stage is judged, by epochs of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import MedianPruner
from optuna.trial import TrialState

from search import study
from search.book import Book
from search.epochs import JudgedStudy, judged_after, trial_epochs
from search.experiment import Experiment
from search.manifest import make_manifest
from search.plan import Plan
from search.pruners import AshaPruner
from search.records import VERDICT
from tests.search_tests.toy import DATA, PRESETS, row

STAGES = ("head_epochs", "tune_epochs")


def space(trial: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "depth": trial.suggest_categorical("depth", [0, 2]),
        "head_epochs": trial.suggest_int("head_epochs", 1, 9),
        "rate": trial.suggest_float("rate", 0.0, 1.0),
    }
    if config["depth"]:
        config["tune_epochs"] = trial.suggest_int("tune_epochs", 1, 9)
    return config


@dataclass(frozen=True)
class Staged(Experiment):
    def space(self) -> Any:
        return space

    def defaults(self) -> dict[str, Any]:
        return {"depth": 2, "head_epochs": 3, "tune_epochs": 4, "rate": 0.5}


EXPERIMENT = Staged("staged", "", "beans", None, PRESETS, None, stage_epochs=STAGES)
PLAIN = Staged("plain", "", "beans", None, PRESETS, None)


@pytest.mark.parametrize(
    ("config", "max_epochs", "epochs", "after"),
    [
        ({"head_epochs": 3, "tune_epochs": 4}, 20, 7, 3),
        ({"head_epochs": 3, "tune_epochs": 4}, 5, 5, 3),
        ({"head_epochs": 3}, 20, 3, None),
        ({"tune_epochs": 4}, 20, 4, 0),  # its first stage hangs on a choice
    ],
)
def test_epochs_and_where_judging_begins(
    config: dict[str, Any], max_epochs: int, epochs: int, after: int | None
) -> None:
    assert trial_epochs(EXPERIMENT, config, max_epochs) == epochs
    assert judged_after(EXPERIMENT, config) == after
    assert trial_epochs(PLAIN, config, max_epochs) == max_epochs
    assert judged_after(PLAIN, config) == 0


def told(source: optuna.Study, config: dict[str, Any], *values: float) -> int:
    trial = source.ask()
    trial.set_user_attr("config", config)
    for step, value in enumerate(values, 1):
        trial.report(value, step)
    return trial.number


def test_a_judged_trial_begins_to_count_with_its_last_stage() -> None:
    source = optuna.create_study(direction="maximize")
    told(source, {"head_epochs": 3, "tune_epochs": 4}, 0.1, 0.2, 0.3, 0.4, 0.5)
    told(source, {"head_epochs": 3, "tune_epochs": 4}, 0.1, 0.2, 0.3)
    told(source, {"head_epochs": 3}, 0.1, 0.2, 0.3)
    trials = JudgedStudy(EXPERIMENT, source).get_trials()
    assert [t.intermediate_values for t in trials] == [{1: 0.4, 2: 0.5}, {}, {}]
    assert trials[0].last_step == 2
    # The journal's own trials are as they were.
    assert source.trials[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5}


def test_asha_compares_second_epochs_of_fine_tuning_whatever_came_before() -> None:
    source, asha = optuna.create_study(direction="maximize"), AshaPruner((2,))
    late = {"head_epochs": 3, "tune_epochs": 4}
    early = {"head_epochs": 1, "tune_epochs": 4}
    told(source, late, 0.9, 0.9, 0.9, 0.5, 0.6)
    # Until epoch 3: 0.9 against 0.7 and 0.9. Two epochs of fine-tuning: 0.6 against 0.7 and 0.5.
    better, worse = told(source, early, 0.1, 0.2, 0.7), told(source, early, 0.9, 0.4, 0.5)
    judged = JudgedStudy(EXPERIMENT, source)
    verdicts = [
        asha.prune(judged, judged.judged(source.trials[n]))  # type: ignore[arg-type]
        for n in (better, worse)
    ]
    assert verdicts == [False, True]


def test_optunas_median_reads_the_same_study() -> None:
    source = optuna.create_study(direction="maximize")
    config = {"head_epochs": 1, "tune_epochs": 4}
    for value in (0.5, 0.6, 0.7):
        number = told(source, config, 0.0, value, value)
        source.tell(number, value, state=TrialState.COMPLETE)
    low, high = told(source, config, 0.9, 0.55, 0.55), told(source, config, 0.1, 0.65, 0.65)
    judged, median = JudgedStudy(EXPERIMENT, source), MedianPruner(2, 1)
    verdicts = [
        median.prune(judged, judged.judged(source.trials[n]))  # type: ignore[arg-type]
        for n in (low, high)
    ]
    assert verdicts == [True, False]


def test_infeasible_trials_are_no_complete_ones_to_the_median_whatever_the_sampler_is_told() -> (
    None
):
    source = optuna.create_study(direction="maximize")
    config = {"head_epochs": 1, "tune_epochs": 4}
    for status, value in [("infeasible", 0.0)] * 2 + [("completed", 0.7)]:
        number = told(source, config, 0.0, 0.7, 0.7)
        source._storage.set_trial_user_attr(number, VERDICT, {"status": status})
        source.tell(number, value)
    low = told(source, config, 0.9, 0.5, 0.5)
    judged = JudgedStudy(EXPERIMENT, source)
    states = [trial.state for trial in judged.get_trials()]
    assert states == [TrialState.PRUNED] * 2 + [TrialState.COMPLETE, TrialState.RUNNING]
    assert len(judged.get_trials(states=(TrialState.COMPLETE,))) == 1
    # One complete trial is not yet two.
    assert not MedianPruner(2, 1).prune(judged, judged.judged(source.trials[low]))  # type: ignore[arg-type]
    assert MedianPruner(1, 1).prune(judged, judged.judged(source.trials[low]))  # type: ignore[arg-type]


def a_book(root: Path, experiment: Experiment = EXPERIMENT) -> Book:
    plan = Plan(trials=6, max_epochs=18, sampler="random")
    content = make_manifest(experiment, plan, DATA, ["python"])
    return study.begin(experiment, plan, root, content).book


def configured(book: Book, **config: Any) -> int:
    """Hand out the next trial as one of `config`."""
    given = book.next()
    assert given is not None
    trial = book._trial(given.number)
    book._storage.set_trial_user_attr(trial._trial_id, "config", config)
    record = book.records[given.number]
    book.records[given.number] = type(record)(**{**record.__dict__, "config": config})
    return given.number


def test_a_book_never_stops_a_trial_in_its_head_stage(tmp_path: Path) -> None:
    book = a_book(tmp_path / "s")
    assert book.plan.rungs == (2, 6)
    good = configured(book, depth=2, head_epochs=3, tune_epochs=4, rate=0.1)
    for epoch in range(1, 8):
        assert not book.report(good, row(epoch, 0.9))
    poor = configured(book, depth=2, head_epochs=3, tune_epochs=4, rate=0.2)
    answers = [book.report(poor, row(epoch, 0.1)) for epoch in range(1, 6)]
    assert answers == [False, False, False, False, True]  # at its second epoch of fine-tuning
    assert book.records[poor].status == "stopped"
    head_alone = configured(book, depth=0, head_epochs=9, rate=0.2)
    assert not any(book.report(head_alone, row(epoch, 0.1)) for epoch in range(1, 10))


def test_a_trial_that_has_all_its_epochs_is_completed_not_stopped(tmp_path: Path) -> None:
    book = a_book(tmp_path / "s")
    good = configured(book, depth=2, head_epochs=1, tune_epochs=4, rate=0.1)
    short = configured(book, depth=2, head_epochs=3, tune_epochs=2, rate=0.2)
    for epoch in range(1, 6):
        book.report(good, row(epoch, 0.9))
        # Its fifth epoch is its last, and the rung: nothing is left to be stopped.
        assert not book.report(short, row(epoch, 0.1))
    assert book.epochs_of(short) == 5
    book.end(short, "completed")
    assert book.records[short].status == "completed"
