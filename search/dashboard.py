"""Ray's dashboard, started where nobody waits for it: with patience, and its failure in a line."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from search.errors import StudyFailed
from search.relay import Server
from search.replaced import replaced

# Beside trials that take all CPUs it may need minutes; Ray itself gives up after one.
PATIENCE_S = 600


def start_dashboard(begin: Callable[..., Any], asked: dict[str, Any], logs: str) -> None:
    """Call `begin(**asked)`, Ray's own start of its dashboard, until that answers.

    Raises:
        StudyFailed: it ended, or did not answer in ten minutes. Ray tells the same in lines of
            its own, with advice on installing it and a part of a log: only `logs` is named here.
    """
    from ray._private import ray_constants

    patient = {"RAY_DASHBOARD_STARTUP_TIMEOUT_S": PATIENCE_S}
    with replaced(ray_constants, patient), _unheard("ray._private.services"):
        try:
            begin(**{**asked, "raise_on_failure": True})
        except Exception:  # Ray raises Exception itself, with the last lines of a log
            raise StudyFailed(f"it did not start; dashboard.log in {logs} may say why") from None


def started(node: Any) -> Server:
    """Return the dashboard that Ray's node has started."""
    from ray._private import ray_constants

    process = node.all_processes[ray_constants.PROCESS_TYPE_DASHBOARD][0].process
    host, _, port = node._webui_url.rpartition(":")
    return Server(host, int(port), lambda: process.poll() is None)


def tell_place(place: str) -> None:
    """Tell Ray's agents that a dashboard answers at HOST:PORT.

    They look for it every second, and log a traceback each time that there is none.
    """
    from ray._private import ray_constants
    from ray.experimental import internal_kv

    space = ray_constants.KV_NAMESPACE_DASHBOARD
    internal_kv._internal_kv_put(ray_constants.DASHBOARD_ADDRESS, place, True, namespace=space)


def forget_place() -> None:
    """Take that back, which Ray takes for the sign that a dashboard has started."""
    from ray._private import ray_constants
    from ray.experimental import internal_kv

    space = ray_constants.KV_NAMESPACE_DASHBOARD
    internal_kv._internal_kv_del(ray_constants.DASHBOARD_ADDRESS, namespace=space)


@contextmanager
def _unheard(name: str) -> Iterator[None]:
    """Drop what this thread logs by `name`; other threads are heard."""
    mine, logger = threading.get_ident(), logging.getLogger(name)

    def others(record: logging.LogRecord) -> bool:
        return record.thread != mine

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)
