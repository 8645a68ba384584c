"""Ray's dashboard of a local study, which starts when somebody opens it.

It takes 320 MiB, 3 s of a CPU and then 5 % of one (benchmarks/README.md); few look at it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from search import access
from search.doorbell import Doorbell
from search.errors import StudyFailed
from search.progress import say
from search.replaced import replaced

# Where Ray itself looks for a port for its dashboard.
_PORTS = range(8265, 8315)
# Where Ray's agents send what happened: no reason to start it.
_EVENTS = "/report_events"
# Half a start is over in 0.2 s on a calm machine.
_PATIENCE_S = 30.0


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

    def begin(self, first: Callable[[], None], start: Callable[[], None], wait_s: float) -> None:
        """Call `first` after some seconds, and `start` when somebody asks for the dashboard."""
        work = [first, start, wait_s]
        threading.Thread(target=self._run, args=work, name="later", daemon=True).start()

    def over(self) -> None:
        """Start nothing more, and end what is half started; what runs is Ray's to end.

        Nothing asks Ray's server anything afterwards: Ray ends a process, with 1, whose question
        has had no answer for a minute.
        """
        with self._lock:
            self._over.set()
            for process in self._starting:
                with suppress(OSError):
                    process.kill()
        self._door.ring_off()
        if self._busy.acquire(timeout=_PATIENCE_S):
            self._busy.release()
        self._door.close()

    def left(self) -> None:
        """Let the thread end that the kernel takes for the parent of what it started."""
        self._left.set()

    def _run(self, first: Callable[[], None], start: Callable[[], None], wait_s: float) -> None:
        if self._over.wait(wait_s):
            return
        try:
            with self._busy:
                if not self._over.is_set():
                    first()
                    self._serve(start)
        except Exception as error:  # Ray raises anything here; no trial needs a dashboard
            if not self._over.is_set():
                say(f"note: there is no Ray dashboard (the study goes on): {error}")
            self._door.hand_over()
            self._door.tell(there=False)
        # Ray lets the kernel end its processes with their parent, which is this thread.
        self._left.wait()

    def _serve(self, start: Callable[[], None]) -> None:
        if self._door.rung():
            self._door.hand_over()
            with self._noting():
                start()
            self._door.tell(there=True)

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
