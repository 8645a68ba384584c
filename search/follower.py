"""Ray Tune's callback between two steps of the driver: draws, and looks for a reason to end."""

import time
from typing import Any

from ray import tune

from search.interrupts import Interrupts
from search.progress import Progress, say

_PATIENCE_S = 30


class Follower(tune.Callback):
    """Follows a study for its user."""

    def __init__(self, shown: Progress, interrupts: Interrupts) -> None:
        """Draw on `shown`; end the search when `interrupts` says so."""
        self._shown = shown
        self._interrupts = interrupts
        self._waiting_since: float | None = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Draw and check."""
        if any(trial.status == "RUNNING" for trial in trials):
            self._waiting_since = None
        self._be_patient()
        self._shown.update()
        self._interrupts.check()

    def _be_patient(self) -> None:
        since = self._waiting_since
        if since is not None and time.monotonic() - since > _PATIENCE_S:
            self._waiting_since = None
            say("still waiting for Ray to place the first trial: are its CPUs or GPUs taken?")

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as nothing: Ray pickles callbacks when a Tuner is made, a terminal has locks."""
        return {}
