"""Ray's dashboard, started where nobody waits for it: with patience, and its failure in a line."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from search.errors import StudyFailed
from search.replaced import replaced

# At the lowest priority beside trials it may need minutes; Ray itself gives up after one.
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
