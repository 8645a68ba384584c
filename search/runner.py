"""Runs a study's trials on Ray: assembles the Tuner, and follows it."""

import contextlib
import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from search import access
from search.beside import Beside
from search.book import Book
from search.disk import causes
from search.errors import StudyFailed, last_line
from search.interrupts import EndEarly, Interrupts
from search.kills import Kills
from search.live import Progress
from search.request import Request
from search.resources import Resources
from search.retries import Death
from search.same_code import code_here
from search.shares import Shares
from search.watch import Watch
from trainables.budget import Weights
from trainables.data import Data
from trainables.errors import TrellisError


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
        # Of one machine there is one copy.
        "code": None if request.address == "local" else code_here(),
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

    from search.controller import lean
    from search.follower import Follower
    from search.metrics import Metrics
    from search.tolerance import count_no_callbacks, tolerate
    from search.worker import Worker

    if resources.gpu_mb is not None:
        # By default Ray asks for as many trials as may run at once, and lets them wait for room on
        # a GPU: the sampler would draw them knowing nothing of those that run.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_drawn_ahead(resources.concurrent))
    tolerate()
    count_no_callbacks()
    deaths: dict[str, Death] = {}
    watch = Watch(book, trial_timeout_s)
    with (
        tempfile.TemporaryDirectory(
            prefix="tune-", dir=access.private_folder(), ignore_cleanup_errors=True
        ) as scratch,
        Progress(book) as shown,
        interrupts.deferred(),
        quiet(),
    ):
        follower = Follower(shown, interrupts, watch, deaths, Metrics(book), beside)
        tuner = _tuner(book, resources, shared, scratch, follower, deaths)
        try:
            with lean(Worker):
                tuner.fit()
        except tune.TuneError as error:  # carries the traceback of ours or Ray's as text
            ours = (each for each in causes(error) if isinstance(each, TrellisError | OSError))
            raise StudyFailed(last_line(next(ours, error))) from error
    if book.unfinished:  # Ray Tune ends quietly on SIGUSR1, which batch systems send
        raise EndEarly("ended from outside", asked_for=False)


def _drawn_ahead(concurrent: int) -> int:
    """Return how many trials may wait for a worker: a sixteenth of those at once, at least two.

    As many workers start side by side: two at a time, 500 of them are 250 starts in a row. And the
    sampler, which knows nothing yet of those at once, knows nothing of a sixteenth more.
    """
    return max(2, concurrent // 16)


def _tuner(
    book: Book,
    resources: Resources,
    shared: dict[str, Any],
    scratch: str,
    follower: Any,
    deaths: dict[str, Death],
) -> Any:
    from ray import tune

    from search.controller import Stands
    from search.searcher import StudySearcher
    from search.stopper import StudyStopper
    from search.tolerance import count_elsewhere
    from search.worker import own_node

    return tune.Tuner(
        tune.with_resources(Stands, _bundle(resources)),
        tune_config=tune.TuneConfig(
            num_samples=-1,  # until the searcher says that it is finished
            metric="val_accuracy",
            mode="max",
            search_alg=StudySearcher(book, shared, deaths, Shares(resources, shared)),
            scheduler=StudyStopper(book, deaths, Kills(count_elsewhere, own_node())),
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=scratch,
            verbose=0,
            callbacks=[follower],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=0),  # see search.retries
        ),
    )


def _bundle(resources: Resources) -> Callable[[dict[str, Any]], Any]:
    """Return what tells Ray the resources of a trial: its configuration names its GPU share.

    Ray uses a worker again for trials of the same resources alone, and ends it otherwise.
    """
    from ray.tune import PlacementGroupFactory

    from search.passed import GPUS

    same: dict[str, float] = {"CPU": resources.cpus_per_trial}
    if resources.reserved_mb is not None:
        same["memory"] = int(resources.reserved_mb * 2**20)
    return lambda config: PlacementGroupFactory([{**same, "GPU": config[GPUS]}])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of Ray's own machinery from the user."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield
