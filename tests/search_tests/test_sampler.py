import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search import sampler
from search.domains import domains
from search.grid import first_points
from search.names import SAMPLERS
from search.sampler import FixedTrial, Proposer, make_sampler
from search.tpe import Columns, make_tpe
from spaces import lenet_beans
from tests.search_tests.test_domains import of_optimizers
from tests.search_tests.toy import DEFAULTS, space

ENDS = ("completed", "stopped", "infeasible", "failed", "completed", "completed")
FEW = {"rate": 1e-3, "drop": 0.0}  # leaves kind a, and b with three depths


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Journal:
    """Keeps trials and tells how they end as the book does, in memory."""

    def __init__(self) -> None:
        self.study = optuna.create_study(direction="maximize")

    def trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials()[number]

    def report(self, number: int, step: int, value: float) -> None:
        self.study._storage.set_trial_intermediate_value(self.trial(number)._trial_id, step, value)

    def end(self, number: int, status: str, gp: bool) -> FrozenTrial:
        handle = optuna.Trial(self.study, self.trial(number)._trial_id)
        value = self.trial(number).intermediate_values.get(1, 0.0)
        if gp or status == "infeasible":
            handle.set_constraint("feasible", 1.0 if status == "infeasible" else -1.0)
        if status == "completed" or (gp and status == "infeasible"):
            self.study.tell(number, value)
        else:
            state = TrialState.FAIL if status == "failed" else TrialState.PRUNED
            self.study.tell(number, state=state)
        return self.trial(number)


def begun(sampler: str) -> Proposer:
    return Proposer(space, {}, sampler, 7, published=DEFAULTS)


def quality(config: Mapping[str, Any]) -> float:
    return round(0.8 - config["drop"] - (0.1 if config["kind"] == "b" else 0), 6)


@pytest.mark.parametrize(
    ("sampler", "trials", "concurrent"),
    [
        ("random", 30, 3),
        ("additive", 40, 1),
        ("additive", 40, 4),
        ("tpe", 40, 1),
        ("tpe", 40, 4),
        ("prior", 40, 1),
        ("prior", 40, 4),
        ("gp", 18, 1),
        ("gp", 18, 3),
    ],
)
def test_a_view_rebuilt_from_the_journal_proposes_the_same(
    sampler: str, trials: int, concurrent: int
) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")
    journal, lived, draws = Journal(), begun(sampler), random.Random(1)
    running: list[int] = []
    ended: set[str] = set()
    for number in range(trials):
        rebuilt = begun(sampler)
        for trial in journal.study.get_trials():
            rebuilt.add(trial)
        mine, other = lived.propose(number), rebuilt.propose(number)
        assert mine is not None
        assert other is not None
        assert (mine.params, mine.user_attrs) == (other.params, other.user_attrs), number
        assert mine.distributions == other.distributions
        journal.study.add_trial(mine)
        running.append(number)
        if number % 7:  # every seventh ends without any epoch
            journal.report(number, 1, quality(mine.user_attrs["config"]))
        while len(running) >= concurrent:
            number = running.pop(draws.randrange(len(running)))
            if journal.trial(number).intermediate_values:
                journal.report(number, 2, 0.4)
            status = ENDS[number % len(ENDS)]
            ended.add(status)
            lived.add(journal.end(number, status, sampler == "gp"))
    assert ended == set(ENDS)
    states = {trial.state for trial in lived._view.trials}
    assert len([t for t in lived._view.trials if t.state == TrialState.COMPLETE]) >= 10
    assert TrialState.RUNNING in states or concurrent == 1


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior", "gp"])
def test_proposals_are_a_function_of_seed_and_number(sampler: str) -> None:
    def draw(seed: int, number: int) -> dict[str, Any]:
        trial = Proposer(space, {}, sampler, seed).propose(number)
        assert trial is not None
        return trial.params

    assert draw(1, 5) == draw(1, 5)
    assert len({repr(draw(seed, number)) for seed in range(3) for number in range(3)}) == 9


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior"])
def test_no_configuration_comes_twice_and_the_used_up_space_gives_none(sampler: str) -> None:
    proposer = Proposer(space, FEW, sampler, 0)
    seen = []
    for number in range(4):
        trial = proposer.propose(number)
        assert trial is not None
        seen.append(trial.user_attrs["config"])
    kinds = sorted((c["kind"], c.get("depth", 0)) for c in seen)
    assert kinds == [("a", 0), ("b", 1), ("b", 2), ("b", 3)]
    assert proposer.propose(4) is None
    assert proposer.propose(4) is None


def test_the_last_configurations_of_a_small_space_are_found_though_draws_miss_them() -> None:
    def pairs(trial: Any) -> dict[str, Any]:
        return {name: trial.suggest_int(name, 1, 25) for name in ("one", "two")}

    proposer = Proposer(pairs, {}, "random", 0)
    found = set()
    while (trial := proposer.propose(len(found))) is not None:
        config = trial.user_attrs["config"]
        assert dict(trial.params) == config
        found.add((config["one"], config["two"]))
    # Of 625 the last is hit by one of 210 draws in one case of four.
    assert found == {(one, two) for one in range(1, 26) for two in range(1, 26)}


def of_pairs(known: list[dict[str, Any]]) -> Proposer:
    """A study that has had these configurations of 101 times 101 = 10,201."""

    def pairs(trial: Any) -> dict[str, Any]:
        return {name: trial.suggest_int(name, 1, 101) for name in ("one", "two")}

    proposer = Proposer(pairs, {}, "random", 0)
    for number, config in enumerate(known):
        trial = optuna.trial.create_trial(
            state=TrialState.COMPLETE, value=0.5, user_attrs={"config": config}
        )
        trial.number = number
        proposer.add(trial)
    return proposer


def test_the_last_configurations_of_a_larger_space_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = [{"one": one, "two": two} for one in range(1, 102) for two in range(1, 102)]
    left = [every[at] for at in (0, 5_000, 10_200)]
    known = [config for config in every if config not in left]
    walks: list[int] = []

    def walked(*asked: Any) -> Any:
        walks.append(asked[-1])
        return first_points(*asked)

    monkeypatch.setattr(sampler, "first_points", walked)
    lived, found = of_pairs(known), []
    while (trial := lived.propose(10_198 + len(found))) is not None:
        found.append(trial.user_attrs["config"])
    assert sorted(found, key=every.index) == left
    # Also where the walk of before is not remembered.
    rebuilt = of_pairs(known + found[:2]).propose(10_200)
    assert rebuilt is not None
    assert rebuilt.user_attrs["config"] == found[2]
    assert walks == [40_000, 40_000]  # once by each proposer


def test_a_space_without_end_has_no_last_configurations() -> None:
    def stuck(trial: Any) -> dict[str, Any]:
        return {"rate": trial.suggest_float("rate", 0.5, 0.5 + 1e-16)}  # one number in truth

    proposer = Proposer(stuck, {}, "random", 0)
    assert proposer.propose(0) is not None
    assert proposer.propose(1) is None


def test_a_used_up_space_stays_so_in_a_rebuilt_view() -> None:
    proposer, journal = Proposer(space, FEW, "random", 0), Journal()
    for number in range(4):
        trial = proposer.propose(number)
        assert trial is not None
        journal.study.add_trial(trial)
    journal.end(0, "failed", False)  # a failed configuration is not tried again either
    rebuilt = Proposer(space, FEW, "random", 0)
    for trial in journal.study.get_trials():
        rebuilt.add(trial)
    assert rebuilt.propose(4) is None


def test_a_given_configuration_is_told_to_the_sampler_as_parameters() -> None:
    proposer = Proposer(space, {"drop": 0.2}, "tpe", 0)
    given = {"kind": "b", "depth": 2, "rate": 1e-3, "drop": 0.2}
    trial = proposer.propose(0, given)
    assert trial is not None
    assert trial.user_attrs["config"] == given
    assert trial.params == {"kind": "b", "depth": 2, "rate": 1e-3}
    assert trial.state == TrialState.RUNNING
    running = [t for t in proposer._view.trials if t.state == TrialState.RUNNING]
    assert [t.params for t in running] == [trial.params]


def test_a_given_configuration_that_the_study_has_is_replaced() -> None:
    proposer = Proposer(space, {}, "tpe", 0)
    given = {"kind": "a", "rate": 1e-3, "drop": 0.2}
    first, second = proposer.propose(0, given), proposer.propose(1, given)
    assert first is not None
    assert second is not None
    assert first.user_attrs["config"] == given != second.user_attrs["config"]


def test_steps_are_the_numbers_that_a_user_writes() -> None:
    def stepped(trial: Any) -> dict[str, Any]:
        return {"dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1)}

    proposer = Proposer(stepped, {}, "random", 0)
    drawn = [proposer.propose(0, {"dropout": 0.3})]
    drawn += [proposer.propose(number) for number in range(1, 7)]
    values = sorted(trial.user_attrs["config"]["dropout"] for trial in drawn if trial)
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]  # exactly: 0.1 * 3 is not 0.3
    assert proposer.propose(7) is None


@pytest.mark.parametrize("fixed", [{}, {"dropout": 0}])
def test_a_whole_number_for_a_float_is_no_other_configuration(fixed: dict[str, Any]) -> None:
    def stepped(trial: Any) -> dict[str, Any]:
        return {"dropout": trial.suggest_float("dropout", 0.0, 0.2, step=0.1)}

    proposer = Proposer(stepped, fixed, "random", 0)
    drawn = [proposer.propose(0, {"dropout": 0})]
    drawn += [proposer.propose(number) for number in range(1, 4)]
    values = [trial.user_attrs["config"]["dropout"] for trial in drawn if trial]
    assert sorted(values) == ([0.0] if fixed else [0.0, 0.1, 0.2])
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize("sampler", ["additive", "prior", "tpe"])
def test_what_is_kept_and_lies_outside_of_another_range_is_drawn(sampler: str) -> None:
    base = {"optimizer": "sgd", "rate": 0.05}  # of adam 0.01 is the highest
    proposer, journal = Proposer(of_optimizers, {}, sampler, 1, published=base), Journal()
    drawn = []
    for number in range(30):
        trial = proposer.propose(number, None if number else base)
        assert trial is not None
        drawn.append(trial.user_attrs["config"])
        journal.study.add_trial(trial)
        journal.report(number, 1, drawn[-1]["rate"])  # the highest rates are best
        proposer.add(journal.end(number, "completed", False))
    assert drawn[0] == base
    adam = [each["rate"] for each in drawn if each["optimizer"] == "adam"]
    assert len(adam) > 3
    assert max(adam) <= 0.01


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior", "gp"])
def test_every_suggestion_lies_in_the_space_and_held_names_are_never_drawn(sampler: str) -> None:
    known = domains(lenet_beans.space, lenet_beans.DEFAULTS)
    fixed = {"regularizer": "l1", "image_size": 64}
    proposer, journal = Proposer(lenet_beans.space, fixed, sampler, 3), Journal()
    for number in range(12):
        trial = proposer.propose(number)
        assert trial is not None
        config = trial.user_attrs["config"]
        assert config.keys() == known.keys()  # l1 brings strength in
        assert all(known[name].contains(value) for name, value in config.items())
        assert config.items() >= fixed.items()
        assert trial.params.keys() == known.keys() - fixed.keys()
        journal.study.add_trial(trial)
        journal.report(number, 1, 0.5 + 0.01 * number)
        proposer.add(journal.end(number, "completed", sampler == "gp"))


def test_fixed_trial_asks_for_the_rest() -> None:
    trial = optuna.trial.FixedTrial({"kind": "b", "depth": 3, "rate": 0.01, "drop": 0.4})
    config = space(FixedTrial(trial, {"kind": "b", "depth": 1}))  # type: ignore[arg-type]
    assert config == {"kind": "b", "depth": 1, "rate": 0.01, "drop": 0.4}


def half_infeasible(sampler: str, seed: int, as_constraint: bool) -> int:
    """Count of 60 trials with width * batch > 64, which half of the space has."""

    def sizes(trial: Any) -> dict[str, Any]:
        return {
            "width": trial.suggest_int("width", 1, 64, log=True),
            "batch": trial.suggest_int("batch", 1, 64, log=True),
            "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        }

    proposer, journal, count = Proposer(sizes, {}, sampler, seed), Journal(), 0
    for number in range(60):
        trial = proposer.propose(number)
        assert trial is not None
        config = trial.user_attrs["config"]
        journal.study.add_trial(trial)
        infeasible = config["width"] * config["batch"] > 64
        count += infeasible
        if infeasible:
            status = "infeasible" if as_constraint else "failed"
        else:  # wider and larger is better, up to the border
            journal.report(number, 1, (config["width"] * config["batch"]) ** 0.5 / 16)
            status = "completed"
        proposer.add(journal.end(number, status, False))
    return count


@pytest.mark.parametrize("sampler", ["tpe", "additive"])
def test_infeasible_trials_teach_what_failed_ones_would_not(sampler: str) -> None:
    learnt = [half_infeasible(sampler, seed, as_constraint=True) for seed in range(3)]
    ignored = [half_infeasible(sampler, seed, as_constraint=False) for seed in range(3)]
    assert sum(ignored) > 60  # the sampler is drawn over the border
    assert sum(learnt) < 0.7 * sum(ignored)


def test_proposing_and_rebuilding_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        journal, proposer = Journal(), Proposer(space, {}, "tpe", 0)
        for number in range(12):
            trial = proposer.propose(number, DEFAULTS if number == 0 else None)
            assert trial is not None
            journal.study.add_trial(trial)
            journal.report(number, 1, 0.5)
            rebuilt = Proposer(space, {}, "tpe", 0)
            for old in journal.study.get_trials():
                rebuilt.add(old)
            ended = journal.end(number, ENDS[number % len(ENDS)], False)
            proposer.add(ended)
            rebuilt.add(ended)
            proposer_states = [t.state for t in proposer._view.trials if t.user_attrs]
            assert all(state.is_finished() for state in proposer_states)


def test_make_sampler_knows_its_names() -> None:
    by_tpe = ("prior", "tpe")
    names = {name: type(make_sampler(name, 0)).__name__ for name in SAMPLERS if name not in by_tpe}
    random = dict.fromkeys(("additive", "random", "grid"), "RandomSampler")
    assert names == {"gp": "GPSampler", **random}


def test_a_sampler_that_is_not_known_draws_nothing_at_random() -> None:
    line = "sampler must be one of gp, random, additive, grid, but got 'newer'"
    with pytest.raises(ValueError, match=line):
        make_sampler("newer", 0)
    with pytest.raises(ValueError, match=line):
        Proposer(space, {}, "newer", 0).propose(0)


def test_tpe_uses_a_function_equal_to_optunas_own() -> None:
    from optuna.samplers._tpe import _truncnorm

    make_tpe(0, Columns(), [])
    points = np.concatenate([np.linspace(-40, 12, 521), [-1e4, 1e4]])
    own = [_truncnorm._log_ndtr_single(point) for point in points.tolist()]
    assert _truncnorm._log_ndtr.__name__ == "log_ndtr"  # scipy's, and still by that name
    assert _truncnorm._log_ndtr(points) == pytest.approx(own, rel=1e-10, abs=1e-13)
