"""A study's live metrics on Ray's Prometheus endpoint, which the Ray dashboard's graphs read.

Ray adds `ray_` in front of the names. Every metric has the tag `study`, the name of its folder.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

from search.book import Book
from search.records import STATUSES, Record
from trainables.files import replace_text

_EVERY_S = 2.0
_OVER_S = 60.0


def by_status(records: Iterable[Record]) -> dict[str, int]:
    """Return how many trials have each status; 0 is a number, too, or a graph would keep the 1."""
    counts = Counter(record.status for record in records)
    return {status: counts[status] for status in STATUSES}


class Rate:
    """What is done per second, over the last minute or since the beginning if that is less."""

    def __init__(self, now: float, done: int) -> None:
        """Begin with what was `done` before `now`, a clock's seconds: that does not count."""
        self._seen = deque([(now, done)])

    def update(self, now: float, done: int) -> float:
        """Take in how much is done in all; return how much per second."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _OVER_S:
            self._seen.popleft()
        before, had = self._seen[0]
        return (done - had) / (now - before) if now > before else 0.0


def tell_endpoint(folder: Path) -> None:
    """Write where Prometheus finds the metrics, as Ray's dashboard does once it has started.

    Args:
        folder: of the Ray that this process started.
    """
    import ray
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    nodes = [node for node in ray.nodes() if node["Alive"]]
    places = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes]
    found = [{"labels": {"job": "ray"}, "targets": places}]
    replace_text(folder / PROMETHEUS_SERVICE_DISCOVERY_FILE, json.dumps(found))


class Metrics:
    """The gauges of a study: `update` sets them, every two seconds at most. Needs a Ray."""

    def __init__(self, book: Book) -> None:
        """Make the gauges; they have no value yet."""
        from ray.util.metrics import Gauge

        self._book = book
        self._set = -_EVERY_S
        self._rate = Rate(time.monotonic(), self._epochs())
        tags = {"study": book.folder.root.name}

        def gauge(name: str, description: str, *more: str) -> Gauge:
            made = Gauge(f"trellis_{name}", description, ("study", *more))
            made.set_default_tags(tags)
            return made

        self._trials = gauge("trials", "Trials of the study by status", "status")
        self._best = gauge("best_val_accuracy", "Best validation accuracy so far, 0 to 1")
        self._speed = gauge("epochs_per_second", "Epochs per second over the last minute")

    def update(self) -> None:
        """Set the gauges if it is time: it looks at every trial."""
        now = time.monotonic()
        if now - self._set < _EVERY_S:
            return
        self._set = now
        for status, count in by_status(self._book.records.values()).items():
            self._trials.set(count, {"status": status})
        if self._book.best is not None:
            self._best.set(self._book.best.val_accuracy)
        self._speed.set(self._rate.update(now, self._epochs()))

    def _epochs(self) -> int:
        return sum(len(record.rows) for record in self._book.records.values())
