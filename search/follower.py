"""Ray Tune's callback between two steps of the driver: draws, and looks for a reason to end."""

import time
from collections.abc import Sequence
from typing import Any

from ray import tune

from search.beside import Beside
from search.interrupts import Interrupts
from search.live import Progress
from search.metrics import Metrics
from search.passed import NUMBER
from search.progress import say
from search.retries import Death
from search.watch import Watch

_PATIENCE_S = 30


class Follower(tune.Callback):
    """Follows a study for its user, and kills what hangs."""

    def __init__(
        self,
        shown: Progress,
        interrupts: Interrupts,
        watch: Watch,
        deaths: dict[str, Death],
        metrics: Metrics,
        beside: Sequence[Beside] = (),
    ) -> None:
        """Draw on `shown`; end the search when `interrupts` says so; let `beside` look, too.

        Trials that `watch` calls hung are killed, and `deaths` says so by Ray's names of them.
        """
        self._shown = shown
        self._interrupts = interrupts
        self._watch = watch
        self._deaths = deaths
        self._metrics = metrics
        self._beside = beside
        self._waiting_since: float | None = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Draw and check."""
        running = {trial.trial_id: trial for trial in trials if trial.status == "RUNNING"}
        if running:
            self._waiting_since = None
        self._be_patient()
        for name in self._watch.hung({n: trial.config[NUMBER] for n, trial in running.items()}):
            self._kill(running[name])
        self._shown.update()
        self._metrics.update()
        for each in self._beside:
            each.update()
        self._interrupts.check()

    def _kill(self, trial: Any) -> None:
        if trial.trial_id in self._deaths:  # Ray needs a moment to see that it is dead
            return
        import ray

        limit = f"no new epoch for {self._watch.limit_s:g} s (--trial-timeout)"
        self._deaths[trial.trial_id] = Death(f"killed: {limit}", hung=True)
        say(f"trial {trial.config[NUMBER]}: {limit}; it is killed")
        ray.kill(trial.temporary_state.ray_actor)

    def _be_patient(self) -> None:
        since = self._waiting_since
        if since is not None and time.monotonic() - since > _PATIENCE_S:
            self._waiting_since = None
            say("still waiting for Ray to place the first trial: are its CPUs or GPUs taken?")

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles callbacks when a Tuner is made, a terminal has locks."""
        return {}
