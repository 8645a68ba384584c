import math
import random
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import history
from search.history import History, Shown
from search.sampler import Proposer
from tests.search_tests.toy import space

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def trial(number: int, state: TrialState, value: float | None = None, **more: Any) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=value,
        params={"x": 0.5},
        distributions={"x": optuna.distributions.FloatDistribution(0.0, 1.0)},
        **more,
    )
    made.number = number
    return made


def infeasible(number: int, excess: float) -> FrozenTrial:
    return trial(number, PRUNED, constraints={"feasible": excess})


# Best first, as TPE ranks them: see `_split_trials` in optuna/samplers/_tpe/sampler.py.
RANKED = [
    trial(7, COMPLETE, 0.9),
    trial(2, COMPLETE, 0.4),
    trial(5, COMPLETE, 0.4),  # of equals the earlier
    trial(1, PRUNED, 0.1, intermediate_values={1: 0.9, 3: 0.1}),  # further, though worse
    trial(6, PRUNED, 0.8, intermediate_values={1: 0.8}),
    trial(3, PRUNED, 0.2, intermediate_values={1: 0.2}),
    trial(9, PRUNED, intermediate_values={1: math.nan}),
    trial(0, PRUNED),
    infeasible(8, 1.0),
    infeasible(4, 2.0),
]


def of(trials: list[FrozenTrial]) -> History:
    made = History()
    for each in trials:
        made.put(each)
    return made


@pytest.mark.parametrize("best", range(1, 11))
def test_the_best_are_those_that_tpe_ranks_first(
    best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(history.BOUNDS, "tpe", (best, best))
    assert len(RANKED) == 10
    shown = of(random.Random(best).sample(RANKED, 10)).chosen("tpe", 0)
    assert shown == sorted(each.number for each in RANKED[:best])


def test_trials_that_run_are_shown_besides_and_failed_ones_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(history.BOUNDS, "tpe", (4, 2))
    running = [trial(number, TrialState.RUNNING) for number in (20, 21, 22)]
    made = of([*RANKED, *running, trial(30, FAIL)])
    shown = made.chosen("tpe", 0)
    assert len(shown) == 7
    assert set(shown) >= {7, 2, 20, 21, 22}
    assert len(made.trials) == 14
    made.put(trial(21, FAIL))
    assert set(made.chosen("tpe", 0)) & {20, 21, 22, 30} == {20, 22}


def test_the_sample_is_a_pure_function_that_reaches_every_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(history.BOUNDS, "tpe", (30, 10))
    trials = [trial(number, COMPLETE, number / 100) for number in range(100)]
    one, two = of(trials), of(trials[::-1])
    seen: set[int] = set()
    for seed in range(60):
        shown = one.chosen("tpe", seed)
        assert shown == two.chosen("tpe", seed) == sorted(set(shown))
        assert len(shown) == 30
        assert set(shown) >= set(range(90, 100))
        seen.update(shown)
    assert seen == set(range(100))  # each is left out with (70/90)^60 = 3e-7


def test_within_the_bound_all_are_shown() -> None:
    trials = [trial(number, COMPLETE, 0.5) for number in range(1000)]
    assert of(trials).chosen("tpe", 0) == list(range(1000))
    assert len(of([*trials, trial(1000, COMPLETE, 0.5)]).chosen("tpe", 0)) == 1000
    assert of(trials).chosen("random", 0) == []
    assert [each.number for each in of(trials).shown([3, 5])] == [4, 6]  # 0 is the new one


def test_a_storage_shows_trials_beside_its_own() -> None:
    study = optuna.create_study(storage=Shown([each for each in RANKED if each.number > 5]))
    asked = study.ask()
    assert asked.number == 0
    assert [each.number for each in study.trials] == [7, 6, 9, 8, 0]
    assert [each.number for each in study.get_trials(states=(COMPLETE,))] == [7]


@pytest.mark.parametrize("sampler", ["tpe", "additive"])
def test_a_bounded_history_proposes_as_a_pure_function_and_learns(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound rebuilt views agree, and the draws stay near the best rate, 1e-2."""
    monkeypatch.setitem(history.BOUNDS, sampler, (80, 8))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lived, ended = Proposer(space, {}, sampler, 3), []
    for number in range(120):
        proposal = lived.propose(number)
        assert proposal is not None
        if number in (85, 119):
            rebuilt = Proposer(space, {}, sampler, 3)
            for each in reversed(ended):
                rebuilt.add(each)
            other = rebuilt.propose(number)
            assert other is not None
            assert other.params == proposal.params
        proposal.state = COMPLETE
        proposal.value = -abs(math.log10(proposal.params["rate"]) + 2)
        ended.append(proposal)
        lived.add(proposal)
    off = sorted(abs(each.value or 0.0) for each in ended[90:])
    assert off[15] < 0.45  # at random half are beyond 0.75
