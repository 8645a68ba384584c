"""Ray for a study: starts one on this machine or joins one, and leaves it afterwards."""

import atexit
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from search import access
from search.command import code_due
from search.errors import EXIT_FAILED, EXIT_INTERRUPTED, StudyFailed, last_line
from search.gpus import usable_gpus
from search.interrupts import EndEarly, Interrupts
from search.local import Local, paths
from search.progress import say
from search.replaced import replaced
from search.request import Request
from search.server import ServerWatch
from search.threads import FOR_RAY, room_for
from trainables.cpu import usable_cpus

_SHARED_MEMORY = Path("/dev/shm")  # some containers have none
_STORE_BYTES = 200 * 2**20
_SHOW_CURSOR = b"\x1b[?25h"
# Read by Ray when it is imported or started. Each comment says what the line prevents.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a network call, and a banner
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray's own progress output
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # result files beside the journal
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: search.interrupts
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # snapshots of a state that is in the journal
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks; trials.csv names the error
    "TUNE_WARN_THRESHOLD_S": "30",  # warnings of a slow searcher while TPE thinks
    # On a busy machine, deaths that are told late: by default after a second a worker is
    # "unavailable", and whether it died, or its node, is not said.
    "RAY_timeout_ms_task_wait_for_death_info": "60000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths that break in workers
    "RAY_worker_niceness": "0",  # trials that get what all other programs leave: 15 is the default
    # Under `uv run`: workers by uv, in a copy of this folder, with whatever versions it finds.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Retries of a trial whose node was taken away that we do not hear of: they are the book's.
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # CPU trials that see every GPU
}


def prepare(address: str) -> None:
    """Set what Ray reads from the environment; it must not have been imported before.

    Raises:
        UsageError: there is no token to join the Ray at `address` with.
    """
    access.grant(address)
    # A start takes long on a busy machine; to join one that does not answer is to fail soon.
    more = {"RAY_gcs_server_port_wait_time_s": "300"} if address == "local" else {}
    wanted = {**_ENVIRONMENT, **more}
    os.environ.update({k: v for k, v in wanted.items() if k not in os.environ})


@contextlib.contextmanager
def connected(request: Request, interrupts: Interrupts) -> Iterator[None]:
    """Start a local Ray, or join the one at the request's address; leave it afterwards.

    Raises:
        StudyFailed: Ray cannot be started, or none answers at the address.
        UsageError: there is no token to join it with.
    """
    prepare(request.address)
    if request.address == "local" and not room_for(FOR_RAY):
        raise StudyFailed(
            f"no Ray at local: it starts about {FOR_RAY} processes and threads, and there is no "
            "room for them; end others, or raise the limit (ulimit -u, or the container's)"
        )
    logging.getLogger("ray").setLevel(logging.ERROR)
    with interrupts.undivided(partial(_leave, EXIT_INTERRUPTED)):
        yield from _connected(request, interrupts)


def _connected(request: Request, interrupts: Interrupts) -> Iterator[None]:
    import ray._private.utils

    server = ServerWatch({}, interrupts.end, _leave)
    local = Local(_early(request), request.experiment.name) if request.address == "local" else None
    try:
        try:
            # Ray's own handler would end this process, with 15 and without a word.
            with replaced(ray._private.utils, {"set_sigterm_handler": lambda _: None}):
                url = local.start(_options(request)) if local else _join(request)
        except Exception as error:  # Ray raises anything here, Exception itself too
            raise StudyFailed(f"no Ray at {request.address}: {_why(error, request)}") from None
        interrupts.install()  # in case that Ray has put a handler of its own in the place of ours
        if url:
            say(access.dashboard_line(url, request.address))
        server = ServerWatch(_servers(), interrupts.end, _leave)
        try:
            yield
        except EndEarly as end:
            if end.reason == server.reason:
                raise StudyFailed(end.reason) from None
            raise
    finally:
        with interrupts.deferred():
            server.over()
            interrupts.forget_end()  # of a server that is not needed from here on
            try:
                if local:
                    local.over(wait=not server.lost)
            finally:
                if server.lost:  # of itself, or by a signal to all processes
                    atexit.register(lambda: _leave(code_due()))
                else:
                    _shut_down(local, interrupts)


def _shut_down(local: Local | None, interrupts: Interrupts) -> None:
    import ray
    from ray._private.node import Node

    end = Node.kill_all_processes

    def caught(node: Any, **how: Any) -> None:
        # Ray's library has let SIGTERM end this process, which now waits for others to end.
        interrupts.install()
        end(node, **how)

    try:
        with replaced(Node, {"kill_all_processes": caught}):
            ray.shutdown()
    finally:
        interrupts.install()
        if local:
            local.left()


def _leave(code: int = EXIT_FAILED) -> None:
    """End this process and Ray's, which in its own way may take a minute.

    It takes no lock: called from a signal's handler, what the signal came into may hold it.
    """
    node = getattr(sys.modules.get("ray._private.worker"), "_global_node", None)
    with contextlib.suppress(Exception):
        for group in list(node.all_processes.values()) if node else ():
            for each in group:
                each.process.kill()
    access.remove_private_folder()
    for stream in (sys.__stdout__, sys.__stderr__):  # what a table on a terminal stands before
        with contextlib.suppress(OSError, RuntimeError):  # one that was being written to
            if stream is not None:
                stream.flush()
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)  # which such a table hides
    os._exit(code)


def _servers() -> dict[str, subprocess.Popen[bytes]]:
    """Return the processes without which the Ray that was started here cannot go on."""
    from ray._private import ray_constants, worker

    names = {
        "control server": ray_constants.PROCESS_TYPE_GCS_SERVER,
        "node manager": ray_constants.PROCESS_TYPE_RAYLET,
    }
    node = worker._global_node
    started: dict[str, Any] = node.all_processes if node else {}
    return {name: started[kind][0].process for name, kind in names.items() if started.get(kind)}


def _early(request: Request) -> int:
    """Return how many workers to start before there are trials for them."""
    resources = request.resources
    # How many there are with GPUs depends on the shares of their trials.
    return 0 if resources is None or resources.gpus_per_trial else resources.concurrent


def _join(request: Request) -> str:
    """Join the Ray at the request's address; return where its dashboard is, "" if nowhere."""
    import ray

    address = _found(request.address)
    _check_reachable(address)
    environment = {"env_vars": {"PYTHONPATH": paths()}}
    context = ray.init(**{**_options(request), "address": address}, runtime_env=environment)
    return context.dashboard_url or ""


def _found(address: str) -> str:
    """Return the HOST:PORT that Ray takes "auto" for: of a Ray that runs on this machine."""
    if address != "auto":
        return address
    from ray._private import services

    return str(services.canonicalize_bootstrap_address_or_die("auto"))


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {
        "address": request.address,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if request.address == "local":
        options |= {
            "include_dashboard": True,
            "dashboard_host": access.DASHBOARD_HOST,
            # Ray counts by NVML, which some containers and systems with a GPU lack.
            "num_gpus": usable_gpus(),
            "num_cpus": usable_cpus(),
            "_temp_dir": str(access.private_folder() / "ray"),
        }
        if sys.platform == "linux" and not _SHARED_MEMORY.is_dir():
            # Ray looks there, and ends, unless it is told both. Next to nothing is put into it.
            options |= {
                "object_store_memory": _STORE_BYTES,
                "_plasma_directory": str(access.private_folder()),
            }
    return options


def _why(error: BaseException, request: Request) -> str:
    # Ray tells a wrong token and a Ray that does not answer by the same words.
    if isinstance(error, ConnectionRefusedError):
        return f"{last_line(error)}: nothing listens there for other processes"
    if request.address == "local" or not isinstance(error, ConnectionError):
        return last_line(error)
    return (
        f"{last_line(error)}; if one runs there, its token is not that in {access.token_place()}"
    )
