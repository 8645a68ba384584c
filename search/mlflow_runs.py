"""`--mlflow URI`: a run per study, and nested in it a run per trial, on an MLflow tracking server.

A thread of its own talks to the server: one that is slow or gone never holds the study up. What
could not be sent is sent later, by this run or by a resumed one: the run's names are kept in the
study's folder, and the server itself knows how many epochs of each it has.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from search.beside import News, is_ahead
from search.book import Book
from search.mlflow_names import NAME, Names
from search.places import has_password
from search.records import Record

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_s")
_JUDGED = "val_accuracy"
_EVERY_S = 2.0
_RETRY_S = 30.0
# How long the end of a study waits for what is still to be sent.
_PATIENCE_S = 60.0
_SUPERSEDED = "trellis.superseded"  # tag of the run of a trial that the journal has lost
_AT_ONCE = 100  # epochs in a request; a server takes 1,000 metrics
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing but the server that was named is called
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # its own would go on for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
_STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "running": "RUNNING"}


def uri_mistake(uri: str) -> str | None:
    """Return what is wrong with a tracking URI, None if nothing is; no server is asked."""
    try:
        parts = urlsplit(uri)
        host, user = parts.hostname, parts.username
    except ValueError:
        return "is no URI"
    if user is not None or has_password(uri):  # it would be kept in study.json
        return "holds a name or password: set MLFLOW_TRACKING_USERNAME and _PASSWORD instead"
    if parts.scheme in ("http", "https") and host:
        return None
    if parts.scheme in ("sqlite", "file", "postgresql", "mysql"):
        return None
    return "must be the URI of a tracking server, such as http://127.0.0.1:5000, or sqlite:///FILE"


class Runs:
    """Sends a study to MLflow, behind its back."""

    def __init__(self, book: Book, uri: str, say: Callable[[str], None]) -> None:
        """Begin to send; `say` hears once if that fails."""
        self._book = book
        self._uri = uri
        self._say = say
        self._told = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go, name="mlflow", daemon=True)
        self._thread.start()

    def update(self) -> None:
        """Do nothing: the thread looks for itself."""

    def close(self) -> None:
        """Let the rest be sent, within a minute, and say if it was not."""
        self._ending.set()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._fail("it is too slow to take the rest of the study")

    def _go(self) -> None:
        sender: _Sender | None = None
        while True:
            last, wait_s = self._ending.is_set(), _EVERY_S
            try:
                sender = sender or _Sender(self._book, self._uri)
                sender.send()
                if last:
                    sender.end()
            except Exception as error:  # of MLflow, requests, a database: the study goes on
                self._fail(f"{type(error).__name__}: {error}".splitlines()[0][:300])
                wait_s = _RETRY_S
            if last:
                return
            self._ending.wait(wait_s)

    def _fail(self, what: str) -> None:
        if not self._told:
            self._told = True
            self._say(
                f"MLflow at {self._uri} takes nothing now: {what}; the study goes on, and what is "
                "missing there is sent when it answers, or by --resume --mlflow"
            )


class _Sender:
    """Our side of the conversation: it begins with what the server has of the study.

    After an error it goes on: the server is asked only what came of the trial that was under way.
    """

    def __init__(self, book: Book, uri: str) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self._book = book
        self._client = MlflowClient(tracking_uri=uri)
        self._runs = Names(book.folder.root / NAME, uri)
        self._begin()
        self._news = News(book, *self._had())
        self._best: float | None = None
        self._sending = False
        self._under_way: int | None = None

    def _begin(self) -> None:
        """Make the study's own run, or go on with it."""
        if self._runs.study is not None:
            self._client.update_run(self._runs.study, status="RUNNING")
            return
        plan, name = self._book.plan, self._book.experiment.name
        found = self._client.get_experiment_by_name(name)
        place = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(place, run_name=self._book.folder.root.name)
        self._runs.keep_study(place, run.info.run_id)
        params = {
            "trials": plan.trials,
            "max_epochs": plan.max_epochs,
            "seed": plan.seed,
            "sampler": plan.sampler,
            "stopper": plan.stopper,
            **{str(key): value for key, value in self._book.folder.about.items()},
        }
        self._send(run.info.run_id, params=params)

    def _had(self) -> tuple[dict[int, int], list[int]]:
        """Return how many epochs of each trial the server has, and which trials it has whole."""
        begun, ended = {}, []
        for number, run_id in list(self._children().items()):
            had = self._had_of(number, run_id)
            if had is not None:
                begun[number], over = had
                if over:
                    ended.append(number)
        self._runs.save()
        return begun, ended

    def _had_of(self, number: int, run_id: str) -> tuple[int, bool] | None:
        """Return how many epochs of a trial the server has, and whether its end.

        None where the run is of another trial: it is ours no more.
        """
        run, record = self._client.get_run(run_id), self._book.records.get(number)
        history = self._client.get_metric_history(run_id, _JUDGED)
        epochs = max((each.step for each in history), default=0)
        over = run.info.status in ("FINISHED", "FAILED")
        if record is None or is_ahead(record, epochs, over) or _is_another(record, run):
            self._client.set_tag(run_id, _SUPERSEDED, "true")
            self._runs.trials.pop(number)
            return None
        if not run.data.params:  # the connection broke between the two requests
            self._send(run_id, params=_params(record))
        return epochs, over

    def _children(self) -> dict[int, str]:
        """Return the runs of trials, one that a kill kept out of our file included."""
        token, parent = None, self._runs.study
        while parent is not None:
            page = self._client.search_runs(
                [str(self._runs.place)],
                f"tags.`mlflow.parentRunId` = '{parent}'",
                page_token=token,
            )
            for run in page:
                if _SUPERSEDED in run.data.tags:
                    continue
                self._runs.trials.setdefault(int(run.data.tags["trellis.trial"]), run.info.run_id)
            token = page.token
            if not token:
                break
        return self._runs.trials

    def send(self) -> None:
        """Send what is new."""
        if self._sending:  # the last time an error came in between
            self._go_on()
        self._sending = True
        for record, rows in self._news:
            self._under_way = record.number
            run_id = self._run_of(record)
            for start in range(0, len(rows), _AT_ONCE):
                self._send(run_id, rows=rows[start : start + _AT_ONCE])
            self._tell_status(record, run_id)
        self._runs.save()
        best = self._book.best
        if best is not None and best.val_accuracy != self._best:
            self._client.log_metric(
                str(self._runs.study), "best_val_accuracy", best.val_accuracy, step=best.number
            )
            self._best = best.val_accuracy
        self._sending = False

    def _go_on(self) -> None:
        """Find out how much arrived of the trial at which the last sending broke off."""
        number = self._under_way
        if number is None:
            return
        if number not in self._runs.trials:  # or its run was made, and the answer was lost
            self._children()
        run_id = self._runs.trials.get(number)
        self._news.correct(number, self._had_of(number, run_id) if run_id else None)

    def _run_of(self, record: Record) -> str:
        if record.number not in self._runs.trials:
            run = self._client.create_run(
                str(self._runs.place),
                run_name=f"trial {record.number}",
                tags={
                    "mlflow.parentRunId": str(self._runs.study),
                    "trellis.trial": str(record.number),
                },
            )
            self._runs.trials[record.number] = run.info.run_id
            self._send(run.info.run_id, params=_params(record))
        return self._runs.trials[record.number]

    def _tell_status(self, record: Record, run_id: str) -> None:
        if record.status != "running":
            self._client.set_tag(run_id, "trellis.status", record.status)
            if record.error:
                self._client.set_tag(run_id, "trellis.error", record.error[:500])
        # Again where an earlier run of the study left it as killed.
        self._client.update_run(run_id, status=_STATUS.get(record.status, "FAILED"))

    def _send(
        self,
        run_id: str,
        rows: list[Mapping[str, Any]] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(row[name]), now, row["epoch"])
            for row in rows or ()
            for name in METRICS
        ]
        written = [Param(name, str(value)) for name, value in (params or {}).items()]
        self._client.log_batch(run_id, metrics=metrics, params=written)

    def end(self) -> None:
        """Close the study's run, and those of trials that go on with a later --resume."""
        status = "KILLED" if self._book.unfinished else "FINISHED"
        for number, record in list(self._book.records.items()):
            if record.status == "running" and number in self._runs.trials:
                self._client.update_run(self._runs.trials[number], status="KILLED")
        self._client.update_run(str(self._runs.study), status=status)


def _params(record: Record) -> dict[str, Any]:
    return {**record.config, "seed": record.seed}


def _is_another(record: Record, run: Any) -> bool:
    """Tell whether a run is of a trial that the journal has lost, and has anew under its number.

    As after the loss of a driver's machine, when the store lacks the study's last seconds.
    """
    had, params = run.data.params, {k: str(v) for k, v in _params(record).items()}
    return _SUPERSEDED in run.data.tags or (bool(had) and had != params)
