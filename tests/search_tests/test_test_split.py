"""Test numbers are of the test split, and it chooses nothing: no configuration, no seed."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from search import judging
from search.contenders import Contender, training_plan
from search.errors import StudyFailed
from search.judging import Court, judge, measured, openings
from search.recommended import keep_recommended
from search.records import Record
from search.verdict import verdict
from tests.search_tests.test_evaluation import MNIST, record, trained
from tests.search_tests.test_judging import CONTENDERS, RECORDS, court
from tests.search_tests.test_verdict import THREE, line
from tests.search_tests.toy import DATA, EXPERIMENT, Toy, row
from tests.trainables_tests.tiny_data import tiny_data
from trainables.budget import Budget, Weights

__all__ = ["court"]  # a fixture


def silent(*_: object) -> None:
    pass


def test_it_chooses_no_configuration() -> None:
    rows = [line(1, seed, 0.90 + seed / 100, 0.50 + seed / 100) for seed in (0, 1, 2)]
    rows += [line(2, seed, 0.50 + seed / 100, 0.90 + seed / 100) for seed in (0, 1, 2)]
    assert verdict(THREE, rows, {})["recommended"] == 1


def test_it_chooses_no_seed_and_what_is_kept_is_of_the_best_epoch(court: Court) -> None:
    for number in (0, 2):  # the weights of the last epoch are others
        last = torch.load(court.weights_of(number, "last.pt"), weights_only=True)
        torch.save(last | {"epoch": 9}, court.weights_of(number, "last.pt"))
    rows = judge(court, CONTENDERS, RECORDS, silent)
    # Of configuration 1, trials 0 and 2, validation says 2; let test say 0.
    rows = [each | {"test_accuracy": str(1 - float(each["val_accuracy"]))} for each in rows]
    keep_recommended(court, rows, RECORDS, 1)
    assert json.loads((court.root / "confirm_best.json").read_text())["trial"] == 2
    assert torch.load(court.root / "confirm.pt", weights_only=True)["epoch"] == 1


def test_it_is_what_weights_are_judged_on(tmp_path: Path) -> None:
    data, best = trained(tmp_path / "trials" / "7")
    found = data.splits["validation"]
    data.splits["test"] = replace(found, labels=(found.labels + 1) % 10)
    place = Court(MNIST, tmp_path, tmp_path, data, None, "float32", "cpu")
    measured(place, record(best), "best.pt")
    assert data.asked == [("test", None)]


def test_it_is_what_pretrained_weights_are_judged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, weights = np.array([2, 2, 1, 0]), Weights("file", "/w.pt", "f00d")
    data = tiny_data((4, 4, 1), validation=4)
    data.splits["test"] = replace(data.splits["validation"], labels=labels)
    asked: list[tuple[object, ...]] = []

    def kept_logits(
        state: dict[str, Tensor], config: object, data: object, split: str, budget: Budget
    ) -> Tensor:
        asked.append((float(state["w"]), config, data, budget.precision))
        right = split == "test" and budget.weights is weights
        return torch.eye(3)[torch.from_numpy(labels if right else (labels + 1) % 3)]

    monkeypatch.setattr(Toy, "module", lambda _: SimpleNamespace(kept_logits=kept_logits))
    place = Court(EXPERIMENT, tmp_path, tmp_path, data, weights, "float32", "cpu")
    place.weights_of(0, "best.pt").parent.mkdir(parents=True)
    kept = {"model": {"w": torch.tensor(3.0)}, "epoch": 1, "val_accuracy": 0.5}
    torch.save(kept, place.weights_of(0, "best.pt"))
    found = measured(place, RECORDS[0], "best.pt")
    assert asked == [(3.0, RECORDS[0].config, data, "float32")]
    assert (found["test_accuracy"], found["confusion_matrix"]) == (
        1.0, [[1, 0, 0], [0, 1, 0], [0, 0, 2]],
    )  # fmt: skip
    assert found["test_loss"] == pytest.approx(0.551445)  # log((e + 2) / e)


def test_it_stays_closed_where_weights_of_a_last_epoch_are_missing(court: Court) -> None:
    court.weights_of(2, "last.pt").unlink()
    with pytest.raises(StudyFailed, match=r"^trial 2 has no weights in "):
        judge(court, CONTENDERS, RECORDS, silent)
    assert openings(court.opened) == []


def test_a_row_is_of_the_best_epoch_and_of_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_file(_court: Court, _record: Record, name: str) -> dict[str, Any]:
        measure = {"best.pt": 0.8, "last.pt": 0.6}[name]
        return dict.fromkeys(judging._MEASURED, measure) | {"confusion_matrix": [[1]]}

    monkeypatch.setattr(judging, "measured", of_file)
    rows = (
        row(1, 0.5, epoch_s=1.0, trainable_parameters=3),
        row(2, 0.9, epoch_s=2.0, trainable_parameters=9, train_accuracy=0.7),
        row(3, 0.7, epoch_s=6.0, trainable_parameters=9, train_accuracy=0.8),
    )
    done = Record(4, "completed", {"kind": "a"}, 11, rows, 20.0)
    place = Court(EXPERIMENT, tmp_path, tmp_path, DATA, None, "float32")
    found = judging._row(place, Contender(1, done.config, True, None), done)
    expected = {
        "val_accuracy": 0.9,
        "train_accuracy": 0.7,
        "last_val_accuracy": 0.7,
        "test_accuracy": 0.8,
        "last_test_accuracy": 0.6,
        "last_f1_macro": 0.6,
        "epochs": 3,
        "best_epoch": 2,
        "epoch_s": 3.0,  # (1 + 2 + 6) / 3
        "trainable_parameters": 9,
        "wall_s": 20.0,
        "seed": 11,
    }
    assert {name: found[name] for name in expected} == expected


def test_what_confirms_is_trained_as_the_study_was_and_never_stopped() -> None:
    budget = {"max_epochs": 20, "seed": 5, "precision": "float32", "fixed": {"drop": 0.2}}
    chosen = [Contender(1, {"kind": "a"}, True, 0.5), Contender(2, {"kind": "b"}, False, 0.6)]
    plan = training_plan(budget, chosen, 3)
    assert (plan.trials, plan.max_epochs, plan.stopper, plan.rungs) == (6, 20, "none", ())
    assert (plan.precision, plan.seed, plan.seeds) == ("float32", 5, 3)
    assert dict(plan.fixed) == {"drop": 0.2}
