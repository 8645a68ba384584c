"""Lets a study survive deaths of workers that Ray Tune 2.60 takes for faults of its own.

Ray's memory monitor kills a worker when its node has less than 5 % of its memory left, before the
kernel has to kill something, the driver perhaps. Tune then gets an OutOfMemoryError, which is not
among the errors it knows of workers, and ends the whole study. The monitor is on wherever a node
was started by somebody else, so it must be survived in any case; and being survived, it is of use
on a local Ray as well. A guard inside each worker would be too late, between two lines of Python
while one call of torch takes all, and know nothing of the other trials.
"""

from typing import Any

_PATIENCE_S = 15


def tolerate() -> None:
    """Make Tune treat every error of Ray's about a worker as that worker's death."""
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import RayActorError, RayError, RayTaskError

    original = RayActorManager._actor_task_failed
    if getattr(original, "tolerant", False):
        return

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        known = isinstance(exception, RayActorError | RayTaskError)
        if isinstance(exception, RayError) and not known:
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        original(self, tracked_actor_task, exception)

    failed.tolerant = True  # type: ignore[attr-defined]  # our own mark
    RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]  # the whole point


def count_no_callbacks() -> None:
    """Keep Tune from counting callbacks for statistics that are not sent.

    To recognise them it imports the libraries of all that it knows, such as mlflow: 0.7 s.
    """
    from ray.air._internal import usage

    usage.tag_callbacks = lambda callbacks: False  # its own answer where nothing was counted


def count_elsewhere(node: str, file: str) -> int | None:
    """Return the kills for memory counted on another node, None if it does not answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from search.kills import count

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
    read: Any = ray.remote(**options)(count)
    try:
        found: int | None = ray.get(read.remote(file), timeout=_PATIENCE_S)
    except ray.exceptions.RayError:  # the node itself is gone, or too busy
        return None
    return found
