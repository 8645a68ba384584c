import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import history, tpe
from search.catalog import EXPERIMENTS, find
from search.experiment import Space
from search.history import Shown
from search.sampler import Proposer
from tests.search_tests.toy import space as toy_space

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
MANY_COMPLETE = (COMPLETE, PRUNED, PRUNED, FAIL)
FEW_COMPLETE = (COMPLETE, *[PRUNED] * 30)  # stopped ones are among the best tenth, too
SPACES = {"toy": toy_space, **{name: find(name).space() for name in EXPERIMENTS}}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def ended(
    running: FrozenTrial, draws: random.Random, states: Sequence[TrialState] = MANY_COMPLETE
) -> FrozenTrial:
    """Return a trial that has ended in one of the ways that a study knows, or in NaN."""
    state = draws.choice(states)
    epochs = draws.randrange(0 if state == PRUNED else 1, 5)
    told = {epoch: round(draws.random(), 1) for epoch in range(1, epochs + 1)}  # with ties
    if told and state == PRUNED and draws.random() < 0.1:
        told[epochs] = math.nan
    made = create_trial(
        state=state,
        value=max(told.values()) if state == COMPLETE else None,
        params=running.params,
        distributions=running.distributions,
        user_attrs=running.user_attrs,
        intermediate_values=told,
        constraints={"feasible": draws.choice([0.5, 1.0])} if draws.random() < 0.1 else None,
    )
    made.number = running.number
    return made


def proposals(
    space: Space,
    fixed: Mapping[str, Any],
    states: Sequence[TrialState],
    concurrent: int,
    trials: int = 90,
) -> list[dict[str, Any]]:
    """Return what a study of TPE proposes whose trials end at random."""
    proposer, draws, found = Proposer(space, fixed, "tpe", 3), random.Random(3), []
    running: list[FrozenTrial] = []
    for number in range(trials):
        proposed = proposer.propose(number)
        if proposed is None:
            break
        found.append(proposed.params)
        running.append(proposed)
        if len(running) == concurrent:
            proposer.add(ended(running.pop(draws.randrange(concurrent)), draws, states))
    return found


@pytest.mark.parametrize(("states", "concurrent"), [(MANY_COMPLETE, 1), (FEW_COMPLETE, 12)])
@pytest.mark.parametrize("name", SPACES)
def test_proposals_are_those_of_optunas_own_sampler(
    name: str,
    states: Sequence[TrialState],
    concurrent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = proposals(SPACES[name], {}, states, concurrent)
    monkeypatch.setattr(tpe, "_KNOWN", "0.")
    assert ours == proposals(SPACES[name], {}, states, concurrent)
    assert len(ours) == 90


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("lenet_beans", {"regularizer": "l2", "image_size": 64}),
        ("toy", {}),
        ("toy", {"drop": 0.2}),
    ],
)
def test_so_they_are_of_a_bounded_history_and_of_held_hyperparameters(
    name: str, fixed: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(history.BOUNDS, "tpe", (20, 5))
    ours = proposals(SPACES[name], fixed, FEW_COMPLETE, 7, trials=120)
    monkeypatch.setattr(tpe, "_KNOWN", "0.")
    assert ours == proposals(SPACES[name], fixed, FEW_COMPLETE, 7, trials=120)


def test_what_no_trial_has_had_is_drawn_as_optuna_draws_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that have ended are of kind a, which has no depth."""

    def one(of: int) -> FrozenTrial:
        config = {"kind": "a", "rate": 10 ** -(1 + of / 10), "drop": 0.2}
        proposer = Proposer(toy_space, {}, "tpe", of)
        given = proposer.propose(of, config)
        assert given is not None
        return given

    def drawn() -> list[dict[str, Any]]:
        draws, made = random.Random(0), Proposer(toy_space, {}, "tpe", 0)
        for of in range(20):
            made.add(ended(one(of), draws))
        return [found.params for of in range(20, 60) if (found := made.propose(of))]

    ours = drawn()
    assert any("depth" in each for each in ours)
    monkeypatch.setattr(tpe, "_KNOWN", "0.")
    assert ours == drawn()


def test_another_optuna_has_its_own_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = tpe.Columns()
    quickened: list[None] = []
    monkeypatch.setattr(tpe, "_quicken", lambda: quickened.append(None))
    assert type(tpe.make_tpe(0, columns, [])) is tpe.QuickTPE
    assert quickened == [None]
    monkeypatch.setattr(optuna, "__version__", "5.1.0")
    assert type(tpe.make_tpe(0, columns, [])) is TPESampler
    assert quickened == [None]  # its inner parts may have other names


def test_no_trial_is_looked_at_again_for_a_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna's own would ask each for its parameters."""
    proposer, draws = Proposer(toy_space, {}, "tpe", 0), random.Random(0)
    for number in range(60):
        running = proposer.propose(number)
        assert running is not None
        proposer.add(ended(running, draws))
    asked: list[int] = []
    parameters = FrozenTrial.params.fget
    assert parameters is not None

    def counted(self: FrozenTrial) -> Any:
        asked.append(self.number)
        return parameters(self)

    monkeypatch.setattr(FrozenTrial, "params", property(counted, FrozenTrial.params.fset))
    assert proposer.propose(60) is not None
    assert set(asked) <= {-1, 0, 60}  # the new one: as made, in its own study, and here
    monkeypatch.setattr(tpe, "_KNOWN", "0.")
    assert proposer.propose(61) is not None
    assert len(set(asked)) > 20


def test_the_best_are_told_from_the_others() -> None:
    columns = tpe.Columns()
    distributions = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for number, value in [(3, 0.2), (80, 0.9), (7, 0.9), (5, None)]:
        made = create_trial(
            state=TrialState.RUNNING if value is None else COMPLETE,
            value=value,
            params={"x": number / 100},
            distributions=distributions,
        )
        made.number = number
        columns.put(made)
    best, others = columns.split([80, 7, 5, 3], lambda ended: ended - 1)
    assert (best.tolist(), others.tolist()) == ([7, 80], [3, 5])
    assert columns.values(best, ["x"])["x"].tolist() == [0.07, 0.8]
    assert len(columns.values(others, ["x", "y"])["y"]) == 0  # none has had a y
    assert columns.distributions([5]) == []
    assert columns.distributions([5, 3, 7]) == [distributions]
    assert np.isnan(columns._values[4]).all()


def test_a_shown_study_need_not_know_numbers() -> None:
    """Without trials there is nothing to learn from: draws at random, as Optuna begins."""
    study = optuna.create_study(storage=Shown([]), sampler=tpe.make_tpe(0, tpe.Columns(), []))
    assert 0.0 <= study.ask().suggest_float("x", 0.0, 1.0) <= 1.0
