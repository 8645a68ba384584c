"""Ray Tune's loop over trials, with less between two of them than Tune 2.60 has by itself.

What is left out, per trial: three questions to Ray's store for the trainable's class; a call that
saves nothing, and two for the worker's process and host; the class, the storage and the settings
copied to a worker that has them; the trial as JSON, at the end of the study, for a snapshot that
nobody restores. A worker does not even import Tune: benchmarks/README.md has figures.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ray import tune
from ray.tune import registry
from ray.tune.execution import tune_controller

from search.replaced import replaced


class Stands(tune.Trainable):
    """Stands for `search.worker.Worker`, which is no Trainable; no object of it is ever made."""


class Controller(tune_controller.TuneController):
    """Starts the workers that it needs, and gives each trial's configuration to one as it is."""

    def __init__(self, actor: type, **settings: Any) -> None:
        """Let objects of `actor` do what Tune asks of a trainable; the rest is Tune's own."""
        super().__init__(**settings)
        self._class_cache = _Always(self._class_cache, actor)  # type: ignore[assignment]

    def _maybe_reuse_cached_actor(self, trial: Any) -> bool:
        """Give a free worker to a trial that has none, if there is one.

        Tune gives it to one whose worker is being started, and ends that: with trials shorter
        than the start of all workers, of 16 workers 2 did all the work. Where no other trial waits
        that is right: a worker may never start, if a process that does not die has its place.
        """
        own = self._trial_to_actor.get(trial)
        starting = own is not None and self._actor_manager.is_actor_started(own)
        if starting and trial not in self._resetting_trials and self._others_have_none():
            return False
        return bool(super()._maybe_reuse_cached_actor(trial))

    def _others_have_none(self) -> bool:
        return any(trial not in self._trial_to_actor for trial in self._pending_trials)

    def _schedule_trial_reset(self, trial: Any, new_config: Any, new_experiment_tag: str) -> None:
        trial.set_experiment_tag(new_experiment_tag)
        trial.set_config(new_config)
        self._resetting_trials.add(trial)
        self._schedule_trial_task(
            trial=trial,
            method_name="reset",
            args=(new_config,),
            on_result=self._on_trial_reset,
            on_error=self._trial_task_failure,
        )

    def stop_trial(self, trial: Any) -> None:
        """Stop a trial; what the study raises at its end, as for want of room, ends the study.

        Tune takes any such error for the death of the trial's worker, and goes on.
        """
        before: Any = self._fail_fast
        self._fail_fast: Any = self.RAISE
        try:
            super().stop_trial(trial)  # type: ignore[no-untyped-call]
        finally:
            self._fail_fast = before

    def _mark_trial_to_checkpoint(self, trial: Any) -> None:
        """Keep nothing of it for a snapshot: the journal has it."""


class _Always:
    """Tune's cache of actor classes, with one class whatever it is asked for."""

    def __init__(self, cache: Any, actor: type) -> None:
        """Register `actor` with Ray as `cache` does it."""
        self._cache, self._actor = cache, actor

    def get(self, trainable: Any) -> Any:
        return self._cache.get(self._actor)


@contextmanager
def lean(actor: type) -> Iterator[None]:
    """Let a Tuner that is run in this block have a `Controller` of such actors."""
    from ray.tune import tune as running

    known = registry._global_registry
    remembered = {name: functools.cache(getattr(known, name)) for name in ("contains", "get")}
    with ExitStack() as changes:
        for owner, changed in (
            (running, {"TuneController": functools.partial(Controller, actor)}),
            (tune_controller, {"_get_trainable_kwargs": _settings}),
            (tune.experiment.Trial, {"set_ray_actor": _set_actor, "update_last_result": _keep}),
            (known, remembered),
        ):
            changes.enter_context(replaced(owner, changed))
        yield


def _settings(trial: Any) -> dict[str, Any]:
    """Return what an actor is made with."""
    trial.init_local_path()  # where Tune writes what a trial died of
    return {"config": trial.config}


def _set_actor(trial: Any, actor: Any) -> None:
    """Keep a trial's actor, and do not ask it for its process and host, twice each trial."""
    trial.temporary_state.ray_actor = actor


def _keep(trial: Any, result: dict[str, Any]) -> None:
    """Keep a trial's last result, and no statistics of its metrics: the journal has all of them.

    By those the driver grew by 31 of 54 KB per trial.
    """
    trial.run_metadata.last_result = result
    trial.run_metadata.last_result_time = time.time()
