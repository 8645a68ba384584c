"""What rungs compare: accuracy and loss by hand, and where losses are of a kind."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.book import Book
from search.catalog import find
from search.compared import merits, what_to_compare
from search.epochs import JudgedStudy
from search.names import ACCURACY, BOTH
from search.plan import Plan
from search.records import epoch_key
from tests.search_tests.test_epochs import EXPERIMENT as STAGED
from tests.search_tests.toy import PRESETS, Toy, begin, go_on, row


def test_merits_by_hand() -> None:
    accuracies = {2: 0.75, 1: 0.5, 3: 0.25}
    losses = {1: 1.0, 2: math.e, 3: math.exp(-2)}
    # The best accuracy so far 0.5, 0.75, 0.75; the least loss so far 1, 1, e^-2.
    assert merits(accuracies, losses) == pytest.approx({1: 0.5, 2: 0.75, 3: 2.75})


def test_of_networks_without_doubt_accuracy_decides() -> None:
    assert merits({1: 0.5}, {1: 0.0})[1] < merits({1: 0.75}, {1: 1e-20})[1]
    assert merits({}, {}) == {}


@pytest.mark.parametrize(
    ("name", "plan", "compared"),
    [
        ("lenet_beans", Plan(100, 20), BOTH),
        ("lenet_beans", Plan(99, 20), ACCURACY),  # too few to gain by it
        ("inception_beans", Plan(100, 32, stopper="hyperband"), BOTH),
        ("mnist_cnn", Plan(100, 20, stopper="median"), ACCURACY),
        ("lenet_beans", Plan(100, 20, stopper="none"), ACCURACY),
        # It searches over losses: cross entropy and squared error do not compare.
        ("cifar10_net", Plan(100, 20), ACCURACY),
        ("cifar10_net", Plan(100, 20, fixed={"loss": "mean_squared_error"}), BOTH),
        ("cifar10_net", Plan(100, 20, sweep=("loss",)), ACCURACY),
        ("cifar10_net", Plan(100, 20, sweep=("kernel_size",)), BOTH),
    ],
)
def test_losses_compare_where_they_are_of_a_kind(name: str, plan: Plan, compared: str) -> None:
    assert what_to_compare(find(name), plan) == compared


def beneath_adam(trial: Any) -> dict[str, Any]:
    config = {"optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"])}
    if config["optimizer"] == "adam":
        config["loss"] = trial.suggest_categorical("loss", ["a", "b"])
    return config


def in_a_range(trial: Any) -> dict[str, Any]:
    return {"loss": trial.suggest_float("loss", 0.0, 1.0)}


def of_one(trial: Any) -> dict[str, Any]:
    return {"loss": trial.suggest_categorical("loss", ["a"])}


def or_none(trial: Any) -> dict[str, Any]:
    return {"loss": trial.suggest_categorical("loss", [None, "a"])}


def without(trial: Any) -> dict[str, Any]:
    return {"rate": trial.suggest_float("rate", 0.0, 1.0)}


@pytest.mark.parametrize(
    ("space", "defaults", "more", "compared"),
    [
        (beneath_adam, {"optimizer": "sgd"}, {}, ACCURACY),
        # Trials by sgd have no such loss.
        (beneath_adam, {"optimizer": "sgd"}, {"fixed": {"loss": "b"}}, ACCURACY),
        (beneath_adam, {"optimizer": "sgd"}, {"fixed": {"optimizer": "sgd"}}, BOTH),
        (beneath_adam, {"optimizer": "adam"}, {"sweep": ("optimizer",)}, ACCURACY),
        (in_a_range, {"loss": 0.5}, {}, ACCURACY),
        (in_a_range, {"loss": 0.5}, {"fixed": {"loss": 0.25}}, BOTH),
        (of_one, {"loss": "a"}, {}, BOTH),
        (or_none, {"loss": None}, {}, ACCURACY),
        (without, {"rate": 0.5, "loss": "a"}, {}, BOTH),
    ],
)
def test_losses_of_spaces_of_ones_own(
    space: Any, defaults: dict[str, Any], more: dict[str, Any], compared: str
) -> None:
    class Own(Toy):
        def space(self) -> Any:
            return space

        def defaults(self) -> dict[str, Any]:
            return defaults

    own = Own("own", "", "beans", None, PRESETS, None)
    assert what_to_compare(own, Plan(100, 20, **more)) == compared


def met(book: Book, *epochs: tuple[float, float]) -> bool:
    """Begin a trial and report accuracies and losses; return whether it was stopped."""
    given = book.next()
    assert given is not None
    stopped = False
    for epoch, (accuracy, loss) in enumerate(epochs, 1):
        stopped = book.report(given.number, row(epoch, accuracy, val_loss=loss))
    return stopped


@pytest.mark.parametrize(
    ("compared", "loss", "stopped"),
    [(BOTH, 0.9, True), (BOTH, 0.7, False), (ACCURACY, 0.9, False)],
)
def test_of_equal_accuracies_the_loss_decides(
    tmp_path: Path, compared: str, loss: float, stopped: bool
) -> None:
    book = begin(Plan(8, 4, sampler="random", compared=compared), tmp_path / "s").book
    assert not met(book, (0.5, 0.8))  # the first has nobody to be compared with
    assert met(book, (0.5, loss)) is stopped


def test_a_resumed_study_judges_by_what_its_journal_has(tmp_path: Path) -> None:
    plan = Plan(8, 4, sampler="random", compared=BOTH)
    opened = begin(plan, tmp_path / "s")
    assert not met(opened.book, (0.5, 0.8))
    opened.close()
    book = go_on(plan, tmp_path / "s").book
    given = book.next()  # the trial that was running
    assert given is not None
    assert given.number == 0
    assert met(book, (0.6, 1.2))  # 0.6 - ln 1.2 = 0.42 is less than 0.5 - ln 0.8 = 0.72


def test_where_trials_have_stages_the_losses_of_the_last_count() -> None:
    source = optuna.create_study(direction="maximize")
    trial = source.ask()
    trial.set_user_attr("config", {"head_epochs": 1, "tune_epochs": 4})
    for epoch, (accuracy, loss) in enumerate([(0.9, 0.1), (0.5, 0.8), (0.6, 1.0)], 1):
        trial.set_user_attr(epoch_key(epoch), {"val_loss": loss})
        trial.report(accuracy, epoch)
    judged = JudgedStudy(STAGED, source, BOTH).judged(source.trials[0])
    expected = {1: 0.5 - math.log(0.8), 2: 0.6 - math.log(0.8)}
    assert judged.intermediate_values == pytest.approx(expected)
    assert source.trials[0].intermediate_values == {1: 0.9, 2: 0.5, 3: 0.6}  # as it was
