"""Runs a study's trials on Ray: starts or joins a Ray, assembles the Tuner, follows it."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.book import Book
from search.errors import StudyFailed, UsageError
from search.interrupts import Interrupts
from search.progress import Progress, say
from search.request import Request
from search.resources import Machine, Resources, allot, describe, mistakes
from trainables.data import Data

# Read by Ray when it is imported or started. Each line says what it prevents.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a network call, and a banner
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray's own progress output
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # result files beside the journal
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: search.interrupts
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # snapshots of a state that is in the journal
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # tracebacks; trials.csv names the error
    "TUNE_WARN_THRESHOLD_S": "30",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths that break in workers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # CPU trials that see every GPU
    "RAY_memory_monitor_refresh_ms": "0",  # a kill by Ray's monitor that ends the whole study
    "RAY_DEDUP_LOGS": "0",
}
# A worker that dies is replaced so many times, and the trial goes on from its checkpoint.
WORKER_RETRIES = 2


@contextlib.contextmanager
def connected(request: Request) -> Iterator[None]:
    """Start a local Ray, or join the one at the request's address; leave it afterwards.

    Raises:
        StudyFailed: no Ray answers at the address.
    """
    os.environ.update({k: v for k, v in _ENVIRONMENT.items() if k not in os.environ})
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    # Workers import this project wherever the command was started.
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": {"PYTHONPATH": paths.rstrip(os.pathsep)}},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if request.address == "local":
        options |= {"address": "local", "include_dashboard": True, "num_cpus": _cpus()}
    else:
        options |= {"address": request.address}
    try:
        context = ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StudyFailed(f"no Ray at {request.address}: {str(error).splitlines()[0]}") from None
    try:
        if context.dashboard_url:
            say(f"Ray dashboard: http://{context.dashboard_url}")
        yield
    finally:
        ray.shutdown()


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def resources_of(request: Request) -> Resources:
    """Return what each trial gets, on a cluster from what its nodes have now.

    Raises:
        UsageError: a trial asks for more than any node has, and would wait for ever.
    """
    if request.resources is not None:
        return request.resources
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = ([int(node.get(kind, 0)) for node in nodes] for kind in ("CPU", "GPU"))
    largest = Machine(max(cpus), max(gpus), "the largest node")
    wrong = mistakes(largest, request.asked.cpus_per_trial, request.asked.gpus_per_trial)
    if wrong:
        raise UsageError(wrong)
    return allot(Machine(sum(cpus), sum(gpus)), *request.asked)


def job(request: Request, resources: Resources, data: Data) -> dict[str, Any]:
    """Return what all trials of the study share; plain and small, Ray copies it per trial."""
    return {
        "experiment": request.experiment.name,
        "folder": str(request.folder),
        "data": data,
        "max_epochs": request.plan.max_epochs,
        "threads": resources.cpus_per_trial,
        "device": "cuda" if resources.gpus_per_trial else "cpu",
        "precision": request.plan.precision,
    }


def run_trials(request: Request, book: Book, data: Data, interrupts: Interrupts) -> None:
    """Train all trials that the book hands out.

    Raises:
        EndEarly: interrupted, or the time budget is reached; the journal holds everything.
    """
    from ray import tune

    from search.searcher import StudySearcher
    from search.stopper import StudyStopper
    from search.worker import Worker

    resources = resources_of(request)
    say(describe(resources))
    with tempfile.TemporaryDirectory(prefix="trellis-ray-") as scratch, Progress(book) as shown:

        class Follow(tune.Callback):
            """Draws, and looks for a reason to end, between any two steps of the driver."""

            def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
                shown.update()
                interrupts.check()

            def __getstate__(self) -> dict[str, Any]:
                return {}

        tuner = tune.Tuner(
            tune.with_resources(
                Worker, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
            ),
            tune_config=tune.TuneConfig(
                num_samples=-1,  # until the searcher says that it is finished
                metric="val_accuracy",
                mode="max",
                search_alg=StudySearcher(book, job(request, resources, data)),
                scheduler=StudyStopper(book),
                max_concurrent_trials=resources.concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                callbacks=[Follow()],
                failure_config=tune.FailureConfig(max_failures=WORKER_RETRIES),
            ),
        )
        with quiet():
            tuner.fit()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of Ray's own machinery from the user."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield
