"""Judging on the test split: rows that are taken over, weights that stay, what is chosen."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search import judging
from search.contenders import Contender
from search.errors import StudyFailed
from search.folder import chosen
from search.judging import (
    Court,
    discard_weights,
    judge,
    openings,
    read_rows,
    without_row,
)
from search.recommended import keep_recommended
from search.records import Record
from tests.search_tests.test_sharing import Whole
from tests.search_tests.toy import DATA, EXPERIMENT, Toy, row
from trainables.budget import Weights
from trainables.data.source import silent

CONFIGS = [{"kind": "a", "rate": rate, "drop": 0.0} for rate in (0.1, 0.2)]
CONTENDERS = [Contender(n, config, n == 2, None) for n, config in enumerate(CONFIGS, 1)]
RECORDS = [
    Record(number, "completed", CONFIGS[number % 2], 50 + number // 2, (row(1, 0.1 * number),))
    for number in range(4)
]


@pytest.fixture
def court(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Court:
    """Weights that say which trial they are of; the split finds a tenth of that right."""

    def measured(place: Court, record: Record, name: str) -> dict[str, Any]:
        asked.append((record.number, name))
        value = float(
            torch.load(place.weights_of(record.number, name), weights_only=True)["model"]["w"]
        )
        measures = dict.fromkeys(judging._MEASURED, value / 10)
        return {**measures, "confusion_matrix": [[1, 0], [0, 1]]}

    asked: list[tuple[int, str]] = []
    monkeypatch.setattr(judging, "measured", measured)
    made = Court(EXPERIMENT, tmp_path, tmp_path, DATA, None, "float32")
    object.__setattr__(made, "asked", asked)
    write_weights(made)
    return made


def write_weights(court: Court) -> None:
    for number in range(4):
        for name in ("best.pt", "last.pt"):
            path = court.weights_of(number, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            state = {"model": {"w": torch.tensor(float(number))}, "epoch": 1, "val_accuracy": 0.5}
            torch.save(state, path)


def accuracies(rows: list[dict[str, str]]) -> list[tuple[str, str, float]]:
    return [(r["configuration"], r["trial"], round(float(r["test_accuracy"]), 6)) for r in rows]


def test_a_row_per_trial_in_order_and_none_twice(court: Court) -> None:
    rows = judge(court, CONTENDERS, RECORDS[:3], silent)
    assert accuracies(rows) == [("1", "0", 0.0), ("1", "2", 0.2), ("2", "1", 0.1)]
    assert len(openings(court.opened)) == 1
    court.asked.clear()  # type: ignore[attr-defined]
    assert judge(court, CONTENDERS, RECORDS, silent)[3]["trial"] == "3"
    assert court.asked == [(3, "best.pt"), (3, "last.pt")]  # type: ignore[attr-defined]
    assert len(openings(court.opened)) == 2


@pytest.mark.parametrize(("before", "kept"), [(1, []), (3, ["0"])])
def test_what_ends_the_judging_early_leaves_the_opening_and_the_rows_that_are_whole(
    court: Court, monkeypatch: pytest.MonkeyPatch, before: int, kept: list[str]
) -> None:
    asked, measured = court.asked, judging.measured  # type: ignore[attr-defined]

    def interrupted(*given: Any) -> dict[str, Any]:
        if len(asked) == before:
            raise KeyboardInterrupt
        return measured(*given)

    monkeypatch.setattr(judging, "measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge(court, CONTENDERS, RECORDS, silent)
    assert len(openings(court.opened)) == 1
    assert [row["trial"] for row in read_rows(court.csv)] == kept
    asked.clear()
    monkeypatch.setattr(judging, "measured", measured)
    assert len(judge(court, CONTENDERS, RECORDS, silent)) == 4
    assert len(asked) == 2 * (4 - len(kept))
    assert len(openings(court.opened)) == 2


def test_rows_of_another_confirmation_are_not_taken_for_these(court: Court) -> None:
    judge(court, CONTENDERS, RECORDS, silent)
    court.asked.clear()  # type: ignore[attr-defined]
    fresh = [replace(record, seed=record.seed + 7) for record in RECORDS]
    rows = judge(court, CONTENDERS, fresh, silent)
    assert [r["seed"] for r in rows] == ["57", "58", "57", "58"]
    assert len(court.asked) == 8  # type: ignore[attr-defined]
    other = [{**config, "drop": 0.2} for config in CONFIGS]
    changed = [replace(record, config=other[record.number % 2]) for record in fresh]
    contenders = [replace(each, config=other[each.number - 1]) for each in CONTENDERS]
    assert {r["config.drop"] for r in judge(court, contenders, changed, silent)} == {"0.2"}


def test_rows_of_weights_that_were_trained_anew_are_made_anew(court: Court) -> None:
    """Seeds follow from the study's: a confirmation that is begun anew has the same ones."""
    judge(court, CONTENDERS, RECORDS, silent)
    court.asked.clear()  # type: ignore[attr-defined]
    lower = replace(RECORDS[2], rows=({**RECORDS[2].rows[0], "val_loss": 0.123},))
    rows = judge(court, CONTENDERS, [*RECORDS[:2], lower, RECORDS[3]], silent)
    assert court.asked == [(2, "best.pt"), (2, "last.pt")]  # type: ignore[attr-defined]
    assert [row["val_loss"] for row in rows if row["trial"] == "2"] == ["0.123"]
    assert len(openings(court.opened)) == 2


def test_rows_that_are_kept_get_the_number_that_their_configuration_has_now(court: Court) -> None:
    judge(court, CONTENDERS, RECORDS, silent)
    one, two = CONTENDERS
    turned = [replace(two, number=1, published=False), replace(one, number=2, published=True)]
    rows = judge(court, turned, RECORDS, silent)
    assert accuracies(rows) == [("1", "1", 0.1), ("1", "3", 0.3), ("2", "0", 0.0), ("2", "2", 0.2)]
    assert [row["published"] for row in rows] == ["False", "False", "True", "True"]
    assert len(openings(court.opened)) == 1


def test_a_whole_number_is_of_the_same_configuration_as_the_float(court: Court) -> None:
    """Journals of earlier versions hold 0 where today's hold 0.0, and so do rows."""
    old = [replace(record, config={**record.config, "drop": 0}) for record in RECORDS[:2]]
    rows = judge(court, CONTENDERS, old, silent)
    assert [(row["trial"], row["config.drop"]) for row in rows] == [("0", "0"), ("1", "0")]
    rows = judge(court, CONTENDERS, RECORDS, silent)
    assert [(row["trial"], row["config.drop"]) for row in rows] == [
        ("0", "0"), ("2", "0.0"), ("1", "0"), ("3", "0.0"),
    ]  # fmt: skip
    assert court.asked == [  # type: ignore[attr-defined]  # none of them twice
        (number, name) for number in range(4) for name in ("best.pt", "last.pt")
    ]


def test_what_was_confirmed_twice_on_a_seed_counts_once(court: Court) -> None:
    """An earlier version took 0 and 0.0 for two configurations."""
    twin = replace(RECORDS[1], config={**CONFIGS[0], "drop": 0}, seed=50)
    contenders = [CONTENDERS[0], replace(CONTENDERS[1], config=twin.config)]
    assert without_row(court, [RECORDS[0], twin]) == [RECORDS[0]]
    rows = judge(court, contenders, [RECORDS[0], twin], silent)
    assert [(row["trial"], row["seed"]) for row in rows] == [("0", "50")]
    assert without_row(court, [RECORDS[0], twin]) == []


def test_rows_of_seeds_that_are_no_more_are_gone(court: Court) -> None:
    judge(court, CONTENDERS, RECORDS, silent)
    rows = judge(court, CONTENDERS, RECORDS[:2], silent)  # begun anew, with one seed
    assert accuracies(rows) == [("1", "0", 0.0), ("2", "1", 0.1)]
    assert read_rows(court.csv) == rows
    assert len(openings(court.opened)) == 1


def test_a_hyperparameter_that_came_into_force_later_is_a_column_of_all_rows(court: Court) -> None:
    judge(court, CONTENDERS[:1], RECORDS[:1], silent)
    deeper = {**CONFIGS[1], "depth": 2}
    contenders = [CONTENDERS[0], replace(CONTENDERS[1], config=deeper)]
    rows = judge(court, contenders, [RECORDS[0], replace(RECORDS[1], config=deeper)], silent)
    assert [row.get("config.depth", "") for row in rows] == ["", "2"]
    assert [row["config.depth"] for row in read_rows(court.csv)] == ["", "2"]


def test_rows_with_a_matrix_of_many_classes_are_read(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = [[1] * 209] * 209
    assert len(json.dumps(matrix)) == 131_461  # 390 more than Python's own limit
    measures = {**dict.fromkeys(judging._MEASURED, 0.5), "confusion_matrix": matrix}
    monkeypatch.setattr(judging, "measured", lambda *_: measures)
    csv.field_size_limit(131_072)
    rows = judge(court, CONTENDERS, RECORDS[:2], silent)
    assert [row["trial"] for row in rows] == ["0", "1"]
    assert json.loads(read_rows(court.csv)[1]["confusion_matrix"]) == matrix
    assert judge(court, CONTENDERS, RECORDS[:2], silent) == rows
    assert len(openings(court.opened)) == 1  # none was judged again


def test_nothing_is_opened_where_nothing_is_to_be_judged(court: Court) -> None:
    running = [replace(record, status="running") for record in RECORDS]
    assert judge(court, CONTENDERS, running, silent) == []
    assert openings(court.opened) == []


def test_missing_weights_are_told_before_the_split_is_opened(court: Court) -> None:
    for number, told in (2, "trial 2 has"), (1, "trials 1, 2 have"):
        court.weights_of(number, "best.pt").unlink()
        with pytest.raises(StudyFailed, match=rf"^{told} no weights in .*all nodes share"):
            judge(court, CONTENDERS, RECORDS, silent)
    assert openings(court.opened) == []


def test_the_model_to_use_is_the_best_seed_of_the_recommended_one(court: Court) -> None:
    assert chosen(court.root) == (court.root / "best.json", court.root / "best.pt")
    rows = judge(court, CONTENDERS, RECORDS, silent)
    keep_recommended(court, rows, RECORDS, 1)
    about, weights = chosen(court.root)
    told = json.loads(about.read_text())
    assert (told["trial"], told["config"], told["configuration"]) == (2, CONFIGS[0], 1)
    assert told["confirmed"] is True
    assert float(torch.load(weights, weights_only=True)["model"]["w"]) == 2
    discard_weights(court, rows)
    assert not list(court.trials.glob("trials/*/*.pt"))
    keep_recommended(court, rows, RECORDS, 1)  # once more: its file stays
    assert float(torch.load(weights, weights_only=True)["model"]["w"]) == 2


def test_what_is_kept_of_a_pretrained_network_is_all_of_it(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "module", lambda _: Whole)
    rows = judge(court, CONTENDERS, RECORDS, silent)
    pretrained = replace(court, weights=Weights("random", "", "r"))
    keep_recommended(pretrained, rows, RECORDS, 1)
    saved = torch.load(court.root / "confirm.pt", weights_only=True)
    assert saved["model"] == {"frozen": torch.ones(1), "w": torch.tensor(2.0)}
    kept = torch.load(court.weights_of(2, "best.pt"), weights_only=True)
    assert saved.keys() == kept.keys()


@pytest.mark.parametrize("damaged", [None, "{"])
def test_what_tells_of_kept_weights_is_mended(damaged: str | None, court: Court) -> None:
    rows = judge(court, CONTENDERS, RECORDS, silent)
    keep_recommended(court, rows, RECORDS, 1)
    discard_weights(court, rows)
    about, weights = chosen(court.root)
    whole = about.read_text()

    def again(of: Record) -> str:
        about.unlink() if damaged is None else about.write_text(damaged)
        best = of.best_row
        state = torch.load(weights, weights_only=True)
        torch.save(
            {**state, **{name: best[name] for name in ("epoch", *judging.AT_BEST)}}, weights
        )
        keep_recommended(court, rows, RECORDS, 1)
        return about.read_text() if about.exists() else "missing"

    assert again(RECORDS[2]) == whole
    assert again(RECORDS[0]) == (damaged or "missing")  # other weights are none to tell of


@pytest.mark.parametrize("sweep", [False, True])
def test_weights_of_what_is_recommended_now_that_are_gone_are_told(
    sweep: bool, court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier version recommended another, and removed the weights of all the rest."""
    court = replace(court, root=court.trials if sweep else tmp_path / "searched")
    court.root.mkdir(exist_ok=True)
    rows = judge(court, CONTENDERS, RECORDS, silent)
    keep_recommended(court, rows, RECORDS, 1)
    discard_weights(court, rows)
    about, weights = chosen(court.root)
    state = torch.load(weights, weights_only=True)
    own = {name: RECORDS[2].rows[0][name] for name in ("epoch", *judging.AT_BEST)}
    torch.save({**state, **own}, weights)
    before = about.read_text()
    keep_recommended(court, rows, RECORDS, 1)
    assert capsys.readouterr().err == ""
    keep_recommended(court, rows, RECORDS, 2)
    assert about.read_text() == before  # it tells of what is there
    way = (
        "begin the sweep anew under another name, and confirm that"
        if sweep
        else f"remove {court.trials} and run search.confirm again, which trains all of it anew"
    )
    told = "note: the weights of configuration 2, the recommended one, are gone, and "
    assert capsys.readouterr().err == (f"{told}confirm.pt is of another: to have them, {way}\n")
    weights.unlink()
    keep_recommended(court, rows, RECORDS, 2)
    assert capsys.readouterr().err == f"{told}not kept: to have them, {way}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("configuration;trial;seed\n1;2;3\n", "lacks columns; was it saved by another program"),
        ("configuration,trial\n1,\udcff\n", "confirm.csv is damaged: 'utf-8' codec"),
    ],
)
def test_a_damaged_table_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "confirm.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StudyFailed, match=told):
        read_rows(path)


@pytest.mark.parametrize("text", ["[", "3"])
def test_a_damaged_list_of_openings_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "test_opened.json").write_text(text)
    with pytest.raises(StudyFailed, match=r"test_opened\.json is damaged"):
        openings(tmp_path / "test_opened.json")


def test_none_is_recommended_where_no_seeds_are_shared(court: Court) -> None:
    keep_recommended(court, judge(court, CONTENDERS, RECORDS, silent), RECORDS, None)
    assert chosen(court.root)[0].name == "best.json"


def test_what_was_recommended_before_is_gone_where_nothing_is_now(court: Court) -> None:
    rows = judge(court, CONTENDERS, RECORDS, silent)
    keep_recommended(court, rows, RECORDS, 1)
    keep_recommended(court, rows, RECORDS, None)
    assert chosen(court.root)[0].name == "best.json"
    assert sorted(path.name for path in court.root.glob("confirm*")) == ["confirm.csv"]
