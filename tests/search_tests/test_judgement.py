"""confirm.json tells what the numbers rest on: weights, what seeds share, what was held."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import judgement
from search.contenders import listed_contenders
from search.errors import EXIT_DONE
from search.interrupts import Interrupts
from search.judging import Court
from search.past import read_records
from search.plan import Plan
from tests.search_tests.test_verdict import line
from tests.search_tests.toy import DATA, EXPERIMENT, begin, drive
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
    request: Any = SimpleNamespace(experiment=experiment, plan=plan)
    assert judgement.judged(request, root, root, {}, chosen, Interrupts(None)) == EXIT_DONE
    content = json.loads((root / "confirm.json").read_text())
    names = ("weights", "common_to_seeds", "published_but_for")
    assert tuple(content[name] for name in names) == told
    out = capsys.readouterr().out
    assert ("all seeds share one source: its luck is in no interval" in out) is bool(shared)
    assert ("(published): but for rate, which the search held" in out) is bool(shared)
    assert ("(weights: random, not pretrained)" in out) is bool(shared)
