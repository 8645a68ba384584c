from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.prior import Prior
from search.sampler import Proposer
from search.tpe import Columns
from spaces import lenet_beans

BASE = dict.fromkeys("abcdefgh", 0.5)
FROM_0_TO_1 = optuna.distributions.FloatDistribution(0.0, 1.0)
FIXED = {"image_size": 64}
DRAWS = 4000


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def trial(number: int, same: int, value: float | None, of: int = 8) -> FrozenTrial:
    """Return a trial that has `same` of `of` hyperparameters as BASE; no value: it runs."""
    names = [*BASE][:of]
    made = create_trial(
        state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
        value=value,
        params={name: 0.5 if place < same else 0.25 for place, name in enumerate(names)},
        distributions=dict.fromkeys(names, FROM_0_TO_1),
    )
    made.number = number
    return made


def cut_short(number: int, same: int, excess: float | None = None) -> FrozenTrial:
    """Return a trial that was stopped, or did not fit by so much."""
    made = trial(number, same, None)
    made = create_trial(
        state=TrialState.PRUNED,
        params=made.params,
        distributions=made.distributions,
        constraints=None if excess is None else {"feasible": excess},
    )
    made.number = number
    return made


def kept(trials: list[FrozenTrial], again: int = 0) -> list[dict[str, Any]]:
    """Return what the next configuration keeps, by each of DRAWS seeds that keeps any."""
    prior, columns = Prior(BASE), Columns()
    for each in trials:
        prior.add(each)
        columns.put(each)
    numbers = [each.number for each in trials]
    found = [prior.kept(columns, numbers, seed, again) for seed in range(DRAWS)]
    return [each for each in found if each is not None]


@pytest.mark.parametrize(
    ("trials", "share"),
    [
        # Near ones begin with Beta(9, 1), of mean 9/10; a uniform draw lies below it as often.
        ([], 9 / 10),
        # Of one trial none is in the better half: Beta(9, 2).
        ([trial(0, 8, 0.9)], 9 / 11),
        # Two better, two worse: Beta(11, 3).
        ([trial(number, 6, number / 9) for number in range(4)], 11 / 14),
        # Half of the hyperparameters are enough.
        ([trial(0, 4, 0.9)], 9 / 11),
        ([trial(0, 1, 0.9, of=2)], 9 / 11),
        # A far one: Beta(1, 2), so 1 - 9 B(9, 3) = 1 - 9 (8! 2! / 11!).
        ([trial(0, 3, 0.9)], 54 / 55),
        ([trial(0, 1, 0.9, of=3)], 54 / 55),
        # What runs says nothing.
        ([trial(0, 8, 0.9), trial(1, 8, None), trial(2, 0, None)], 9 / 11),
        # What was stopped, or did not fit, ended worse than what came to its end: Beta(9, 2) over
        # Beta(2, 1), so E(x^2) = 9 10 / (11 12).
        ([trial(0, 0, 0.9), cut_short(1, 8)], 15 / 22),
        ([trial(0, 0, 0.9), cut_short(1, 8, excess=1.0)], 15 / 22),
        # The better half is near, the other far: Beta(11, 1) over Beta(1, 3), so
        # 1 - 11 B(11, 4) = 1 - 11 (10! 3! / 14!).
        ([trial(number, 7 if number > 1 else 0, number / 9) for number in range(4)], 363 / 364),
        # The other way round: Beta(9, 3) over Beta(3, 1), so E(x^3) = 9 10 11 / (12 13 14).
        ([trial(number, 0 if number > 1 else 7, number / 9) for number in range(4)], 165 / 364),
    ],
)
def test_how_often_most_is_kept_follows_from_what_ended_in_the_better_half(
    trials: list[FrozenTrial], share: float
) -> None:
    assert len(kept(trials)) / DRAWS == pytest.approx(share, abs=0.03)  # 4 deviations


def test_three_quarters_are_kept_each_by_itself() -> None:
    found = kept([])
    assert {value for each in found for value in each.values()} == {0.5}
    for name in BASE:
        assert sum(name in each for each in found) / len(found) == pytest.approx(0.75, abs=0.03)
    whole = sum(len(each) == 8 for each in found) / len(found)
    assert whole == pytest.approx(0.75**8, abs=0.03)


def test_what_is_drawn_again_lies_further_off() -> None:
    for again, share in [(1, 9 / 16), (2, 27 / 64)]:
        found = kept([], again)
        assert sum(map(len, found)) / len(found) / 8 == pytest.approx(share, abs=0.03)


def near(config: dict[str, Any]) -> int:
    return sum(config.get(name) == value for name, value in lenet_beans.DEFAULTS.items())


def searched(sign: int) -> list[int]:
    """Return how much of the published configuration each of 60 trials has.

    The accuracy follows from that alone, with `sign`.
    """
    proposer = Proposer(lenet_beans.space, FIXED, "prior", 1, published=lenet_beans.DEFAULTS)
    found = []
    for number in range(60):
        running = proposer.propose(number, None if number else lenet_beans.DEFAULTS | FIXED)
        assert running is not None
        found.append(near(running.user_attrs["config"]))
        running.state, running.value = TrialState.COMPLETE, float(sign * found[-1])
        proposer.add(running)
    return found


def test_a_good_configuration_is_kept_to_and_a_bad_one_left() -> None:
    good, bad = searched(1), searched(-1)
    # Of 9 the size of images is held, and where there is no regularizer there is no strength.
    assert good[0] == bad[0] == 7
    assert sum(good[30:]) / 30 > 4.5
    assert sum(bad[30:]) / 30 < 2.5


def test_what_is_held_is_not_kept_besides() -> None:
    held = FIXED | {"kernel_size": 7, "dropout": 0.4}
    proposer = Proposer(lenet_beans.space, held, "prior", 0, published=lenet_beans.DEFAULTS)
    for number in range(20):
        trial = proposer.propose(number)
        assert trial is not None
        assert trial.user_attrs["config"] | held == trial.user_attrs["config"]
        assert not trial.params.keys() & held.keys()


def test_without_a_published_configuration_tpe_draws_all() -> None:
    ours, tpe = (Proposer(lenet_beans.space, FIXED, name, 4) for name in ("prior", "tpe"))
    for number in range(5):
        mine, other = ours.propose(number), tpe.propose(number)
        assert mine is not None
        assert other is not None
        assert mine.params == other.params
