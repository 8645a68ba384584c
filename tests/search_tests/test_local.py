"""What a local Ray starts later is started once, later, or not at all; nothing is left behind."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search import local
from search.errors import StudyFailed
from search.local import Local, paths
from search.replaced import replaced

ROOT = Path(__file__).parents[2]
PRELOAD = "RAY_preload_python_modules"


@pytest.fixture
def mine() -> Iterator[Local]:
    found = Local(2, "lenet_beans")
    yield found
    found.over()
    found.left()


def later(mine: Local, work: Any) -> threading.Thread:
    thread = threading.Thread(target=mine._later, args=[work], daemon=True)
    thread.start()
    return thread


def test_a_reserved_port_is_nobody_elses_until_it_is_given_back(mine: Local) -> None:
    address = mine._port.getsockname()
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(address)
    second = Local(0, "lenet_beans")
    assert second._port.getsockname()[1] > address[1]
    second.over()
    mine.over()
    with socket.socket() as other:
        other.bind(address)


def test_no_free_port_is_told(monkeypatch: pytest.MonkeyPatch, mine: Local) -> None:
    port = mine._port.getsockname()[1]
    monkeypatch.setattr(local, "_PORTS", range(port, port + 1))
    with pytest.raises(StudyFailed, match=f"no port from {port} to {port} is free"):
        Local(0, "lenet_beans")


def test_workers_find_the_project_and_their_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.delenv(PRELOAD, raising=False)
    with local._environment("search.worker,trainables.lenet_beans"):
        project, mine = os.environ["PYTHONPATH"].split(os.pathsep)
        assert os.path.isfile(os.path.join(project, "search", "local.py"))
        assert mine == "/mine"
        assert os.environ[PRELOAD] == "search.worker,trainables.lenet_beans"
    assert os.environ["PYTHONPATH"] == "/mine"
    assert PRELOAD not in os.environ
    monkeypatch.delenv("PYTHONPATH")
    assert paths() == project  # an empty part would be the working directory


def test_as_many_workers_start_early_as_trials_run_at_once(mine: Local) -> None:
    asked: list[Any] = []
    start = mine._spawn(lambda command, kind, fate_share: asked.append((command, kind)))
    start(["raylet", "--num_prestart_python_workers=64", "--x=1"], "raylet", fate_share=True)
    assert asked == [(["raylet", "--num_prestart_python_workers=2", "--x=1"], "raylet")]


def test_what_is_replaced_is_put_back_after_an_error() -> None:
    class Owner:
        name = "old"

    def work() -> None:
        with replaced(Owner, {"name": "new"}):
            raise ValueError(f"{Owner.name} is broken")

    with pytest.raises(ValueError, match="new is broken"):
        work()
    assert Owner.name == "old"


def test_a_study_that_is_over_soon_starts_no_dashboard(mine: Local) -> None:
    started: list[bool] = []
    thread = later(mine, lambda: started.append(True))
    mine.over()
    thread.join(120)
    assert not thread.is_alive()
    assert started == []


def test_a_dashboard_that_does_not_start_is_told_and_ends_nothing(
    mine: Local, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "_LATER_S", 0.0)

    def work() -> None:
        raise RuntimeError("no room")

    thread = later(mine, work)
    mine.left()
    thread.join(120)
    assert capsys.readouterr().err == (
        "note: there is no Ray dashboard (the study goes on): no room\n"
    )


def test_nothing_is_asked_of_ray_any_more_when_it_is_shut_down(
    mine: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_LATER_S", 0.0)
    began, asked = threading.Event(), []

    def work() -> None:
        began.set()
        mine._over.wait(120)
        time.sleep(0.5)
        asked.append("where the dashboard is")

    later(mine, work)
    assert began.wait(120)
    mine.over()
    assert asked == ["where the dashboard is"]


# The study ends after the dashboard's process has begun, and before Ray's client for it is kept:
# Tune asks that client at the exit of the process, which then took a minute and was 1.
ENDS_MEANWHILE = """
import time
from types import SimpleNamespace as Given

from search import local
from search.connection import connected
from search.interrupts import Interrupts

local._LATER_S = 0.5
request = Given(address="local", experiment=Given(name="lenet_beans"))
request.resources = Given(gpus_per_trial=0, concurrent=1)
interrupts = Interrupts(None)
with interrupts.caught(), connected(request, interrupts):
    from ray import tune
    from ray._private import services

    real, made = services.GcsClient, []

    def slow(*given, **named):
        made.append(real(*given, **named))
        time.sleep(2)
        return made[-1]

    services.GcsClient = slow
    tune.register_trainable("any", lambda config: None)
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


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority on Linux only")
def test_what_is_half_started_is_killed_when_the_study_is_over(
    mine: Local, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ray._private import services

    monkeypatch.setattr(local, "_LATER_S", 0.0)
    started, children = threading.Event(), []

    def sleeper() -> Any:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        children.append((child, os.getpriority(os.PRIO_PROCESS, child.pid)))
        return type("Info", (), {"process": child})

    monkeypatch.setattr(services, "start_ray_process", sleeper)

    def work() -> None:  # as Ray does: start it, then wait until it answers or is gone
        start: Any = services.start_ray_process
        process = start().process
        started.set()
        process.wait()
        raise RuntimeError("it is gone")

    thread = later(mine, work)
    assert started.wait(120)
    mine.over()
    mine.left()
    thread.join(120)
    (child, priority), *more = children
    assert not more
    assert child.returncode == -9
    assert priority == 19
    assert vars(services)["start_ray_process"] is sleeper
    assert not capsys.readouterr().err  # nobody waits for it any more
