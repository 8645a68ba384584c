"""The sampler `additive`: its posterior, what stopped trials count as, and what it proposes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sklearn.linear_model import Ridge

from search import additive
from search.additive import RANDOM_SHARE, STARTUP, Additive, draw, extrapolated
from search.domains import config_key
from search.sampler import Proposer

KINDS = tuple("abcdefgh")


def space(trial: Any) -> dict[str, Any]:
    return {
        "kind": trial.suggest_categorical("kind", KINDS),
        "size": trial.suggest_categorical("size", [1, 2, 3, 4, 5]),
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
    }


def quality(config: Mapping[str, Any]) -> float:
    """The best: kind c, size 4, rate 1e-2."""
    away = abs(np.log10(config["rate"]) + 2) / 2 + abs(config["size"] - 4) / 4
    return 0.9 - 0.2 * (config["kind"] != "c") - 0.2 * float(away)


def ended(
    number: int,
    config: dict[str, Any],
    values: list[float],
    state: TrialState = TrialState.PRUNED,
    excess: float = -1.0,
) -> FrozenTrial:
    trial = optuna.trial.create_trial(
        state=state,
        value=values[-1] if state == TrialState.COMPLETE else None,
        params={},
        distributions={},
        user_attrs={"config": config},
        intermediate_values=dict(enumerate(values, start=1)),
        constraints={"feasible": excess},
    )
    trial.number = number
    return trial


def drawn(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    sizes, kinds = rng.integers(1, 6, count), rng.choice(KINDS, count)
    rates = 10 ** rng.uniform(-4, -1, count)
    return [
        {"kind": str(k), "size": int(s), "rate": float(r)}
        for k, s, r in zip(kinds, sizes, rates, strict=True)
    ]


def trials(count: int, epochs: int = 1, **more: Any) -> list[FrozenTrial]:
    configs = drawn(count)
    return [ended(i, c, [quality(c)] * epochs, **more) for i, c in enumerate(configs)]


def proposals(seen: list[FrozenTrial], seeds: int = 40) -> list[dict[str, Any]]:
    sampler = Additive(space, {})
    made = [sampler.propose(seen, seed) for seed in range(seeds)]
    return [config for config in made if config is not None]


def test_a_stopped_trial_gains_what_the_others_gained_by_hand() -> None:
    curves = [np.array([0.5, 0.6, 0.8]), np.array([0.3, 0.5]), np.array([0.4])]
    # Epoch 2 brought 0.1 and 0.2, so 0.15 on average; epoch 3 brought 0.2.
    assert extrapolated(curves) == pytest.approx([0.8, 0.7, 0.75])
    assert extrapolated([np.array([0.5]), np.array([0.25])]) == pytest.approx([0.5, 0.25])


def test_the_posterior_is_that_of_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    rows = np.hstack([rng.normal(size=(60, 3)), np.ones((60, 1))])
    weights = rng.uniform(0.5, 2, 60)
    truth = np.array([1.0, -2.0, 0.5, 0.0])
    values = rows @ truth + 0.3 * rng.normal(size=60) / np.sqrt(weights)
    many = np.array([draw(rows, values, weights, rng) for _ in range(4000)])
    # Noise over prior variance: 0.09 over 1; the nearest of the ratios tried are 0.05 and 0.1.
    fitted = Ridge(alpha=0.1, fit_intercept=False).fit(rows, values, weights)
    assert many.mean(axis=0) == pytest.approx(fitted.coef_, abs=0.02)
    # Known noise, weak prior: the covariance of weighted least squares.
    covariance = 0.09 * np.linalg.inv((rows * weights[:, None]).T @ rows)
    assert many.std(axis=0) == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.25)


def test_a_trial_that_counts_little_moves_the_posterior_little() -> None:
    rows, rng = np.ones((20, 1)), np.random.default_rng(0)
    values = np.array([0.0] * 19 + [10.0])
    means = []
    for weight in (1.0, 0.01):
        weights = np.array([1.0] * 19 + [weight])
        means.append(np.mean([draw(rows, values, weights, rng) for _ in range(500)]))
    assert means[0] == pytest.approx(0.5, abs=0.1)  # 10 / 20
    assert means[1] == pytest.approx(0.005, abs=0.02)  # 0.1 / 19.01


def test_proposals_come_to_the_best_of_every_hyperparameter() -> None:
    found = proposals(trials(60))
    best = [c for c in found if c["kind"] == "c" and c["size"] in (3, 4, 5)]
    assert len(best) > 0.8 * len(found)
    assert np.median([np.log10(config["rate"]) for config in found]) == pytest.approx(-2, abs=0.3)


def test_proposals_for_workers_at_the_same_time_differ() -> None:
    found = proposals(trials(60))
    assert len({config_key(config) for config in found}) == len(found)


def test_what_was_stopped_early_says_as_much_by_its_order() -> None:
    # All stopped after one epoch, at values far below what the only whole run ended with.
    configs = drawn(60)
    seen = [ended(i, c, [quality(c) - 0.5]) for i, c in enumerate(configs)]
    whole = {"kind": "a", "size": 1, "rate": 1e-4}
    seen.append(ended(60, whole, [quality(whole) - 0.5, 0.5, 0.6], TrialState.COMPLETE))
    found = proposals(seen)
    assert sum(config["kind"] == "c" for config in found) > 0.8 * len(found)


def test_what_was_trained_to_its_end_is_what_it_reached() -> None:
    # Kind c has one epoch of its own and is at 0.7 then; the others have three, and come to 0.8.
    seen = [
        ended(i, c, [0.7] if c["kind"] == "c" else [0.4, 0.6, 0.8], TrialState.COMPLETE)
        for i, c in enumerate(drawn(80))
    ]
    assert sum(len(each.intermediate_values) == 1 for each in seen) >= 5
    found = proposals(seen)
    assert sum(config["kind"] == "c" for config in found) < 0.1 * len(found)


def test_what_was_trained_to_its_end_counts_fully(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[float]] = []

    def noted(rows: Any, values: Any, weights: Any, rng: np.random.Generator) -> Any:
        asked.append(weights.tolist())
        return draw(rows, values, weights, rng)

    monkeypatch.setattr(additive, "draw", noted)
    made = [
        ([0.5], TrialState.COMPLETE),
        ([0.5], TrialState.PRUNED),
        ([0.4] * 3, TrialState.PRUNED),
    ]
    states = [made[i % 3] for i in range(12)]
    seen = [ended(i, c, *states[i]) for i, c in enumerate(drawn(12))]
    proposals(seen, seeds=1)
    # One epoch of three: 1 / (1 + 3) on 3 / (3 + 3).
    assert asked == [pytest.approx([1.0, 0.5, 1.0] * 4)]


def test_what_does_not_fit_is_avoided() -> None:
    # Kind c is the best there is, and none of it fits.
    seen = [
        ended(t.number, t.user_attrs["config"], [], excess=1.0)
        if t.user_attrs["config"]["kind"] == "c"
        else t
        for t in trials(80)
    ]
    assert sum(not t.intermediate_values for t in seen) >= 5
    found = proposals(seen)
    assert sum(config["kind"] == "c" for config in found) < 0.1 * len(found)


def test_the_first_and_a_tenth_of_all_are_drawn_at_random() -> None:
    sampler = Additive(space, {})
    assert sampler.propose(trials(STARTUP - 1), 0) is None
    running = ended(9, drawn(1)[0], [0.5], TrialState.RUNNING)
    assert sampler.propose([*trials(STARTUP - 1), running], 0) is None
    made = [sampler.propose(trials(STARTUP), seed) for seed in range(400)]
    assert sum(each is None for each in made) == pytest.approx(400 * RANDOM_SHARE, abs=20)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_trials_that_are_all_equal_are_no_error(value: float) -> None:
    seen = [ended(i, c, [value]) for i, c in enumerate(drawn(20))]
    assert len(proposals(seen)) > 20


def test_a_proposer_takes_them_and_never_the_same_twice() -> None:
    proposer = Proposer(space, {"rate": 1e-3}, "additive", 0)  # 40 configurations
    seen = set()
    for number in range(40):
        trial = proposer.propose(number)
        assert trial is not None
        config = trial.user_attrs["config"]
        assert trial.params == {n: v for n, v in config.items() if n != "rate"}
        seen.add(config_key(config))
        proposer.add(ended(number, config, [quality(config)]))
    assert len(seen) == 40
    assert proposer.propose(40) is None


def test_it_finds_what_random_draws_do_not() -> None:
    found = {}
    for sampler in ("additive", "random"):
        best = []
        for seed in range(5):
            proposer = Proposer(space, {}, sampler, seed)
            reached = []
            for number in range(40):
                trial = proposer.propose(number)
                assert trial is not None
                config = trial.user_attrs["config"]
                reached.append(quality(config))
                proposer.add(ended(number, config, [reached[-1]]))
            best.append(max(reached))
        found[sampler] = np.mean(best)
    assert found["additive"] > 0.88  # 0.9 is the best there is
    assert found["additive"] > found["random"] + 0.02
