"""Stock Ray Tune on recorded curves: its own sampler and stopper decide, and nothing of ours."""

import math
import random
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from ray.tune.search.optuna import OptunaSearch

from benchmarks import stock_search
from benchmarks.stock_search import StockSearch
from search.catalog import find
from search.plan import Plan
from spaces.lenet_beans import DEFAULTS

FIXED = {"image_size": 64}


def begun(trials: int) -> StockSearch:
    search = StockSearch(find("lenet_beans"), Plan(trials, 20, fixed=FIXED))
    for _ in range(trials):
        assert search.next() is not None
    return search


def optuna_search(seed: int) -> Any:
    def draw(trial: Any) -> None:
        trial.suggest_float("x", 0.0, 1.0)

    return OptunaSearch(draw, metric="val_accuracy", mode="max", seed=seed)


def told(search: StockSearch, number: int, epoch: int, accuracy: float) -> bool:
    return search.report(number, {"epoch": epoch, "val_accuracy": accuracy})


def state(search: StockSearch, number: int) -> tuple[Any, Any]:
    study = search._searcher._ot_study
    assert isinstance(study, optuna.Study)
    trial = study.get_trials()[number]
    return trial.state.name, trial.value


def test_the_published_configuration_comes_first_and_others_hold_what_is_held() -> None:
    search = begun(3)
    assert search.next() is None
    assert search.records[0] == {n: v for n, v in (DEFAULTS | FIXED).items() if n != "strength"}
    assert {config["image_size"] for config in search.records.values()} == {64}
    assert search.records[1] != search.records[2]


def test_asha_goes_by_the_upper_quarter_of_a_rung() -> None:
    search = begun(4)
    # Rungs are at 1, 4 and 16 epochs. The first to come passes any.
    assert not told(search, 0, 1, 0.50)
    # The upper quartile of 0.50 alone is 0.50.
    assert told(search, 1, 1, 0.49)
    assert state(search, 1) == ("COMPLETE", 0.49)
    # That of 0.49 and 0.50 is 0.4975.
    assert not told(search, 2, 1, 0.498)
    # No rung at 3 epochs.
    assert not told(search, 2, 3, 0.01)
    assert state(search, 2) == ("RUNNING", None)


def test_a_trial_ends_at_its_last_epoch_and_its_last_value_counts() -> None:
    search = begun(1)
    assert not any(told(search, 0, epoch, 0.5) for epoch in range(1, 20))
    assert told(search, 0, 20, 0.25)
    assert state(search, 0) == ("COMPLETE", 0.25)


def test_a_diverged_trial_fails_and_stays_out_of_the_rung() -> None:
    search = begun(2)
    assert told(search, 0, 1, math.nan)
    assert state(search, 0)[0] == "FAIL"
    assert not told(search, 1, 1, 0.01)


def searched(seed: int) -> list[Any]:
    """Return what 150 trials are, 7 at a time, that end at random; the longest outlives many."""
    search, draws = (
        StockSearch(find("lenet_beans"), Plan(150, 20, fixed=FIXED)),
        random.Random(seed),
    )
    epochs = dict.fromkeys(range(7), 0)
    for _ in epochs:
        search.next()
    while epochs:
        number = draws.choice([*epochs][-5:] if len(search.records) < 100 else [*epochs])
        epochs[number] += 1
        accuracy = math.nan if draws.random() < 0.02 else round(draws.random(), 2)
        if told(search, number, epochs[number], accuracy):
            del epochs[number]
            if search.next() is not None:
                epochs[len(search.records) - 1] = 0
    return list(search.records.values())


@pytest.mark.parametrize("seed", range(3))
def test_its_proposals_are_those_of_optunas_own_sampler(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = searched(seed)
    monkeypatch.setattr(stock_search, "StockSampler", lambda seed: TPESampler(seed=seed))
    assert ours == searched(seed)
    assert len(ours) == 150


def test_without_a_sampler_optuna_search_takes_the_same() -> None:
    """A search of its own that is given a seed: what `StockSearch` would be without arrays."""
    own = optuna_search(seed=0)
    assert isinstance(own._ot_study.sampler, TPESampler)
    sampler = StockSearch(find("lenet_beans"), Plan(3, 20, fixed=FIXED))._searcher._sampler
    mine, theirs = vars(sampler), vars(own._ot_study.sampler)
    same = ("_n_startup_trials", "_n_ei_candidates", "_multivariate", "_group", "_constant_liar")
    assert [mine[name] for name in same] == [theirs[name] for name in same]
