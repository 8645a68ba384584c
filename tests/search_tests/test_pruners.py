import math
import random
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import TrialState

from search.journal import open_journal
from search.pruners import AshaPruner, HyperbandPruner, best_until, make_pruner, rungs


def a_study(pruner: optuna.pruners.BasePruner | None = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", pruner=pruner, study_name="trellis")


def verdict(study: optuna.Study, pruner: optuna.pruners.BasePruner, number: int) -> bool:
    return pruner.prune(study, study.get_trials(deepcopy=False)[number])


def reported(study: optuna.Study, *values: float) -> int:
    trial = study.ask()
    for step, value in enumerate(values, 1):
        trial.report(value, step)
    return trial.number


@pytest.mark.parametrize(
    ("max_epochs", "first", "expected"),
    [
        (1, 1, ()),
        (2, 1, (1,)),
        (8, 1, (1, 3)),
        (9, 1, (1, 3)),
        (10, 1, (1, 3, 9)),
        (20, 2, (2, 6, 18)),
        (2, 2, ()),
        (100, 2, (2, 6, 18, 54)),
    ],
)
def test_rungs_by_hand(max_epochs: int, first: int, expected: tuple[int, ...]) -> None:
    assert rungs(max_epochs, first) == expected


@pytest.mark.parametrize(("seed", "ties"), [(s, s % 2 == 1) for s in range(12)])
def test_asha_agrees_with_optuna_that_is_told_the_best_so_far(seed: int, ties: bool) -> None:
    draws = random.Random(seed)
    first, max_epochs = draws.choice([(1, 27), (2, 20), (1, 10), (3, 30)])
    theirs = a_study(SuccessiveHalvingPruner(min_resource=first, reduction_factor=3))
    ours, asha = a_study(), AshaPruner(rungs(max_epochs, first))
    running: dict[int, tuple[optuna.Trial, optuna.Trial, int, float]] = {}
    judged: Counter[bool] = Counter()
    for _ in range(1500):
        if len(running) < 4:
            trial = ours.ask()
            running[trial.number] = (trial, theirs.ask(), 0, 0.0)
        number = draws.choice(list(running))
        mine, other, epoch, best = running.pop(number)
        value = draws.randrange(6) / 10 if ties else draws.random()
        best = max(best, value)
        mine.report(value, epoch + 1)
        other.report(best, epoch + 1)
        if epoch + 1 == max_epochs:
            ours.tell(mine, value)
            theirs.tell(other, value)
            continue
        stop = verdict(ours, asha, number)
        assert stop == other.should_prune(), (number, epoch + 1)
        judged[stop] += epoch + 1 in asha.steps
        if stop:
            ours.tell(mine, state=TrialState.PRUNED)
            theirs.tell(other, state=TrialState.PRUNED)
        else:
            running[number] = (mine, other, epoch + 1, best)
    assert judged[True] > 40
    assert judged[False] > 40
    assert max((t.last_step or 0) for t in ours.trials) == max_epochs


def test_asha_by_hand_the_best_of_three_goes_on() -> None:
    study, asha = a_study(), AshaPruner((1, 3))
    assert not verdict(study, asha, reported(study, 0.5))  # the first always goes on
    assert verdict(study, asha, reported(study, 0.4))  # one of two is kept
    assert not verdict(study, asha, reported(study, 0.6))  # one of three is kept


def test_asha_by_hand_two_of_six_go_on() -> None:
    study, asha = a_study(), AshaPruner((1,))
    for value in (0.1, 0.2, 0.9, 0.3):
        reported(study, value)
    assert verdict(study, asha, reported(study, 0.4))  # fifth: only the best one is kept
    assert not verdict(study, asha, reported(study, 0.5))  # sixth: the second best is kept


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_a_trial_counts_by_its_best_epoch_until_the_rung(name: str) -> None:
    study, pruner = a_study(), make_pruner(name, (2,))
    # Bracket 0 of Hyperband has the rung, bracket 1 has none.
    judged = [n for n in range(40) if pruner.bracket(study, n) == 0]  # type: ignore[attr-defined]
    curves = [(0.5, 0.7), (0.8, 0.1), (0.6, 0.6, 0.9), (0.7, 0.4)]
    numbers = []
    while len(numbers) < len(curves):
        values = curves[len(numbers)] if len(study.trials) in judged else ()
        number = reported(study, *values)
        numbers += [number] if values else []
    first, second, third, fourth = numbers
    # 0.8 is the best of 0.7, 0.8, 0.6 and 0.7; the 0.9 came after the rung.
    assert verdict(study, pruner, first)
    assert not verdict(study, pruner, second)
    assert verdict(study, pruner, fourth)
    trial = study.get_trials(deepcopy=False)[third]
    assert [best_until(trial, step) for step in (1, 2, 3)] == [0.6, 0.6, 0.9]


def test_asha_ties_go_on() -> None:
    study, asha = a_study(), AshaPruner((1,))
    numbers = [reported(study, 0.5) for _ in range(3)]
    assert [verdict(study, asha, number) for number in numbers] == [False] * 3


def test_asha_judges_at_rungs_alone() -> None:
    study, asha = a_study(), AshaPruner((2, 6))
    reported(study, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9)
    answers = [verdict(study, asha, reported(study, *[0.1] * n)) for n in range(8)]
    assert answers == [False, False, True, False, False, False, True, False]


def test_asha_leaves_failed_trials_out_and_counts_stopped_ones() -> None:
    study, asha = a_study(), AshaPruner((1,))
    reported(study, 0.9)
    last = reported(study, 0.5)
    assert verdict(study, asha, last)
    study.tell(0, state=TrialState.FAIL)
    assert not verdict(study, asha, last)
    study.tell(reported(study, 0.8), state=TrialState.PRUNED)
    assert verdict(study, asha, last)


@pytest.mark.parametrize("name", ["asha", "hyperband", "median", "none"])
def test_asking_twice_gives_the_same_answer_and_writes_nothing(name: str, tmp_path: Path) -> None:
    study, _ = open_journal(tmp_path / "journal.log")
    for value in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4):
        number = reported(study, value, value)
        study.tell(number, value)
    last = reported(study, 0.1, 0.1)
    before = (tmp_path / "journal.log").read_bytes()
    pruner = make_pruner(name, (2, 6))
    answers = [verdict(study, pruner, number) for number in (last, 0, last, 0)]
    assert answers[:2] == answers[2:]
    assert (tmp_path / "journal.log").read_bytes() == before
    fresh = make_pruner(name, (2, 6))  # nothing is remembered in the object either
    assert [verdict(study, fresh, number) for number in (last, 0)] == answers[:2]


def test_median_waits_for_five_trials_and_the_first_rung() -> None:
    study, median = a_study(), make_pruner("median", (2, 6))
    for count in range(5):
        worst = reported(study, 0.1, 0.1)
        assert not verdict(study, median, worst), count
        study.tell(worst, state=TrialState.PRUNED)
        study.tell(reported(study, 0.5, 0.6), 0.6)
    assert not verdict(study, median, reported(study, 0.1))  # epoch 1 is before the first rung
    assert verdict(study, median, reported(study, 0.1, 0.1))
    assert verdict(study, median, reported(study, 0.1, 0.1, 0.1)) is False  # none to compare with
    assert not verdict(study, median, reported(study, 0.1, 0.6))  # the median itself goes on


def test_hyperband_brackets_get_the_shares_of_the_formula() -> None:
    # Three rungs, four brackets, s = 3, 2, 1, 0: ceil(4 * 3**s / (s + 1)) = 27, 12, 6, 4.
    hyperband, study = HyperbandPruner((1, 3, 9)), a_study()
    counts = Counter(hyperband.bracket(study, number) for number in range(4900))
    assert set(counts) == {0, 1, 2, 3}
    for bracket, weight in enumerate((27, 12, 6, 4)):
        expected = 4900 * weight / 49
        assert abs(counts[bracket] - expected) < 5 * math.sqrt(expected)


def test_hyperband_without_rungs_has_one_bracket_and_stops_nothing() -> None:
    hyperband, study = HyperbandPruner(()), a_study()
    assert {hyperband.bracket(study, number) for number in range(50)} == {0}
    reported(study, 0.9)
    assert not verdict(study, hyperband, reported(study, 0.1))


def test_hyperband_compares_within_a_bracket_and_above_its_lowest_rungs() -> None:
    hyperband, study = HyperbandPruner((1, 3)), a_study()
    by_bracket: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for _ in range(60):  # all alike but for the last of each bracket
        number = reported(study, 0.5)
        by_bracket[hyperband.bracket(study, number)].append(number)
    assert min(map(len, by_bracket.values())) >= 3
    trials = study.get_trials(deepcopy=False)
    for bracket, numbers in by_bracket.items():
        low = trials[numbers[-1]]
        peers = {t.number for t in hyperband.peers(study, low)}
        assert peers == set(numbers[:-1])
        low.intermediate_values = {1: 0.1}  # judged at the first rung in bracket 0 alone
        assert hyperband.prune(study, low) is (bracket == 0)
        for number in numbers[:-1]:
            trials[number].intermediate_values = {1: 0.5, 2: 0.5, 3: 0.5}
        low.intermediate_values = {1: 0.1, 2: 0.1, 3: 0.1}
        assert hyperband.prune(study, low) is (bracket <= 1)


def test_make_pruner_refuses_unknown_names() -> None:
    with pytest.raises(ValueError, match=r"one of asha, .*, none, but got 'halving'$"):
        make_pruner("halving", (1,))
