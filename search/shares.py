"""What a single trial gets of a GPU and of memory, where configurations differ.

A driver predicts once for all configurations that take the same memory: the sampler waits for it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from search.catalog import find
from search.domains import config_key
from search.progress import say
from search.resources import Resources
from search.room import gpu_room_mb, most_on_a_gpu, share_for


class Share(NamedTuple):
    """Of a GPU, and of memory in MiB (on a GPU of its memory; None: no limit)."""

    gpus: float
    memory_mb: float | None


class Shares:
    """Gives every configuration of a study its share."""

    def __init__(self, resources: Resources, job: Mapping[str, Any]) -> None:
        """`job` is what `search.runner.job` returns: experiment, data, precision, weights."""
        self._resources = resources
        self._job = job
        self._known: dict[str, float | None] = {}

    def of(self, config: Mapping[str, Any]) -> Share:
        """Return the share of a configuration."""
        asked, gpu_mb = self._resources.memory_mb, self._resources.gpu_mb
        if gpu_mb is None:
            return Share(self._resources.gpus_per_trial, asked)
        need = self._need_mb(config)
        if need is None:
            return Share(1.0, asked)
        most = most_on_a_gpu(self._resources.concurrent, self._resources.gpus)
        share = share_for(gpu_mb, need if asked is None else min(need, asked), most)
        room = gpu_room_mb(gpu_mb, share)
        return Share(share, room if asked is None else min(room, asked))

    def _need_mb(self, config: Mapping[str, Any]) -> float | None:
        key = self._key(config)
        if key not in self._known:
            try:
                self._known[key] = self._predict(config)
            except Exception as error:  # of an experiment's own; the journal has the trial already
                say(f"note: memory not predicted, so a whole GPU for {dict(config)}: {error!r}")
                self._known[key] = None
        return self._known[key]

    def _key(self, config: Mapping[str, Any]) -> str:
        """Return a text that configurations share which take the same memory."""
        if find(self._job["experiment"]).fractions_take_memory:
            return config_key(config)
        # Of a rate, a momentum or a penalty's strength it counts only whether there is one:
        # without, moments and masks are not held.
        return config_key({name: _as_counted(value) for name, value in config.items()})

    def _predict(self, config: Mapping[str, Any]) -> float | None:
        """Return the predicted peak in MiB; None where the experiment cannot tell its stages."""
        from trainables.budget import Budget
        from trainables.memory import can_predict, predict

        module, job = find(self._job["experiment"]).module(), self._job
        if not can_predict(module):
            return None
        budget = Budget(
            job["max_epochs"],
            device=job["device"],
            precision=job["precision"],
            weights=job["weights"],
        )
        return predict(module, config, job["data"], budget).mb


def _as_counted(value: Any) -> Any:
    return "a fraction" if isinstance(value, float) and not value.is_integer() else value
