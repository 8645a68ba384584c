"""Ray's dashboard of a local study, which starts when somebody opens it.

It takes 320 MiB, 3 s of a CPU and then 5 % of one (benchmarks/README.md); few look at it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from search import access
from search.doorbell import Doorbell
from search.errors import StudyFailed
from search.progress import say
from search.relay import Server
from search.replaced import replaced

# Where Ray itself looks for a port for its dashboard.
_PORTS = range(8265, 8315)
# Where Ray's agents send what happened, with the token: no reason to start it.
_EVENTS = b"/report_events"
# Half a start is over in 0.2 s on a calm machine.
_PATIENCE_S = 30.0


T = TypeVar("T")


class Parts(NamedTuple):
    """What is done for a dashboard: `first` in any study; `start`, which returns it; `then`."""

    first: Callable[[], None]
    start: Callable[[], Server]
    then: Callable[[], None]


class OnRequest:
    """Holds a port, and starts a dashboard for its first visitor.

    `begin` once Ray is up; say `over` before Ray is shut down, and `left` after that.
    """

    def __init__(self) -> None:
        """Reserve a port.

        Raises:
            StudyFailed: none is free.
        """
        try:
            self._door = Doorbell(access.DASHBOARD_HOST, _PORTS, [_EVENTS])
        except OSError:
            ports = f"no port from {_PORTS[0]} to {_PORTS[-1]} is free"
            raise StudyFailed(f"no Ray at local: {ports}") from None
        self.port = self._door.port
        self._over = threading.Event()
        self._left = threading.Event()
        self._starting: list[Any] = []
        self._lock = threading.Lock()
        self._busy = threading.Lock()

    def begin(self, parts: Parts, wait_s: float) -> None:
        """Do the first of the parts after some seconds, the others when somebody asks."""
        work = [parts, wait_s]
        threading.Thread(target=self._run, args=work, name="later", daemon=True).start()

    def over(self, wait: bool = True) -> None:
        """Start nothing more, and end what is half started; what runs is Ray's to end.

        After the `wait` nothing asks Ray's server anything: Ray ends a process, with 1, whose
        question has had no answer for a minute.
        """
        with self._lock:
            self._over.set()
            for process in self._starting:
                with suppress(OSError):
                    process.kill()
        self._door.ring_off()
        if wait and self._busy.acquire(timeout=_PATIENCE_S):
            self._busy.release()

    def left(self) -> None:
        """Give the port back, and end the thread that Ray's processes end with."""
        self._left.set()
        self._door.close()

    def _run(self, parts: Parts, wait_s: float) -> None:
        if self._over.wait(wait_s):
            return
        with self._busy:
            if not self._over.is_set():
                self._tried("address of Ray's metrics", parts.first)
                self._tried("Ray dashboard", self._door.answer)
                if self._door.rung():
                    self._serve(parts)
        # Ray lets the kernel end its processes with their parent, which is this thread.
        self._left.wait()

    def _serve(self, parts: Parts) -> None:
        with self._noting():
            server = self._tried("Ray dashboard", parts.start)
            if server is None or self._over.is_set():  # which may have killed it
                self._door.not_there()
                return
            self._door.there(server)
            self._tried("state of the cluster in Ray's dashboard", parts.then)

    def _tried(self, what: str, work: Callable[[], T]) -> T | None:
        """Return what `work` returns; None, and a line to the user, if it fails."""
        try:
            return work()
        except Exception as error:  # Ray raises anything here; no trial needs any of it
            if not self._over.is_set():
                say(f"note: there is no {what} (the study goes on): {error}")
            return None

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep every process that is started until Ray knows it, so that none is left behind."""
        from ray._private import services

        original = services.start_ray_process

        def start(*given: Any, **named: Any) -> Any:
            with self._lock:
                if self._over.is_set():
                    raise StudyFailed("the study is over")
                info = original(*given, **named)
                self._starting.append(info.process)
            return info

        with replaced(services, {"start_ray_process": start}):
            yield
        with self._lock:
            self._starting.clear()
