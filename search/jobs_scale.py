"""Brings an autoscaling cluster up before a study looks at what it has.

A study shares out the CPUs and GPUs that are there when it begins, and on a cluster that scales
from zero these are none. Once trials run, they hold their nodes; when they end, the nodes go.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from search.errors import StudyFailed

# Nodes are bought, started and set up meanwhile.
PATIENCE_S = 3600
# There is one request a cluster: a job that asks for other nodes replaces ours.
_AGAIN_S = 10.0
# From the first trial that runs until all that run at once are placed.
_PLACED_S = 60.0


@contextmanager
def brought_up(
    address: str,
    cpus: int,
    gpus: int,
    say: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> Iterator[None]:
    """Wait until the cluster has so many CPUs and GPUs, having asked its autoscaler for them.

    The request stands until trials run: nodes that joined first would be idle for longer than the
    autoscaler lets them be. Later it would hold the nodes, and their price, for ever.

    Raises:
        StudyFailed: they did not come in time.
    """
    if not cpus and not gpus:
        yield
        return
    wanted = {name: count for name, count in (("CPU", cpus), ("GPU", gpus)) if count}
    over, withdrawn = threading.Event(), threading.Event()
    waits = (over, withdrawn)
    follower = threading.Thread(target=_withdraw_once_placed, args=waits, daemon=True)
    try:
        with _joined(address):
            import ray

            _wait(ray.cluster_resources, wanted, say, patience_s, lambda: _request(wanted))
        follower.start()
        yield
    finally:
        over.set()
        if follower.is_alive():
            follower.join()
        if not withdrawn.is_set():  # by now the request may be another job's
            # Ray raises anything where the cluster is gone; how the study ended is what counts.
            with contextlib.suppress(Exception), _joined(address):
                _request({})


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _request(wanted: dict[str, int]) -> None:
    """Ask the autoscaler to have at least this at any time; it replaces what was asked before."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{name: 1} for name, count in wanted.items() for _ in range(count)])


def _wait(
    has: Callable[[], dict[str, Any]],
    wanted: dict[str, int],
    say: Callable[[str], None],
    patience_s: float,
    ask: Callable[[], None],
) -> None:
    end, told, asked = time.monotonic() + patience_s, "", -_AGAIN_S
    while True:
        if time.monotonic() - asked >= _AGAIN_S:
            ask()
            asked = time.monotonic()
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


def _withdraw_once_placed(over: threading.Event, withdrawn: threading.Event) -> None:
    """Withdraw the request a minute after the study's first trial has got its resources."""
    import ray

    with contextlib.suppress(Exception):  # Ray that ends meanwhile; the end withdraws, too
        while not (ray.is_initialized() and _in_use(ray)):
            if over.wait(1.0):
                return
        if not over.wait(_PLACED_S) and ray.is_initialized():
            _request({})
            withdrawn.set()


def _in_use(ray: Any) -> bool:
    free, all_there = ray.available_resources(), ray.cluster_resources()
    return any(free.get(name, 0) < all_there.get(name, 0) for name in ("CPU", "GPU"))
