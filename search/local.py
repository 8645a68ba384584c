"""A Ray of this machine alone, started in the order in which a study needs its processes.

Ray itself starts a dashboard first, waits until that answers, and gives every trial a process that
begins when the trial does. Here the dashboard comes when somebody opens it.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from search import access
from search.dashboard import forget_place, start_dashboard, started, tell_place
from search.light_tune import import_tune
from search.metrics import tell_endpoint
from search.on_request import OnRequest, Parts
from search.relay import Server
from search.replaced import replaced

# Workers have read their modules by then, on a calm machine.
_LATER_S = 5.0
# For Ray's processes to start.
_PATIENCE_S = 300.0


class Local:
    """One local Ray: `start` it, say `over` before it is shut down, and `left` after that."""

    def __init__(self, workers: int, experiment: str) -> None:
        """Reserve a port for the dashboard. `workers` start at once, and read the experiment.

        Raises:
            StudyFailed: none is free.
        """
        self._workers = workers
        self._modules = f"search.worker,trainables.{experiment}"
        self._dashboard = OnRequest()
        self._changes = ExitStack()

    def start(self, options: dict[str, Any]) -> str:
        """Call `ray.init(**options)`; return where the dashboard starts when it is opened."""
        import ray
        from ray._private import services
        from ray._private.node import Node

        begin, raylet, dashboard = Node.__init__, Node.start_raylet, Node.start_api_server
        asked: list[dict[str, Any]] = []
        starting: list[Any] = []

        def begun(node: Any, ray_params: Any, *given: Any, **named: Any) -> None:
            # Beside another Ray the default, one port of the machine, is tried for 3.4 s in vain.
            ray_params.dashboard_agent_listen_port = 0
            ray_params.include_log_monitor = False  # it reads for drivers that print workers' logs
            ray_params.no_monitor = True  # of an autoscaler
            begin(node, ray_params, *given, **named)

        def while_waiting(node: Any, *given: Any, **named: Any) -> None:
            raylet(node, *given, **named)
            starting.extend(each.process for each in node.all_processes["raylet"])
            # Takes a second, as do the agents that the raylet now waits for.
            import_tune()

        def keep(node: Any, **named: Any) -> None:
            asked.append(named)

        changed: dict[str, Any] = {
            "__init__": begun,
            "start_raylet": while_waiting,
            "start_api_server": keep,
        }
        place = f"{access.DASHBOARD_HOST}:{self._dashboard.port}"
        patient = {
            "start_ray_process": self._spawn(services.start_ray_process),
            "get_node": _patiently(services.get_node, starting),
        }
        spawn = replaced(services, patient)
        with replaced(Node, changed), spawn, _environment(self._modules):
            ray.init(**options, dashboard_port=self._dashboard.port)
        if self._workers:
            self._use_early_workers(options["num_cpus"])
        node: Any = ray._private.worker._global_node

        # At once: agents send the token to the first place that they are told, to the end.
        tell_place(place)

        def start() -> Server:
            forget_place()
            node._ray_params.dashboard_port = 0  # any: visitors are passed on
            try:
                start_dashboard(partial(dashboard, node), asked[0], node._logs_dir)
            finally:
                tell_place(place)
            return started(node)

        first = partial(tell_endpoint, Path(node.temp_dir))
        self._dashboard.begin(Parts(first, start, node.start_monitor), _LATER_S)
        return place

    def _spawn(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `original` with another number of workers that a raylet starts at once.

        Ray's is the number of CPUs, whatever number of trials there are to be.
        """

        def start(command: list[str], *given: Any, **named: Any) -> Any:
            name = "--num_prestart_python_workers="
            asked = [f"{name}{self._workers}" if w.startswith(name) else w for w in command]
            return original(asked, *given, **named)

        return start

    def over(self, wait: bool = True) -> None:
        """Start nothing more, and end what is half started; what runs is Ray's to end.

        Without `wait` that may go on for a moment: Ray's server does not answer any more.
        """
        self._dashboard.over(wait)
        self._changes.close()

    def left(self) -> None:
        """Let go of what the kernel ends with its parent: Ray has been shut down."""
        self._dashboard.left()

    def _use_early_workers(self, cpus: int) -> None:
        """Let trials run in the workers that were started early.

        Tune asks for an environment of their own, for a library that is not used here; what else
        it passes on a local worker has from this process. And by default it reserves the place of
        every trial by a task of its own, which would take those workers.
        """
        import ray
        from ray.air.execution import FixedResourceManager
        from ray.tune.execution import tune_controller
        from ray.tune.execution.class_cache import _ActorClassCache

        def get(cache: Any, trainable: Any) -> Any:
            if trainable not in cache._cache:
                cache._cache[trainable] = ray.remote(trainable)
            return cache._cache[trainable]

        def counted() -> FixedResourceManager:
            return FixedResourceManager({"CPU": cpus})

        self._changes.enter_context(replaced(_ActorClassCache, {"get": get}))
        places = {"PlacementGroupResourceManager": counted}
        self._changes.enter_context(replaced(tune_controller, places))


def _patiently(get: Callable[..., Any], starting: Sequence[Any]) -> Callable[..., Any]:
    """Return `get`, asked again while the processes that are `starting` live.

    Ray itself gives a node half a minute to register, which a busy machine may need for imports.
    """

    def asked(*given: Any) -> Any:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return get(*given)
            except RuntimeError:  # not there yet
                dead = any(each.poll() is not None for each in starting)
                if dead or time.monotonic() > until:
                    raise
            time.sleep(0.1)

    return asked


@contextmanager
def _environment(modules: str) -> Iterator[None]:
    """Let workers of a raylet that starts in this block find this project, and read modules."""
    wanted = {"PYTHONPATH": paths(), "RAY_preload_python_modules": modules}
    kept = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def paths() -> str:
    """Return the PYTHONPATH of workers: this project first."""
    mine, theirs = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(filter(None, [mine, theirs]))
