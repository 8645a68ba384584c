"""evaluation.json of a tiny trial: what it says, and that only the validation split is read."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from search.book import Book
from search.catalog import EXPERIMENTS, find
from search.evaluation import as_text, evaluate_best, write_evaluation
from search.judging import Court, measured
from search.records import Record
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from tests.trainables_tests.tiny_stages import budget
from trainables import device as machine
from trainables.budget import EpochResult, Weights, drive

MNIST = find("mnist_cnn")
CONFIG: dict[str, Any] = {**MNIST.defaults(), "filters": "16/32", "batch_size": 8}


def trained(root: Path) -> tuple[TinyData, EpochResult]:
    data = tiny_data((8, 8, 1), classes=10, validation=40)
    best = drive(MNIST.trainable()(CONFIG, data, budget(2, root)), None)
    data.asked.clear()
    return data, best


def record(best: EpochResult) -> Record:
    row = {"epoch": best.epoch, "val_accuracy": best.val_accuracy}
    return Record(7, "completed", CONFIG, 1, (row,))


def test_it_is_written_as_it_is_returned(tmp_path: Path) -> None:
    data, best = trained(tmp_path)
    written = write_evaluation(MNIST, tmp_path, record(best), data, "auto")
    assert written is not None
    text = (tmp_path / "evaluation.json").read_text()
    assert json.loads(text) == written
    assert text.endswith("}\n")
    rows = [line.strip().rstrip(",") for line in text.splitlines()[-12:-2]]
    assert rows == [str(row) for row in written["confusion_matrix"]]  # a line for each
    assert list(written) == [
        "experiment", "data", "split", "trial", "epoch", "classes", "images", "accuracy",
        "f1_macro", "precision_macro", "recall_macro",
        "f1_weighted", "precision_weighted", "recall_weighted", "confusion_matrix",
    ]  # fmt: skip
    assert (written["experiment"], written["split"]) == ("mnist_cnn", "validation")
    assert (written["trial"], written["epoch"], written["images"]) == (7, best.epoch, 40)
    assert written["classes"] == [f"class {number}" for number in range(10)]
    assert written["accuracy"] == pytest.approx(best.val_accuracy)
    assert [sum(row) for row in written["confusion_matrix"]] == [4] * 10
    assert data.asked == [("validation", None)]


def test_a_matrix_has_a_line_for_every_row() -> None:
    each = {"name": "[\n  1\n]", "confusion_matrix": [[12, 0], [3, 4]], "mean": [0.5, 1], "no": []}
    assert (
        as_text({"trial": 7, "configurations": [each]})
        == """{
  "trial": 7,
  "configurations": [
    {
      "name": "[\\n  1\\n]",
      "confusion_matrix": [
        [12, 0],
        [3, 4]
      ],
      "mean": [
        0.5,
        1
      ],
      "no": []
    }
  ]
}
"""
    )


def test_without_weights_nothing_is_written(tmp_path: Path) -> None:
    data, best = trained(tmp_path)
    (tmp_path / "best.pt").unlink()
    assert write_evaluation(MNIST, tmp_path, record(best), data, "auto") is None
    assert not (tmp_path / "evaluation.json").exists()
    assert data.asked == []


def end_of_study(root: Path, data: TinyData, best: EpochResult | None) -> None:
    book = SimpleNamespace(
        best=None if best is None else record(best), folder=SimpleNamespace(root=root)
    )
    evaluate_best(MNIST, cast("Book", book), data, "auto")


def test_the_end_of_a_study_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, best = trained(tmp_path)
    end_of_study(tmp_path, data, best)
    said = capsys.readouterr().err
    assert f"best model on 40 validation images: accuracy {best.val_accuracy:.4f}; " in said
    assert "evaluation.json has the confusion matrix" in said
    assert (tmp_path / "evaluation.json").exists()


def test_the_end_of_a_study_without_weights_or_best_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, best = trained(tmp_path)
    (tmp_path / "best.pt").unlink()
    end_of_study(tmp_path, data, best)
    assert f"no evaluation.json, since {tmp_path} has no best.pt" in capsys.readouterr().err
    end_of_study(tmp_path, data, None)
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "evaluation.json").exists()


# --- on the CPU, where a GPU is there that trials were not given


@pytest.fixture
def no_gpu_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "can_compute", lambda: pytest.fail("was looked for"))


@pytest.mark.usefixtures("no_gpu_is_looked_for")
def test_the_best_model_is_evaluated_on_the_cpu(tmp_path: Path) -> None:
    data, best = trained(tmp_path)
    book = SimpleNamespace(best=record(best), folder=SimpleNamespace(root=tmp_path))
    evaluate_best(MNIST, cast("Book", book), data, "float32", "cpu")
    assert json.loads((tmp_path / "evaluation.json").read_text())["images"] == 40


@pytest.mark.usefixtures("no_gpu_is_looked_for")
def test_trials_are_judged_on_the_cpu(tmp_path: Path) -> None:
    data, best = trained(tmp_path / "trials" / "7")
    court = Court(MNIST, tmp_path, tmp_path, data, None, "float32", "cpu")
    found = measured(court, record(best), "best.pt", "validation")
    assert found["test_accuracy"] == pytest.approx(best.val_accuracy, abs=0.03)


def test_what_is_frozen_is_computed_on_the_device_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, best = trained(tmp_path / "trials" / "7")
    asked: list[str] = []

    def kept_logits(*given: Any) -> torch.Tensor:
        asked.append(given[-1].device)
        return torch.eye(10)[torch.arange(40) % 10]

    monkeypatch.setattr(MNIST.module(), "kept_logits", kept_logits, raising=False)
    weights = Weights("file", "/w.pt", "f00d")
    for device in ("cpu", "auto"):
        court = Court(MNIST, tmp_path, tmp_path, data, weights, "float32", device)
        assert measured(court, record(best), "best.pt", "validation")["test_accuracy"] == 1
    assert asked == ["cpu", "auto"]


def test_who_asks_for_it() -> None:
    asks = {name for name, each in EXPERIMENTS.items() if each.class_metrics}
    assert "mnist_cnn" in asks
    assert not asks & {"lenet_beans", "inception_beans", "cifar10_net", "cifar10_transfer"}
