"""Ray's dashboard starts for a visitor, once, or not at all; nothing of it is left behind."""

import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from search import on_request
from search.errors import StudyFailed
from search.on_request import OnRequest, Parts
from search.relay import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnRequest]:
    monkeypatch.setattr(on_request, "_PORTS", range(28365, 28415))  # no study of others has them
    found = OnRequest()
    yield found
    found.over()
    found.left()


def nothing() -> None:
    pass


def parts(
    first: Callable[[], object] = nothing,
    start: Callable[[], object] = nothing,
    then: Callable[[], object] = nothing,
) -> Parts:
    """Return parts of a study; without a `start` there is no dashboard."""
    return Parts(*(cast(Any, each) for each in (first, start, then)))


def visit(mine: OnRequest) -> list[int]:
    """Ask for the dashboard, and wait for the answer in a thread: its status is in the list.

    0 is none.
    """
    found: list[int] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{mine.port}/", timeout=300) as answer:
                found.append(answer.status)
        except urllib.error.HTTPError as error:
            found.append(error.code)
        except OSError:
            found.append(0)

    threading.Thread(target=ask, daemon=True).start()
    return found


def wait_until(true: Callable[[], object]) -> None:
    """Pytest's limit ends this."""
    while not true():
        time.sleep(0.02)


def ended() -> bool:
    return not any(thread.name == "later" for thread in threading.enumerate())


def fail() -> None:
    raise RuntimeError("no room")


class Nothing(BaseHTTPRequestHandler):
    """Has no method at all."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def dashboard() -> Iterator[Server]:
    """A server that has nothing: its answer is 501."""
    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Server("127.0.0.1", server.server_port, lambda: True)
        server.shutdown()


def test_no_free_port_is_told(monkeypatch: pytest.MonkeyPatch, mine: OnRequest) -> None:
    monkeypatch.setattr(on_request, "_PORTS", range(mine.port, mine.port + 1))
    with pytest.raises(StudyFailed, match=f"no port from {mine.port} to {mine.port} is free"):
        OnRequest()


def test_a_study_that_is_over_soon_starts_nothing(mine: OnRequest) -> None:
    done: list[str] = []
    mine.begin(parts(lambda: done.append("first"), lambda: done.append("start")), 600)
    mine.over()
    wait_until(ended)
    assert done == []


def test_without_a_visitor_nothing_is_started(mine: OnRequest) -> None:
    done: list[str] = []
    mine.begin(parts(lambda: done.append("first"), lambda: done.append("start")), 0)
    wait_until(lambda: done)
    mine.over()
    mine.left()
    wait_until(ended)
    assert done == ["first"]


def test_a_visitor_starts_it_and_others_find_it(mine: OnRequest, dashboard: Server) -> None:
    done: list[str] = []

    def start() -> Server:
        done.append("start")
        return dashboard

    mine.begin(parts(lambda: done.append("first"), start, lambda: done.append("then")), 0)
    for _ in range(2):
        status = visit(mine)
        wait_until(lambda found=status: found)  # type: ignore[misc]
        assert status == [501]
    wait_until(lambda: len(done) == 3)
    assert done == ["first", "start", "then"]
    mine.over()
    # To the end nobody else gets the port.
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", mine.port))


@pytest.mark.parametrize("which", ["first", "start", "then"])
def test_what_fails_is_told(
    mine: OnRequest, dashboard: Server, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    work: dict[str, Callable[[], object]] = {"start": lambda: dashboard}
    mine.begin(parts(**work | {which: fail}), 0)
    status = visit(mine)
    wait_until(lambda: status)
    assert status == [503 if which == "start" else 501]
    mine.left()
    wait_until(ended)
    told = {
        "first": "address of Ray's metrics",
        "start": "Ray dashboard",
        "then": "state of the cluster in Ray's dashboard",
    }
    assert capsys.readouterr().err == (
        f"note: there is no {told[which]} (the study goes on): no room\n"
    )


def test_a_dashboard_that_was_killed_as_it_came_is_none(
    mine: OnRequest, dashboard: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def start() -> Server:
        mine._over.set()
        return dashboard

    mine.begin(parts(start=start), 0)
    status = visit(mine)
    wait_until(lambda: status)
    assert status == [503]
    assert not capsys.readouterr().err


def test_nothing_is_asked_of_ray_any_more_when_it_is_shut_down(mine: OnRequest) -> None:
    began, asked = threading.Event(), []

    def start() -> None:
        began.set()
        mine._over.wait()
        time.sleep(0.5)
        asked.append("where the dashboard is")

    mine.begin(parts(start=start), 0)
    status = visit(mine)
    began.wait()
    mine.over()
    assert asked == ["where the dashboard is"]
    wait_until(lambda: status)
    assert status == [503]


def test_what_is_half_started_is_killed_when_the_study_is_over(
    mine: OnRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray._private import services

    started, children = threading.Event(), []

    def sleeper() -> Any:
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return type("Info", (), {"process": children[-1]})

    monkeypatch.setattr(services, "start_ray_process", sleeper)

    def start() -> None:  # as Ray does: start it, then wait until it answers or is gone
        begin: Any = services.start_ray_process
        process = begin().process
        started.set()
        process.wait()
        raise RuntimeError("it is gone")

    mine.begin(parts(start=start), 0)
    status = visit(mine)
    started.wait()
    mine.over()
    wait_until(lambda: status)
    mine.left()
    wait_until(ended)
    (child,) = children
    assert child.returncode == -9
    assert status == [503]
    assert vars(services)["start_ray_process"] is sleeper
    assert not capsys.readouterr().err  # nobody waits for it any more


# The study ends after the dashboard's process has begun, and before Ray's client for it is kept:
# Tune asks that client at the exit of the process, which then took a minute and was 1.
ENDS_MEANWHILE = """
import threading
import time
import urllib.request
from types import SimpleNamespace as Given

from search import local
from search.connection import connected
from search.interrupts import Interrupts

local._LATER_S = 0.5
request = Given(address="local", experiment=Given(name="lenet_beans"))
request.resources = Given(gpus_per_trial=0, concurrent=1)
interrupts = Interrupts(None)
with interrupts.caught(), connected(request, interrupts):
    import ray
    from ray import tune
    from ray._private import services

    real, made = services.GcsClient, []

    def slow(*given, **named):
        made.append(real(*given, **named))
        time.sleep(2)
        return made[-1]

    services.GcsClient = slow
    tune.register_trainable("any", lambda config: None)
    port = ray._private.worker._global_node._ray_params.dashboard_port  # the doorbell's
    place = [f"http://127.0.0.1:{port}"]
    threading.Thread(target=urllib.request.urlopen, args=place, daemon=True).start()
    while not made:
        time.sleep(0.1)
time.sleep(3)  # the thread that was starting it, if there is one yet, goes on
print("left")
"""


@pytest.mark.slow
def test_a_study_that_ends_while_the_dashboard_starts_ends_well() -> None:
    command = [sys.executable, "-c", ENDS_MEANWHILE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
