"""The judge answers as the pruners do, without looking at every trial."""

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.epochs import JudgedStudy
from search.judge import Judge
from search.names import ACCURACY, BOTH
from search.pruners import AshaPruner, make_pruner, rungs
from search.records import epoch_key
from tests.search_tests.test_epochs import EXPERIMENT, PLAIN

STEPS = rungs(30, 1)


def a_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", study_name="trellis")


def begun(study: optuna.Study, **config: Any) -> optuna.Trial:
    trial = study.ask()
    trial.set_user_attr("config", config)
    return trial


def frozen(study: optuna.Study, number: int) -> optuna.trial.FrozenTrial:
    return study.get_trials(deepcopy=False)[number]


def ends(study: optuna.Study, number: int, draws: random.Random) -> None:
    state = draws.choice([TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE])
    study.tell(number, 0.5 if state == TrialState.COMPLETE else None, state=state)


@pytest.mark.parametrize("compared", [ACCURACY, BOTH])
@pytest.mark.parametrize("name", ["asha", "hyperband", "median", "none"])
@pytest.mark.parametrize("seed", range(4))
def test_decisions_are_those_of_the_pruner_over_random_histories(
    name: str, seed: int, compared: str
) -> None:
    draws, losses = random.Random(seed), random.Random(-seed)
    experiment = EXPERIMENT if seed % 2 else PLAIN
    study, pruner = a_study(), make_pruner(name, STEPS)
    judge = Judge(experiment, study, make_pruner(name, STEPS), compared)
    running: dict[int, int] = {}
    counts: Counter[bool] = Counter()
    for _ in range(600):
        if len(running) < 4:
            config = {"head_epochs": draws.randrange(3)}
            config |= {"tune_epochs": 9} if draws.random() < 0.9 else {}
            running[begun(study, **config).number] = 0
        number = draws.choice(list(running))
        running[number] += 1
        trial = optuna.Trial(study, frozen(study, number)._trial_id)
        row = {"val_loss": losses.randrange(9) / 9}  # with ties, and none at all
        trial.set_user_attr(epoch_key(running[number]), row)
        trial.report(draws.randrange(20) / 20, running[number])
        if not draws.randrange(50):  # a driver that begins anew
            judge = Judge(experiment, study, make_pruner(name, STEPS), compared)
        judge.learn(frozen(study, number))
        judged = JudgedStudy(experiment, study, compared)
        seen = judged.judged(frozen(study, number))
        expected = bool(seen.intermediate_values) and pruner.prune(judged, seen)  # type: ignore[arg-type]
        assert judge.stops(frozen(study, number)) == expected
        counts[expected] += seen.last_step in STEPS
        if expected or draws.random() < 0.05 or running[number] == 12:
            ends(study, number, draws)
            judge.learn(frozen(study, number))
            del running[number]
    assert counts[False] > 20
    assert counts[True] > 20 or name == "none"


class Counted(float):
    """A value that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) < float(other)

    def __gt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) > float(other)


@dataclass
class Held:
    """A study of trials in memory, that counts how often all of them are asked for."""

    trials: list[optuna.trial.FrozenTrial]
    study_name: str = "trellis"
    direction: optuna.study.StudyDirection = optuna.study.StudyDirection.MAXIMIZE
    asked: int = 0

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[Any]:
        self.asked += 1
        return self.trials


def trial_with(number: int, value: float) -> optuna.trial.FrozenTrial:
    trial = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        user_attrs={"config": {}},
        intermediate_values={1: value},
    )
    trial.number = number
    return trial


def test_an_answer_at_ten_thousand_trials_takes_a_few_comparisons() -> None:
    draws = random.Random(0)
    held = Held([trial_with(n, Counted(draws.random())) for n in range(10_000)])
    judge = Judge(PLAIN, held, AshaPruner((1,)))  # type: ignore[arg-type]
    Counted.compared = held.asked = 0
    for number in range(100):
        late = trial_with(10_000 + number, Counted(draws.random()))
        judge.learn(late)
        judge.stops(late)
    assert held.asked == 0
    # Each is put in its place and looked up there: twice log2(10,000) = 13.3, rounded up.
    assert 100 < Counted.compared <= 100 * 2 * 14
