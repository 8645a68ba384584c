"""What Ray is started with, and what it may not do while it starts."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search import access, connection
from search.interrupts import EndEarly, Interrupts
from search.options import build_parser
from search.request import Request, check


@pytest.mark.skipif(sys.platform != "linux", reason="Ray looks for /dev/shm on Linux alone")
@pytest.mark.parametrize("there", [True, False])
def test_ray_is_told_where_its_store_lies_if_there_is_no_shared_memory(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray opens /dev/shm, and ends where a container has none."""
    monkeypatch.setattr(connection, "_SHARED_MEMORY", tmp_path / ("" if there else "none"))
    words = ["lenet_beans", "--data", "embedded"]
    found = connection._options(check(build_parser().parse_args(words)))
    own = str(access.private_folder())
    assert found["_temp_dir"] == f"{own}/ray"
    store = {name: found.get(name) for name in ("object_store_memory", "_plasma_directory")}
    expected = (None, None) if there else (200 * 2**20, own)
    assert tuple(store.values()) == expected


def test_ray_is_told_how_many_gpus_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts by NVML, which may be missing where CUDA is not."""
    monkeypatch.setattr(connection, "usable_gpus", lambda: 3)
    request = check(build_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    assert connection._options(request)["num_gpus"] == 3
    assert "num_gpus" not in connection._options(replace(request, address="10.0.0.1:6379"))


class NoRay:
    """Stands for a local Ray, and starts nothing."""

    def __init__(self, *_: object) -> None:
        """Take what `search.local.Local` does."""

    def start(self, _options: dict[str, Any]) -> str:
        return ""

    def over(self, wait: bool) -> None: ...

    def left(self) -> None: ...


def instead_of_ray(kind: type[NoRay], monkeypatch: pytest.MonkeyPatch) -> Request:
    """Let `connected` start a `kind`; return a request for it."""
    monkeypatch.setattr(connection, "Local", kind)
    monkeypatch.setattr(connection, "_ENVIRONMENT", {})
    monkeypatch.setattr(access, "grant", lambda _: None)
    return check(build_parser().parse_args(["lenet_beans", "--data", "embedded"]))


def test_ray_puts_no_handler_in_the_place_of_ours_while_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own ends the process with 15, and tells nobody."""
    import ray._private.utils as utils

    handlers: list[Any] = []

    class Starting(NoRay):
        def start(self, _options: dict[str, Any]) -> str:
            utils.set_sigterm_handler(lambda *_: None)  # as ray.init does
            handlers.append(signal.getsignal(signal.SIGTERM))
            return ""

    request = instead_of_ray(Starting, monkeypatch)
    ours, rays = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    try:
        with connection.connected(request, Interrupts()):
            assert utils.set_sigterm_handler is rays
    finally:
        signal.signal(signal.SIGTERM, ours)
    assert handlers == [ours]


@pytest.mark.parametrize("signals", [1, 2])
def test_ray_is_left_as_a_whole_whatever_signals_come(
    signals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left half-way, it ends the process from C++, with exit code 1 and without a word."""
    import ray

    done: list[str] = []

    class Ending(NoRay):
        def over(self, wait: bool) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            done.append("over")

        def left(self) -> None:
            done.append("left")

    def shutdown() -> None:
        for _ in range(signals - 1):
            os.kill(os.getpid(), signal.SIGTERM)
        done.append("shutdown")

    request = instead_of_ray(Ending, monkeypatch)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    interrupts = Interrupts()
    with interrupts.caught():
        with connection.connected(request, interrupts):
            pass
        assert done == ["over", "shutdown", "left"]
        with pytest.raises(EndEarly, match="interrupted" if signals == 1 else "terminated"):
            interrupts.check_signals()


def test_the_third_signal_ends_the_process_and_rays_at_once() -> None:
    """It stands still in the middle of leaving Ray."""
    code = """if True:
        import os, signal, sys
        from functools import partial
        from types import SimpleNamespace
        from ray._private import worker
        from search import access, connection
        from search.interrupts import Interrupts

        def ended(**how):
            raise AssertionError("Ray's own way waits, and for a lock of its own")

        process = SimpleNamespace(kill=lambda: print("killed"))
        raylet = [SimpleNamespace(process=process)]
        worker._global_node = SimpleNamespace(
            kill_all_processes=ended, all_processes={"raylet": raylet}
        )
        print(access.private_folder())
        interrupts = Interrupts()
        leave = partial(connection._leave, 130)
        with interrupts.caught(), interrupts.undivided(leave), interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            print("goes on", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            print("not reached", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 130, done.stderr
    folder, *lines = done.stdout.splitlines()
    assert lines == ["goes on", "killed"]
    assert not Path(folder).exists()
    assert [line for line in done.stderr.splitlines() if line] == [
        "ending ...",
        "still ending; once more to leave at once",
        "interrupted: left at once; a study that had begun goes on with --resume",
    ]


@pytest.mark.slow
def test_a_signal_to_end_while_rays_processes_end_is_one_as_ever() -> None:
    """Ray's library sets what SIGTERM does to the default, which ends the process on the spot."""
    code = """if True:
        import os, signal
        from search.connection import connected
        from search.interrupts import EndEarly, Interrupts
        from search.options import build_parser
        from search.request import check

        interrupts = Interrupts()
        with interrupts.caught():
            with connected(check(build_parser().parse_args(["lenet_beans"])), interrupts):
                from ray._private.node import Node  # Ray reads its settings when it is imported

                end = Node.kill_all_processes

                def signalled(node, **how):
                    os.kill(os.getpid(), signal.SIGTERM)
                    end(node, **how)

                Node.kill_all_processes = signalled
                print("connected", flush=True)
            try:
                interrupts.check_signals()
            except EndEarly as early:
                print(early.reason)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stdout) == (0, "connected\nterminated\n"), done.stderr


_AS_PREPARED = """
from search import connection
connection.prepare("local")
from ray import ActorID
from ray._private import ray_constants
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import ActorDiedError
from ray.tune.experiment import Trial

gone = NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
actor = ActorID.from_random().binary()
error = ActorDiedError(ActorDiedErrorContext(actor_id=actor, node_death_info=gone))
trial = Trial("x", stub=True)
trial._handle_ray_actor_error(error)
print(error.preempted, trial.run_metadata.num_failures)
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)
"""


def test_ray_retries_no_trial_by_itself_and_starts_workers_by_no_uv() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AS_PREPARED], capture_output=True, text=True, check=False
    )
    assert done.stdout == "True 1\nFalse\n", done.stderr
