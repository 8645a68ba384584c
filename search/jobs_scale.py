"""Brings an autoscaling cluster up before a study looks at what it has.

A study shares out the CPUs and GPUs that are there when it begins, and on a cluster that scales
from zero these are none. Once trials run, they hold their nodes; when they end, the nodes go.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from search.errors import StudyFailed

# Nodes are bought, started and set up meanwhile.
PATIENCE_S = 3600


def bring_up(
    address: str,
    cpus: int,
    gpus: int,
    say: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait until the cluster has so many CPUs and GPUs, having asked its autoscaler for them.

    Raises:
        StudyFailed: they did not come in time.
    """
    if not cpus and not gpus:
        return
    import ray
    from ray.autoscaler.sdk import request_resources

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        request_resources(bundles=[{"CPU": 1}] * cpus + [{"GPU": 1}] * gpus)
        _wait(ray.cluster_resources, {"CPU": cpus, "GPU": gpus}, say, patience_s)
    finally:
        # The request would hold the nodes, and their price, for ever: the trials do it from here.
        request_resources(bundles=[])
        ray.shutdown()


def _wait(
    has: Callable[[], dict[str, Any]],
    wanted: dict[str, int],
    say: Callable[[str], None],
    patience_s: float,
) -> None:
    end, told = time.monotonic() + patience_s, ""
    while True:
        found = {name: int(has().get(name, 0)) for name in wanted}
        if all(found[name] >= wanted[name] for name in wanted):
            return
        text = ", ".join(f"{found[name]} of {wanted[name]} {name}s" for name in wanted)
        if time.monotonic() > end:
            raise StudyFailed(f"the cluster did not scale up: {text} after {patience_s:.0f} s")
        if text != told:
            say(f"waiting for the cluster to scale up: {text}")
            told = text
        time.sleep(0.5)
