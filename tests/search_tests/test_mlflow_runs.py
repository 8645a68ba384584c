"""Runs on a tracking server that fails in between: each epoch once, and few questions."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import mlflow_names
from search.mlflow_names import Names
from search.mlflow_runs import _Sender
from search.plan import Plan
from search.study import OpenStudy
from tests.search_tests.toy import begin, drive
from trainables.errors import TrellisError

PLAN = Plan(trials=3, max_epochs=3, seed=5, sampler="random", stopper="none")
# Of each trial: its run, its configuration, its epochs, the tag and the status of its end.
EACH = 5
QUESTIONS = ("get", "history", "search")


class Server:
    """As much of MLflow as a study takes, in memory. It takes `left` more changes, then fails.

    `late`: the change that fails arrives all the same, and its answer alone is lost.
    """

    def __init__(self, late: bool) -> None:
        self.late, self.left = late, 1000
        self.asked: list[str] = []
        self.runs: dict[str, Any] = {}

    def _arrives(self, what: str) -> bool:
        self.asked.append(what)
        self.left -= 1
        return self.left >= 0 or self.late

    def _answer(self) -> None:
        if self.left < 0:
            raise TrellisError("connection reset")

    def get_experiment_by_name(self, _: str) -> Any:
        return SimpleNamespace(experiment_id="0")

    def create_run(self, _: str, run_name: str, tags: dict[str, str] | None = None) -> Any:
        name = f"{run_name}, run {len(self.runs)}"
        if self._arrives("create"):
            data = SimpleNamespace(params={}, tags=tags or {})
            info = SimpleNamespace(run_id=name, status="RUNNING")
            self.runs[name] = SimpleNamespace(info=info, data=data, metrics=[])
        self._answer()
        return self.runs[name]

    def log_batch(self, name: str, metrics: list[Any], params: list[Any]) -> None:
        if self._arrives("batch"):
            self.runs[name].metrics += [(each.key, each.step) for each in metrics]
            self.runs[name].data.params |= {each.key: each.value for each in params}
        self._answer()

    def log_metric(self, *_: object, step: int) -> None:
        self._arrives(f"best {step}")
        self._answer()

    def set_tag(self, name: str, key: str, value: str) -> None:
        if self._arrives("tag"):
            self.runs[name].data.tags[key] = value
        self._answer()

    def update_run(self, name: str, status: str) -> None:
        if self._arrives("status"):
            self.runs[name].info.status = status
        self._answer()

    def get_run(self, name: str) -> Any:
        self.asked.append("get")
        return self.runs[name]

    def get_metric_history(self, name: str, metric: str) -> list[Any]:
        self.asked.append("history")
        steps = (step for key, step in self.runs[name].metrics if key == metric)
        return [SimpleNamespace(step=step) for step in steps]

    def search_runs(self, *_: object, page_token: None) -> Any:
        self.asked.append("search")
        return Page(run for run in self.runs.values() if run.data.tags)


class Page(list[Any]):
    """The only one of what was found."""

    token = None


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[OpenStudy]:
    """A study of three trials that came to their ends, three epochs each."""
    plan = replace(PLAN, fixed={"rate": 1e-2, "kind": "a"})
    opened = begin(plan, tmp_path / "s")
    drive(opened.book)
    assert [len(record.rows) for record in opened.book.records.values()] == [3] * 3
    yield opened
    opened.close()


def connected(
    opened: OpenStudy, server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[_Sender, Path]:
    """Return a sender that begins anew, and its file."""
    monkeypatch.setattr("mlflow.tracking.MlflowClient", lambda tracking_uri: server)
    path = opened.book.folder.root / "mlflow.json"
    path.unlink(missing_ok=True)
    return _Sender(opened.book, "http://x"), path


@pytest.mark.parametrize("late", [False, True])
def test_after_an_error_only_the_trial_under_way_is_asked_for(
    late: bool, ended: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sent in range(3 * EACH + 1):  # the last one is of the best accuracy
        server = Server(late)
        sender, path = connected(ended, server, monkeypatch)
        server.left = sent
        with pytest.raises(TrellisError, match="reset"):
            sender.send()
        server.left, before = 1000, len(server.asked)
        sender.send()
        looks = [each for each in server.asked[before:] if each in QUESTIONS]
        is_run = sent % EACH == 0 and sent < 3 * EACH  # whose name did not come back
        found = [] if is_run and not late else ["get", "history"]
        assert looks == ["search"] * is_run + found
        study, *runs = server.runs.values()
        assert study.info.run_id == "s, run 0"
        assert [run.data.tags["trellis.trial"] for run in runs] == ["0", "1", "2"]
        for run in runs:
            assert [step for key, step in run.metrics if key == "val_accuracy"] == [1, 2, 3]
            assert run.data.params.keys() == {"kind", "rate", "drop", "seed"}
            assert run.info.status == "FINISHED"
        kept = Names(path, "http://x").trials
        assert kept == {n: run.info.run_id for n, run in enumerate(runs)}


def test_the_names_of_all_new_runs_are_written_once(
    ended: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, write = list[str](), mlflow_names.replace_text

    def counted(path: Path, text: str) -> None:
        writes.append(text)
        write(path, text)

    monkeypatch.setattr(mlflow_names, "replace_text", counted)
    sender, _ = connected(ended, Server(late=False), monkeypatch)
    assert len(writes) == 1  # the study's own: nobody else could tell which it is
    sender.send()
    sender.send()
    assert len(writes) == 2
    assert writes[1].count("trial ") == 3
