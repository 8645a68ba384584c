"""confirm.json tells what the numbers rest on: weights, what seeds share, what was held."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import judgement
from search.contenders import Contender, listed_contenders
from search.errors import EXIT_DONE
from search.interrupts import Interrupts
from search.judging import Court
from search.past import read_records
from search.plan import Plan
from search.records import Record
from tests.search_tests.test_verdict import line
from tests.search_tests.toy import DATA, EXPERIMENT, begin, drive, row
from trainables.budget import Weights

HELD = {"kind": "a", "rate": 0.01}


@pytest.mark.parametrize(
    ("shared", "weights", "held", "told"),
    [
        (
            "one source",
            Weights("random", "", "random-0"),
            HELD,
            ("random", "one source", ["rate"]),
        ),
        ("", None, {"kind": "a"}, (None, "", [])),
    ],
)
def test_what_confirm_json_says_of_its_numbers(
    shared: str,
    weights: Weights | None,
    held: dict[str, Any],
    told: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Plan(4, 1, stopper="none", fixed=held, sweep=("drop",), seeds=1)
    opened = begin(plan, tmp_path / "s")
    drive(opened.book)
    opened.close()
    root = tmp_path / "s"
    experiment = replace(EXPERIMENT, common_to_seeds=shared)
    court = Court(experiment, root, root, DATA, weights, "float32")
    rows = [line(number, 1, 0.5, 0.5 + number / 10) for number in (1, 2)]
    monkeypatch.setattr(judgement, "court_of", lambda *_: court)
    monkeypatch.setattr(judgement, "judge", lambda *_: rows)
    for name in ("prepare", "keep_recommended", "discard_weights"):
        monkeypatch.setattr(judgement, name, lambda *_, **__: None)
    configs = [record.config for record in read_records(root)]
    chosen = listed_contenders(experiment, held, configs)
    request: Any = SimpleNamespace(experiment=experiment, plan=replace(plan, seeds=3))
    assert judgement.judged(request, root, root, {}, chosen, Interrupts(None)) == EXIT_DONE
    content = json.loads((root / "confirm.json").read_text())
    names = ("weights", "common_to_seeds", "published_but_for")
    assert tuple(content[name] for name in names) == told
    one = "of 3 seeds those that are compared have one in common: one seed decides nothing"
    assert content["notes"] == [one]
    out = capsys.readouterr().out
    assert ("all seeds share one source: its luck is in no interval" in out) is bool(shared)
    assert ("(published): but for rate, which the search held" in out) is bool(shared)
    assert ("(weights: random, not pretrained)" in out) is bool(shared)


def test_what_lost_a_seed_is_not_recommended_and_weights_stay_until_all_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = ({"kind": "a", "rate": rate, "drop": 0.0} for rate in (0.1, 0.2))
    root = tmp_path / "s"
    begin(Plan(2, 1), root).close()
    trained = ((0, one, 0), (1, two, 0), (2, one, 1))
    records = [
        Record(number, "completed", config, seed, (row(1, 0.5),), 1.0)
        for number, config, seed in trained
    ]
    records.append(Record(3, "infeasible", two, 1, (), 1.0, "diverged"))
    rows = [line(1, 0, 0.5, 0.5), line(1, 1, 0.5, 0.5), line(2, 0, 0.9, 0.9)]
    court = Court(EXPERIMENT, root, root, DATA, None, "float32")
    kept: list[Any] = []
    gone: list[int] = []
    for name, stand_in in (
        ("court_of", lambda *_: court),
        ("read_records", lambda _: records),
        ("judge", lambda *_: rows),
        ("prepare", lambda *_, **__: None),
        ("keep_recommended", lambda *given: kept.append(given[-1])),
        ("discard_weights", lambda *_: gone.append(1)),
    ):
        monkeypatch.setattr(judgement, name, stand_in)
    chosen = [Contender(1, one, False, None), Contender(2, two, False, None)]
    for trials, discarded in ((6, 0), (4, 1)):  # two are to come yet, then none
        request: Any = SimpleNamespace(experiment=EXPERIMENT, plan=Plan(trials, 1))
        judgement.judged(request, root, root, {}, chosen, Interrupts(None))
        assert len(gone) == discarded
    content = json.loads((root / "confirm.json").read_text())
    assert [each["unsafe"] for each in content["configurations"]] == [False, True]
    assert content["recommended"] == 1
    assert kept == [1, 1]
