"""Followers of a study: TensorBoard files and MLflow runs, whole, never double, never fatal."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import beside, mlflow_runs, tensorboard_files
from search.beside import News, Pace, started
from search.mlflow_names import Names
from search.mlflow_runs import _Sender, uri_mistake
from search.plan import Plan
from search.records import Record
from search.tensorboard_files import SCALARS
from tests.search_tests.bench import make_bench
from tests.search_tests.free_port import free_port
from tests.search_tests.toy import begin, drive, events, go_on
from trainables.errors import TrellisError

PLAN = Plan(trials=4, max_epochs=3, seed=5, sampler="random", stopper="none")


def told() -> tuple[list[str], Any]:
    lines: list[str] = []
    return lines, lines.append


def half(root: Path) -> None:
    """Leave a study in the middle of its second trial, one epoch done."""
    opened = begin(PLAN, root)
    for epochs in (3, 1):
        given = opened.book.next()
        assert given is not None
        coming = events(given, opened.book.folder.trial(given.number), 3)
        for _, event in zip(range(epochs), coming, strict=False):
            assert "outcome" not in event
            opened.book.report(given.number, event)
        if epochs == 3:
            opened.book.end(given.number, "completed")
    opened.close()


@pytest.fixture
def gentle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configurations of the toy that neither fail nor diverge."""
    monkeypatch.setitem(globals(), "PLAN", replace(PLAN, fixed={"rate": 1e-2, "kind": "a"}))


def test_news_come_once_and_again_after_an_error(tmp_path: Path) -> None:
    opened = begin(PLAN, tmp_path / "s")
    drive(opened.book)
    news = News(opened.book, {})
    numbers = []
    for record, rows in news:
        numbers.append(record.number)
        assert list(record.rows) == rows
        if record.number == 1:
            break  # as an error would
    assert numbers == [0, 1]
    assert [record.number for record, _ in news] == [1, 2, 3]
    assert list(news) == []
    later = News(opened.book, {0: 1, 1: 0}, ended=[2])
    counts = {record.number: len(rows) for record, rows in later}
    assert counts.keys() == {0, 1, 3}
    assert counts[0] == len(opened.book.records[0].rows) - 1
    opened.close()


def test_pace() -> None:
    pace = Pace(1000.0)
    assert [pace.due() for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_extra_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert beside.mistakes(True, "http://127.0.0.1:5000") == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (line,) = beside.mistakes(name == "tensorboard", "sqlite:///x" if name == "mlflow" else None)
    way = f".venv/bin/python -m pip install --editable '.[{name}]'"
    assert line == f"--{name}: the package is missing: {way}"


@pytest.mark.parametrize(
    ("uri", "mistake"),
    [
        ("http://127.0.0.1:5000", None),
        ("https://host/path", None),
        ("sqlite:///runs.db", None),
        ("localhost:5000", "must be the URI of a tracking server"),
        ("ftp://host", "must be the URI of a tracking server"),
        ("http://", "must be the URI of a tracking server"),
        ("http://[::1", "is no URI"),
        ("http://me:secret@host", "MLFLOW_TRACKING_USERNAME"),
        ("postgresql://db/mlflow?user=me&password=secret", "MLFLOW_TRACKING_USERNAME"),
        ("postgresql://db/mlflow?sslmode=require", None),
    ],
)
def test_tracking_uris(uri: str, mistake: str | None) -> None:
    found = uri_mistake(uri)
    assert found is None if mistake is None else mistake in str(found)
    assert "secret" not in str(found)


def scalars(root: Path, trial: int) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(root / "tensorboard" / str(trial)))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def agrees(root: Path, book: Any) -> None:
    numbers = sorted(int(path.name) for path in (root / "tensorboard").iterdir())
    assert numbers == sorted(book.records)
    for number, record in book.records.items():
        found = scalars(root, number)
        assert found.keys() == (SCALARS.keys() if record.rows else set())
        for tag, name in SCALARS.items() if record.rows else ():
            assert [step for step, _ in found[tag]] == [row["epoch"] for row in record.rows]
            values = [value for _, value in found[tag]]
            assert values == pytest.approx([row[name] for row in record.rows])


@pytest.mark.usefixtures("gentle")
def test_event_files_hold_every_epoch_once_whatever_was_killed(tmp_path: Path) -> None:
    root = tmp_path / "s"
    half(root)
    lines, say = told()
    for _ in range(2):  # the second finds all that the first has written
        opened = go_on(PLAN, root)
        (follower,) = started(opened.book, True, None, say)
        follower.update()
        follower.close()
        agrees(root, opened.book)
        opened.close()
    (torn,) = (root / "tensorboard" / "1").iterdir()
    torn.write_bytes(torn.read_bytes()[:-7])  # as a kill in the middle of the one epoch
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, True, None, say)
    follower.update()
    drive(opened.book)
    follower.close()
    agrees(root, opened.book)
    assert len(opened.book.records) == 4
    opened.close()
    assert lines == []


@pytest.mark.usefixtures("gentle")
def test_event_files_of_a_trial_that_the_journal_has_lost_are_put_aside(tmp_path: Path) -> None:
    root = tmp_path / "s"
    half(root)
    lines, say = told()
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, True, None, say)
    follower.update()
    follower.close()
    last = max(number for number, record in opened.book.records.items() if record.rows)
    opened.book.records[last] = replace(opened.book.records[last], rows=(), status="running")
    (follower,) = started(opened.book, True, None, say)
    follower.update()
    follower.close()
    assert scalars(root, last) == {}
    assert list((root / "tensorboard" / f"{last}.before").iterdir())
    opened.close()
    assert lines == []


class Server:
    """As much of MLflow's client as looking at earlier runs takes."""

    def __init__(self, runs: dict[str, tuple[dict[str, str], str, int]]) -> None:
        self.runs, self.tags = runs, {name: {} for name in runs}  # type: ignore[var-annotated]

    def get_run(self, name: str) -> Any:
        params, status, _ = self.runs[name]
        data = SimpleNamespace(params=params, tags=self.tags[name])
        return SimpleNamespace(info=SimpleNamespace(status=status), data=data)

    def get_metric_history(self, name: str, _metric: str) -> list[Any]:
        return [SimpleNamespace(step=n + 1) for n in range(self.runs[name][2])]

    def set_tag(self, name: str, key: str, value: str) -> None:
        self.tags[name][key] = value


def test_runs_of_trials_that_the_journal_has_lost_are_told_apart(tmp_path: Path) -> None:
    """Other trials have their numbers now: nothing of those may go into the old runs."""
    rows = ({"epoch": 1}, {"epoch": 2})
    now = {
        n: Record(n, status, {"rate": 0.1}, 7, rows, 1.0)
        for n, status in enumerate(["completed", "running", "running", "running"])
    }
    same, other = {"rate": "0.1", "seed": "7"}, {"rate": "0.9", "seed": "7"}
    server = Server(
        {
            "whole": (same, "FINISHED", 2),
            "drawn anew": (other, "KILLED", 1),
            "further": (same, "KILLED", 3),
            "over": (same, "FINISHED", 2),
            "lost": (same, "KILLED", 1),
        }
    )
    sender = _Sender.__new__(_Sender)
    names = Names(tmp_path / "mlflow.json", "http://x")
    names.trials.update(enumerate(server.runs))
    names.save()
    sender._client, sender._runs = server, names
    sender._book = SimpleNamespace(records=now)  # type: ignore[assignment]
    assert sender._had() == ({0: 2}, [0])
    assert names.trials == {0: "whole"}
    assert [name for name, tags in server.tags.items() if tags] == list(server.runs)[1:]
    assert Names(tmp_path / "mlflow.json", "http://x").trials == {0: "whole"}


@pytest.mark.usefixtures("gentle")
def test_event_files_are_read_once_by_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "s"
    half(root)
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, True, None, print)
    follower.close()
    opened.close()
    read, events_of = list[str](), tensorboard_files._events

    def counted(folder: Path) -> Any:
        read.append(folder.name)
        return events_of(folder)

    monkeypatch.setattr(tensorboard_files, "_events", counted)
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, True, None, print)
    follower.update()
    drive(opened.book)
    follower.close()
    agrees(root, opened.book)
    opened.close()
    assert sorted(read) == ["0", "1"]


@pytest.mark.usefixtures("gentle")
def test_event_files_have_the_configuration(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    opened = begin(PLAN, tmp_path / "s")
    drive(opened.book)
    (follower,) = started(opened.book, True, None, print)
    follower.close()
    found = EventAccumulator(str(tmp_path / "s" / "tensorboard" / "2"))
    found.Reload()
    content = found.PluginTagToContent("hparams")
    begun = metadata.parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
    config = opened.book.records[2].config
    assert begun.hparams["kind"].string_value == config["kind"] == "a"
    assert begun.hparams["drop"].number_value == config["drop"]
    over = metadata.parse_session_end_info_plugin_data(content["_hparams_/session_end_info"])
    status = opened.book.records[2].status
    assert over.status == (
        api_pb2.STATUS_SUCCESS if status == "completed" else api_pb2.STATUS_FAILURE
    )
    opened.close()


@pytest.mark.usefixtures("gentle")
def test_a_full_disk_under_event_files_is_told_once(tmp_path: Path) -> None:
    opened = begin(PLAN, tmp_path / "s")
    (tmp_path / "s" / "tensorboard").write_text("no folder")
    lines, say = told()
    (follower,) = started(opened.book, True, None, say)
    drive(opened.book)
    follower.update()
    follower.close()
    (line,) = lines
    assert "are no longer written: " in line
    assert "the study goes on" in line
    assert not opened.book.unfinished
    opened.close()


@pytest.mark.usefixtures("gentle")
def test_a_server_that_does_not_answer_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TrellisError("connection refused\nand more")

    monkeypatch.setattr(mlflow_runs, "_Sender", refuse)
    monkeypatch.setattr(mlflow_runs, "_RETRY_S", 0.01)
    opened = begin(PLAN, tmp_path / "s")
    lines, say = told()
    (follower,) = started(opened.book, False, "http://127.0.0.1:9", say)
    drive(opened.book)
    follower.update()
    follower.close()
    assert lines == [
        "MLflow at http://127.0.0.1:9 takes nothing now: TrellisError: connection refused; the "
        "study goes on, and what is missing there is sent when it answers, or by --resume --mlflow"
    ]
    opened.close()


def answers(uri: str) -> bool:
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=60).close()
    except (OSError, HTTPException):
        return False
    return True


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real tracking server on 127.0.0.1 over sqlite; ended by its process."""
    # A busy machine may take longer than a study is to be held up by.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "300")
    monkeypatch.setattr(mlflow_runs, "_PATIENCE_S", 900.0)
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"),
        *("--default-artifact-root", str(tmp_path / "artifacts")),
    ]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        while not answers(uri):  # pytest's limit ends this
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        yield uri
    finally:
        os.killpg(process.pid, 15)  # its own group: the server and its worker
        process.wait(timeout=300)
        log.close()


def runs_of(uri: str, root: Path) -> tuple[Any, dict[str, Any], Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    kept = json.loads((root / "mlflow.json").read_text())[uri]
    parent = client.get_run(kept["run"])
    found = client.search_runs([kept["experiment"]])
    children = {
        run.data.tags["trellis.trial"]: run
        for run in found
        if run.data.tags.get("mlflow.parentRunId") == kept["run"]
    }
    assert len(found) == len(children) + 1  # none twice
    return client, children, parent


@pytest.mark.slow
@pytest.mark.usefixtures("gentle")
def test_mlflow_has_every_epoch_once_and_a_resume_goes_on_in_the_same_runs(
    tmp_path: Path, server: str
) -> None:
    root = tmp_path / "s"
    half(root)
    lines, say = told()
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, False, server, say)
    follower.close()
    opened.close()
    _, children, parent = runs_of(server, root)
    assert parent.info.status == "KILLED"
    assert parent.info.run_name == "s"
    assert {n: run.info.status for n, run in children.items()} == {"0": "FINISHED", "1": "KILLED"}
    before = {n: run.info.run_id for n, run in children.items()}
    # A kill between making a run and keeping its name: the server still knows it.
    kept = json.loads((root / "mlflow.json").read_text())
    del kept[server]["trials"]["1"]
    (root / "mlflow.json").write_text(json.dumps(kept))
    opened = go_on(PLAN, root)
    (follower,) = started(opened.book, False, server, say)
    drive(opened.book)
    follower.close()
    client, children, parent = runs_of(server, root)
    assert before.items() <= {n: run.info.run_id for n, run in children.items()}.items()
    assert children.keys() == {"0", "1", "2", "3"}
    assert parent.info.status == "FINISHED"
    assert opened.book.best is not None
    assert parent.data.metrics["best_val_accuracy"] == opened.book.best.val_accuracy
    assert parent.data.params["sampler"] == "random"
    for number, record in opened.book.records.items():
        run = children[str(number)]
        good = record.status in ("completed", "stopped")
        assert run.info.status == ("FINISHED" if good else "FAILED")
        assert run.data.tags["trellis.status"] == record.status
        assert run.data.params == {
            **{name: str(value) for name, value in record.config.items()},
            "seed": str(record.seed),
        }
        for name in ("val_accuracy", "train_loss"):
            history = client.get_metric_history(run.info.run_id, name)
            assert [(one.step, one.value) for one in history] == [
                (row["epoch"], row[name]) for row in record.rows
            ]
    opened.close()
    assert lines == []


@pytest.mark.slow
def test_a_run_with_followers_and_a_server_that_is_gone(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    uri = f"http://127.0.0.1:{free_port()}"
    words = ("--study", "s", "--trials", "2", "--tensorboard", "--mlflow", uri)
    done = bench.run(*words, "--cpus-per-trial", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"MLflow at {uri} takes nothing now: ") == 1
    curves = (bench.results / "s" / "curves.csv").read_text().splitlines()
    steps = [step for n in (0, 1) for step, _ in scalars(bench.results / "s", n)["loss/train"]]
    assert len(steps) == len(curves) - 1 > 1
    again = bench.run("--study", "s", "--resume", "--tensorboard")
    assert again.returncode == 0, again.stderr
    repeated = [step for n in (0, 1) for step, _ in scalars(bench.results / "s", n)["loss/train"]]
    assert repeated == steps
