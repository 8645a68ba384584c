"""Sweeps over several seeds, and lists of configurations: order, seeds, weights that are kept."""

import json
from collections import Counter
from pathlib import Path

import pytest

from search.domains import domains, one_at_a_time
from search.plan import Plan, listed, trial_seed
from tests.search_tests.toy import DEFAULTS, EXPERIMENT, begin, drive, go_on

SWEEP = Plan(trials=6, max_epochs=3, seed=5, stopper="none", sweep=("drop=0.2,0.4",), seeds=2)
CONFIGS = ({"kind": "b", "depth": 1, "rate": 0.01, "drop": 0.2}, {**DEFAULTS, "rate": 0.002})
LIST = Plan(6, 3, seed=5, stopper="none", seeds=3, configurations=CONFIGS)


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def test_a_confirmation_has_the_seeds_of_a_sweep_with_the_same_seed() -> None:
    swept = {trial_seed(SWEEP, number) for number in range(6)}
    assert len(swept) == 2
    assert swept < {trial_seed(LIST, number) for number in range(6)}


def test_a_sweep_takes_the_values_that_are_given() -> None:
    found = [config["drop"] for config in listed(EXPERIMENT, SWEEP)]
    assert found == [0.0, 0.2, 0.4] * 2  # all with the first seed, then all with the second


def test_a_value_may_hold_a_comma() -> None:
    class Lists:
        @staticmethod
        def space(trial: object) -> dict[str, object]:
            return {"a": trial.suggest_categorical("a", ["1,2", "1", "3"])}  # type: ignore[attr-defined]

    known = domains(Lists.space, {"a": "1"})
    for word, values in (("a=1,2", ["1", "1,2"]), ("a=3,1", ["1", "3"])):
        made = list(one_at_a_time(Lists.space, {"a": "1"}, known, [word]))
        assert [config["a"] for config in made] == values
    with pytest.raises(ValueError, match=r"^a must be one of 1,2, 1, 3; got '4'$"):
        list(one_at_a_time(Lists.space, {"a": "1"}, known, ["a=3,4"]))


def test_a_list_is_taken_as_it_is() -> None:
    first = {"kind": "b", "depth": 1, "rate": 0.01, "drop": 0.2}
    second = {"kind": "a", "rate": 0.002, "drop": 0.0}  # kind a has no depth
    assert listed(EXPERIMENT, LIST) == [first, second] * 3


def test_configurations_meet_the_same_seeds_and_no_others_do() -> None:
    seeds = [trial_seed(LIST, number) for number in range(6)]
    assert seeds[0::2] == seeds[1::2]
    assert len(set(seeds)) == 3
    searched = {trial_seed(Plan(100, 3, seed=5), number) for number in range(100)}
    assert not searched & set(seeds)
    assert seeds != [trial_seed(Plan(6, 3, seed=6, seeds=3), number) for number in range(6)]


@pytest.mark.parametrize("plan", [SWEEP, LIST])
def test_every_trial_is_made_and_its_weights_stay(plan: Plan, tmp_path: Path) -> None:
    opened = begin(plan, tmp_path / "s")
    drive(opened.book, 2)
    opened.close()
    records = opened.book.records
    assert len(records) == 6
    assert [dict(records[n].config) for n in range(6)] == listed(EXPERIMENT, plan)
    trials = tmp_path / "s/trials"
    kept = sorted(path.relative_to(trials) for path in trials.rglob("*.pt"))
    assert kept == [Path(f"{n}/best.pt") for n in range(6)]  # and no checkpoint
    best = opened.book.best
    assert best is not None
    whole = tmp_path / "s"
    assert (whole / "best.pt").read_text() == (whole / f"trials/{best.number}/best.pt").read_text()


def test_a_killed_one_goes_on_and_keeps_all(tmp_path: Path) -> None:
    undisturbed = begin(LIST, tmp_path / "calm")
    drive(undisturbed.book)
    undisturbed.close()
    opened = begin(LIST, tmp_path / "s")
    for _ in range(2):
        given = opened.book.next()
        assert given is not None
        (opened.book.folder.trial(given.number)).mkdir(parents=True)
    opened.close()
    again = go_on(LIST, tmp_path / "s")
    assert drive(again.book) == [0, 1, 2, 3, 4, 5]
    again.close()
    both = [(tmp_path / name / "curves.csv").read_text() for name in ("calm", "s")]
    assert both[0] == both[1]
    assert len(list(tmp_path.glob("s/trials/*/best.pt"))) == 6


def test_a_plain_study_keeps_only_the_best(tmp_path: Path) -> None:
    opened = begin(Plan(4, 3, seed=5, sampler="random"), tmp_path / "s")
    drive(opened.book)
    opened.close()
    assert [path.parent.name for path in tmp_path.rglob("*.pt")] == ["s"]


def test_study_json_says_so(tmp_path: Path) -> None:
    begin(LIST, tmp_path / "s").close()
    budget = json.loads((tmp_path / "s/study.json").read_text())["budget"]
    assert (budget["seeds"], len(budget["configurations"])) == (3, 2)


def test_a_study_from_before_seeds_goes_on(tmp_path: Path) -> None:
    plan = Plan(3, 2, seed=5, sampler="random")
    begin(plan, tmp_path / "s").close()
    path = tmp_path / "s/study.json"
    content = json.loads(path.read_text())
    del content["budget"]["seeds"], content["budget"]["configurations"]
    path.write_text(json.dumps(content))
    opened = go_on(plan, tmp_path / "s")
    drive(opened.book)
    opened.close()
    assert Counter(record.status for record in opened.book.records.values()).total() == 3
