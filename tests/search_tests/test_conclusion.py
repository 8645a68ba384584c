"""The closing step of an experiment: a file written once per best trial, lines, and an end."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from search import conclusion
from search.book import Book
from search.catalog import EXPERIMENTS
from search.options import build_parser
from search.records import Record
from search.request import check as check_request
from search.resources import Asked, Resources
from tests.search_tests.toy import DATA, EXPERIMENT
from trainables.budget import Budget
from trainables.data.source import silent

ROWS = ({"epoch": 1, "val_accuracy": 0.5}, {"epoch": 2, "val_accuracy": 0.75})
BEST = Record(7, "completed", {"kind": "a"}, 11, ROWS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Budget]:
    """A module `closing` that notes what it is asked with."""
    seen: list[Budget] = []
    closing = ModuleType("closing")

    def conclude(config: Any, rows: Any, _data: Any, budget: Budget) -> dict[str, Any]:
        seen.append(budget)
        budget.progress("at work", 1, 2)
        return {"kind": config["kind"], "last": rows[-1]["val_accuracy"]}

    def lines(content: Mapping[str, Any]) -> list[str]:
        return [f"last {content['last']}", f"kind {content['kind']}"]

    vars(closing).update(NAME="closing.json", conclude=conclude, lines=lines)
    monkeypatch.setitem(sys.modules, "closing", closing)
    return seen


def end(root: Path, best: Record | None = BEST, progress: Any = silent, **changes: Any) -> None:
    given: dict[str, Any] = {
        "experiment": replace(EXPERIMENT, conclusion="closing"),
        "resources": Resources(2, 0.0, 1),
        "asked": Asked(2),
    }
    usual = check_request(build_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    request = replace(usual, **given | changes)
    book = cast("Book", SimpleNamespace(best=best, folder=SimpleNamespace(root=root)))
    conclusion.conclude(request, book, DATA, "float32", progress)


def test_the_file_and_the_lines(
    tmp_path: Path, asked: list[Budget], capsys: pytest.CaptureFixture[str]
) -> None:
    end(tmp_path)
    assert json.loads((tmp_path / "closing.json").read_text()) == {
        "experiment": "toy",
        "data": "embedded:beans",
        "trial": 7,
        "epochs": 2,
        "config": {"kind": "a"},
        "kind": "a",
        "last": 0.75,
    }
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-3:] == [
        "trial 7, the best (closing.json has all of it):",
        "  last 0.75",
        "  kind a",
    ]
    (given,) = asked
    assert (given.epochs, given.seed, given.threads) == (2, 11, 2)
    assert (given.device, given.precision) == ("cpu", "float32")


def test_it_is_written_once_for_a_trial(
    tmp_path: Path, asked: list[Budget], capsys: pytest.CaptureFixture[str]
) -> None:
    end(tmp_path)
    capsys.readouterr()
    end(tmp_path)
    assert len(asked) == 1
    assert capsys.readouterr().err.endswith("  last 0.75\n  kind a\n")  # told again
    end(tmp_path, replace(BEST, number=8))
    end(tmp_path, replace(BEST, number=8, rows=ROWS[:1]))
    assert len(asked) == 3
    (tmp_path / "closing.json").write_text("{")
    end(tmp_path)
    assert len(asked) == 4


@pytest.mark.parametrize("less", [{"trial": 7, "epochs": 2, "kind": "a"}, [7]])
def test_what_an_earlier_version_wrote_less_of_is_made_anew(
    less: Any, tmp_path: Path, asked: list[Budget], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closing.json").write_text(json.dumps(less))
    end(tmp_path)
    assert len(asked) == 1
    assert capsys.readouterr().err.endswith("  last 0.75\n  kind a\n")
    assert json.loads((tmp_path / "closing.json").read_text())["last"] == 0.75


@pytest.mark.parametrize(
    ("resources", "of_trials", "device", "threads"),
    [
        (Resources(1, 0.25, 4), Asked(), "cuda", 1),
        (None, Asked(), "auto", 1),  # on a cluster
        (None, Asked(3), "auto", 3),
    ],
)
def test_what_the_trial_had(
    resources: Any,
    of_trials: Asked,
    device: str,
    threads: int,
    tmp_path: Path,
    asked: list[Budget],
) -> None:
    end(tmp_path, resources=resources, asked=of_trials)
    assert (asked[0].device, asked[0].threads) == (device, threads)


def test_nothing_to_conclude(tmp_path: Path, asked: list[Budget]) -> None:
    end(tmp_path, None)
    end(tmp_path, experiment=EXPERIMENT)
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_ended_early(tmp_path: Path, asked: list[Budget]) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        assert (what, done, total) == ("at work", 1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end(tmp_path, progress=stop)
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_who_asks_for_it() -> None:
    found = {name: each.conclusion for name, each in EXPERIMENTS.items() if each.conclusion}
    assert found["cifar10_transfer"] == "trainables.transfer_conclusion"
    assert not found.keys() & {"lenet_beans", "inception_beans", "cifar10_net", "mnist_cnn"}
    assert EXPERIMENTS["cifar10_transfer"].published_split == "validation"
