"""Runs a study's trials on Ray: starts or joins a Ray, assembles the Tuner, follows it."""

import atexit
import contextlib
import logging
import math
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from search import access
from search.beside import Beside
from search.book import Book
from search.disk import causes
from search.errors import EXIT_FAILED, StudyFailed
from search.interrupts import EndEarly, Interrupts
from search.kills import Kills
from search.progress import Progress, say
from search.request import Request
from search.resources import Resources, usable_cpus
from search.retries import Death
from search.server import ServerWatch
from search.shares import Shares
from search.threads import FOR_RAY, room_for
from search.watch import Watch
from trainables.budget import Weights
from trainables.data import Data
from trainables.errors import TrellisError

# Read by Ray when it is imported or started. Each comment says what the line prevents.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a network call, and a banner
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray's own progress output
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # result files beside the journal
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: search.interrupts
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # snapshots of a state that is in the journal
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks; trials.csv names the error
    "TUNE_WARN_THRESHOLD_S": "30",  # warnings of a slow searcher while TPE thinks
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths that break in workers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # CPU trials that see every GPU
}


@contextlib.contextmanager
def connected(request: Request, interrupts: Interrupts) -> Iterator[None]:
    """Start a local Ray, or join the one at the request's address; leave it afterwards.

    Raises:
        StudyFailed: Ray cannot be started, or none answers at the address.
        UsageError: there is no token to join it with.
    """
    access.grant(request.address)
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    if request.address == "local" and not room_for(FOR_RAY):
        raise StudyFailed(
            f"no Ray at local: it starts about {FOR_RAY} processes and threads, and there is no "
            "room for them; end others, or raise the limit (ulimit -u, or the container's)"
        )
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    server = ServerWatch(None, interrupts.end, _leave)
    try:
        try:
            _check_reachable(request.address)
            context = ray.init(**_options(request))
        except Exception as error:  # Ray raises anything here, Exception itself too
            raise StudyFailed(f"no Ray at {request.address}: {_why(error, request)}") from None
        interrupts.install()  # ray.init puts a handler of its own in the place of ours
        if context.dashboard_url:
            say(access.dashboard_line(context.dashboard_url, request.address))
        server = ServerWatch(_server(), interrupts.end, _leave)
        try:
            yield
        except EndEarly as end:
            if server.lost:
                raise StudyFailed(end.reason) from None
            raise
    finally:
        server.over()
        if server.lost:
            atexit.register(_leave)
        else:
            ray.shutdown()


def _leave() -> None:
    """End this process and a Ray without its control server: Ray's own way takes a minute."""
    from ray._private import worker

    if worker._global_node is not None:
        worker._global_node.kill_all_processes(check_alive=False, allow_graceful=False)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(EXIT_FAILED)


def _server() -> subprocess.Popen[bytes] | None:
    """Return the process without which the Ray that was started here cannot go on."""
    from ray._private import ray_constants, worker

    node = worker._global_node
    found = node.all_processes.get(ray_constants.PROCESS_TYPE_GCS_SERVER) if node else None
    return found[0].process if found else None


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _options(request: Request) -> dict[str, Any]:
    # Workers import this project wherever the command was started.
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    options: dict[str, Any] = {
        "address": request.address,
        "runtime_env": {"env_vars": {"PYTHONPATH": paths.rstrip(os.pathsep)}},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if request.address == "local":
        options |= {
            "include_dashboard": True,
            "dashboard_host": access.DASHBOARD_HOST,
            "num_cpus": usable_cpus(),
            "_temp_dir": str(access.private_folder() / "ray"),
        }
    return options


def _why(error: BaseException, request: Request) -> str:
    # Ray tells a wrong token and a Ray that does not answer by the same words.
    if request.address == "local" or not isinstance(error, ConnectionError):
        return _line(error)
    return f"{_line(error)}; if one runs there, its token is not that in {access.token_place()}"


def _line(error: BaseException) -> str:
    """Return the last line of an error: of a traceback in text, that is the error itself."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def job(
    request: Request,
    resources: Resources,
    data: Data,
    precision: str,
    weights: Weights | None,
    store: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what all trials of the study share; plain and small, Ray copies it per trial.

    `store` is what `search.mirror.Mirror.for_workers` returns.
    """
    return {
        "experiment": request.experiment.name,
        "folder": str(request.folder),
        "data": data,
        "max_epochs": request.plan.max_epochs,
        "threads": resources.cpus_per_trial,
        "device": "cuda" if resources.gpus_per_trial else "cpu",
        "precision": precision,
        "weights": weights,
        "keep_last": request.plan.repeats,
        "store": store,
    }


def run_trials(
    book: Book,
    resources: Resources,
    shared: dict[str, Any],
    interrupts: Interrupts,
    trial_timeout_s: float = math.inf,
    beside: Sequence[Beside] = (),
) -> None:
    """Train all trials that the book hands out; `shared` is what `job` returns.

    A trial that shows no progress for `trial_timeout_s` is killed. `beside` are followers.

    Raises:
        EndEarly: interrupted, or the time budget is reached; the journal holds everything.
        StudyFailed: Ray gave up, or the study could not be written.
    """
    from ray import tune

    from search.follower import Follower
    from search.metrics import Metrics
    from search.tolerance import tolerate

    if resources.gpu_mb is not None:
        # By default Ray asks for as many trials as may run at once, and lets them wait for room on
        # a GPU: the sampler would draw them knowing nothing of those that run.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "2"
    tolerate()
    deaths: dict[str, Death] = {}
    watch = Watch(book, trial_timeout_s)
    with (
        tempfile.TemporaryDirectory(prefix="trellis-ray-", ignore_cleanup_errors=True) as scratch,
        Progress(book) as shown,
        interrupts.deferred(),
        quiet(),
    ):
        follower = Follower(shown, interrupts, watch, deaths, Metrics(book), beside)
        tuner = _tuner(book, resources, shared, scratch, follower, deaths)
        try:
            tuner.fit()
        except tune.TuneError as error:  # carries the traceback of ours or Ray's as text
            ours = (each for each in causes(error) if isinstance(each, TrellisError | OSError))
            raise StudyFailed(_line(next(ours, error))) from error
    if book.unfinished:  # Ray Tune ends quietly on SIGUSR1, which batch systems send
        raise EndEarly("ended from outside", asked_for=False)


def _tuner(
    book: Book,
    resources: Resources,
    shared: dict[str, Any],
    scratch: str,
    follower: Any,
    deaths: dict[str, Death],
) -> Any:
    from ray import tune

    from search.searcher import StudySearcher
    from search.stopper import StudyStopper
    from search.tolerance import count_elsewhere
    from search.worker import Worker

    return tune.Tuner(
        tune.with_resources(Worker, _bundle(resources.cpus_per_trial)),
        tune_config=tune.TuneConfig(
            num_samples=-1,  # until the searcher says that it is finished
            metric="val_accuracy",
            mode="max",
            search_alg=StudySearcher(book, shared, deaths, Shares(resources, shared)),
            scheduler=StudyStopper(book, deaths, Kills(count_elsewhere)),
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=scratch,
            verbose=0,
            callbacks=[follower],
            failure_config=tune.FailureConfig(max_failures=0),  # see search.retries
        ),
    )


def _bundle(cpus: int) -> Callable[[dict[str, Any]], Any]:
    """Return what tells Ray the resources of a trial: its configuration names its GPU share.

    Ray uses a worker again for trials of the same resources alone, and ends it otherwise.
    """
    from ray.tune import PlacementGroupFactory

    from search.searcher import GPUS

    return lambda config: PlacementGroupFactory([{"CPU": cpus, "GPU": config[GPUS]}])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of Ray's own machinery from the user."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield
