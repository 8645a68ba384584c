"""Following a job whose cluster comes and goes: a client of our own in the place of Ray's."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from search import jobs_client
from search.errors import StudyFailed
from search.jobs_client import Cluster
from tests.search_tests.clock import Clock

DROPPED = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
SILENCE = float("inf")  # seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(jobs_client, "time", found)
    return found


def cluster(
    connections: list[list[str | float | Exception]], clock: Clock, ended: Callable[[], bool]
) -> Cluster:
    """A cluster with a job: each connection sends texts, lets seconds pass, drops."""

    class Client:
        async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
            for event in connections.pop(0):
                if isinstance(event, Exception):
                    raise event
                if event == SILENCE:
                    await asyncio.Event().wait()
                elif isinstance(event, float):
                    clock.now += event
                else:
                    yield event

    found: Any = object.__new__(Cluster)
    found.url, found._client = "http://x", Client()
    found.job = lambda _: SimpleNamespace(status=SimpleNamespace(is_terminal=ended))
    return found  # type: ignore[no-any-return]


def test_what_was_printed_before_a_connection_dropped_is_not_printed_again(clock: Clock) -> None:
    output = io.StringIO()
    connections: list[list[str | float | Exception]] = [
        ["one\n", "two\n", 10000.0, DROPPED],  # each sends the log from its start
        ["one\ntwo\nth", DROPPED],
        ["one\n", DROPPED],  # the log as a node that is behind has it
        ["one\ntwo\n", 10000.0, DROPPED],
        ["one\ntwo\nthree\n", "four\n"],
    ]
    cluster(connections, clock, lambda: True).follow("job", output)
    assert output.getvalue() == "one\ntwo\nthree\nfour\n"
    assert connections == []


def test_a_cluster_that_answers_between_drops_is_not_lost(clock: Clock) -> None:
    output, far = io.StringIO(), 0.8 * jobs_client._PATIENCE_S
    connections: list[list[str | float | Exception]] = [
        ["one\n", DROPPED],
        [far, DROPPED],
        [],  # nothing new, but the job is there
        [far, DROPPED],
        ["one\n"],  # nothing new, but there
        [far, DROPPED],
        ["one\n", "two\n"],
    ]
    cluster(connections, clock, lambda: not connections).follow("job", output)
    assert output.getvalue() == "one\ntwo\n"


def test_a_cluster_that_stays_away_is_lost_after_a_minute(clock: Clock) -> None:
    connections: list[list[str | float | Exception]] = [["one\n"]]
    connections += [[DROPPED] for _ in range(1000)]
    output = io.StringIO()
    with pytest.raises(StudyFailed, match=r"^lost the cluster http://x: WebSocket connection cl"):
        cluster(connections, clock, lambda: False).follow("job", output)
    assert output.getvalue() == "one\n"
    assert 60 <= clock.now - 1000 <= 62


def test_an_output_that_is_closed_is_no_lost_cluster(clock: Clock) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        cluster([["one\n"], ["one\n"]], clock, lambda: True).follow("job", Closed())


def test_a_connection_that_is_lost_without_a_word_is_made_anew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_client, "_SILENCE_S", 0.05)
    connections: list[list[str | float | Exception]] = [["one\n", SILENCE], ["one\n", "two\n"]]
    output = io.StringIO()
    asked: list[str] = []
    found = cluster(connections, clock, lambda: not connections)
    monkeypatch.setattr(found, "_get", lambda path, **_: asked.append(path))
    found.follow("job", output)
    assert output.getvalue() == "one\ntwo\n"
    assert asked == ["/api/version"]


def test_a_cluster_that_is_silent_and_does_not_answer_is_lost(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        clock.now += 20
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(jobs_client, "_SILENCE_S", 0.05)
    connections: list[list[str | float | Exception]] = [["one\n", SILENCE]]
    connections += [[SILENCE] for _ in range(9)]
    output = io.StringIO()
    found = cluster(connections, clock, lambda: False)
    monkeypatch.setattr(found, "_get", gone)
    with pytest.raises(StudyFailed, match=r"^lost the cluster http://x: .*Connection refused"):
        found.follow("job", output)
    assert output.getvalue() == "one\n"
    assert len(connections) == 6  # lost since 1020, given up at 1081.5
