"""Where the seconds go from the start of `search.run` to the first epoch, and between trials.

python -m benchmarks.start lenet_beans --preset quick --data embedded --trials 12

Takes the words of search.run and runs it as it is, in a process of its own. Driver and workers
note moments on the way. CPU seconds tell what a step computes even on a machine that is busy.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_PLACE = "TRELLIS_MOMENTS"
# Functions by module, with what is noted before and after each call ("": nothing).
_NOTED = {
    "search.session": {
        "open_data": ("modules read", "data opened"),
        "prepare_images": ("", "data ready"),
    },
    "search.local": {"Local.start": ("Ray asked for", "Ray up")},
    "search.searcher": {"StudySearcher.suggest": ("", "trial handed out")},
    "search.worker": {
        "Worker._take": ("taken", ""),
        "Worker._begin": ("begin", "begun"),
        "Worker._step": ("step", "answer"),
    },
    "trainables.training": {
        "_passes": ("predict", "predicted"),
        "run_epoch": ("epoch", "trained"),
    },
}
_SET_UP = ("modules read", "data opened", "data ready", "Ray asked for", "Ray up")
_DRIVER = (*_SET_UP, "trial handed out")
_WORKER = ("worker up", "taken", "begun", "predict", "predicted", "epoch", "trained", "answer")
# From the last answer of a trial to the first epoch of the next, on one worker.
_BETWEEN = {
    "the trial is over, the next handed out": ("answer", "taken"),
    "its folder": ("taken", "begun"),
    "threads set, memory given back": ("begun", "predict"),
    "memory predicted": ("predict", "predicted"),
    "network built, data mapped": ("predicted", "epoch"),
    "all of these": ("answer", "epoch"),
}
# After every epoch.
_AFTER = {
    "weights, checkpoint written": ("trained", "answer"),
    "reported, decided on": ("answer", "step"),
}


class Moment(NamedTuple):
    """Seconds of the machine's clock, CPU seconds of the process until then, what it was."""

    clock: float
    cpu: float
    process: int
    what: str


def note(what: str) -> None:
    """Add a moment of this process."""
    moment = Moment(time.time(), time.process_time(), os.getpid(), what)
    with Path(os.environ[_PLACE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(moment) + "\n")


def _noting(call: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def noting(*given: Any, **named: Any) -> Any:
        if before:
            note(before)
        result = call(*given, **named)
        if after:
            note(after)
        return result

    return noting


class Hook(importlib.abc.MetaPathFinder):
    """Lets functions of modules note moments, from their import on."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, with a loader that changes it when it is loaded."""
        found = importlib.machinery.PathFinder.find_spec(name, path) if name in _NOTED else None
        if found is None or found.loader is None:
            return None
        load = found.loader.exec_module

        def execute(module: ModuleType) -> None:
            load(module)
            for function, moments in _NOTED[name].items():
                *owners, last = function.split(".")
                owner = functools.reduce(getattr, owners, module)
                setattr(owner, last, _noting(getattr(owner, last), *moments))
            if name == "search.local":
                _reach_workers(module)

        found.loader.exec_module = execute  # type: ignore[method-assign]  # the whole point
        return found


def _reach_workers(module: Any) -> None:
    """Let workers import this file before all others."""
    original = module._environment
    module._environment = lambda modules: original(f"benchmarks.start,{modules}")


def moments(path: Path) -> list[Moment]:
    """Return the moments in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted(Moment(*json.loads(line)) for line in lines)


def first(found: Sequence[Moment]) -> Iterator[tuple[str, float, float]]:
    """Yield (stage, seconds since the command began, CPU seconds of its process) until a report.

    Of the workers the one whose first epoch began first is followed.
    """
    began, driver = found[0].clock, found[0].process
    worker = next(each.process for each in found if each.what == "epoch")
    for process, stages in ((driver, _DRIVER), (worker, _WORKER)):
        own = [each for each in found if each.process == process]
        for stage in stages:
            each = next((each for each in own if each.what == stage), None)
            if each is not None:
                yield stage, each.clock - began, each.cpu


Steps = dict[str, list[tuple[float, float]]]


def between(found: Sequence[Moment]) -> Steps:
    """Return (seconds, CPU seconds of the worker) by step: between two trials, after an epoch."""
    steps: Steps = {name: [] for name in (*_BETWEEN, *_AFTER)}

    def add(name: str, begun: Moment, ended: Moment) -> None:
        steps[name].append((ended.clock - begun.clock, ended.cpu - begun.cpu))

    for process in dict.fromkeys(each.process for each in found if each.what == "taken"):
        own = [each for each in found if each.process == process]
        for begun, ended in pairwise(own):
            for name, pair in _AFTER.items():
                if (begun.what, ended.what) == pair:
                    add(name, begun, ended)
        taken = [number for number, each in enumerate(own) if each.what == "taken"]
        for start, end in pairwise([*taken, len(own)]):
            answers = [each for each in own[:start] if each.what == "answer"]
            if not answers:  # the first trial of a worker is no warm one
                continue
            seen = {each.what: each for each in reversed(own[start:end])} | {"answer": answers[-1]}
            for name, (before, after) in _BETWEEN.items():
                if before in seen and after in seen:
                    add(name, seen[before], seen[after])
    return steps


def show(found: Sequence[Moment]) -> None:
    """Print both tables."""
    print("\n| until | seconds since the start | CPU seconds of driver or worker |")
    print("| --- | --- | --- |")
    for stage, seconds, cpu in first(found):
        print(f"| {stage} | {seconds:.2f} | {cpu:.2f} |")
    print("\n| step, warm worker | times | median seconds | median CPU seconds |")
    print("| --- | --- | --- | --- |")
    for name, taken in between(found).items():
        if taken:
            wall, cpu = (statistics.median(each) for each in zip(*taken, strict=True))
            print(f"| {name} | {len(taken)} | {wall:.3f} | {cpu:.3f} |")


def main() -> int:
    """Run the search, then print where the time went."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, "moments")
        place.touch()
        words = [sys.executable, "-m", "benchmarks.start", *sys.argv[1:]]
        began = time.time()
        code = subprocess.run(
            words, env={**os.environ, _PLACE: str(place)}, check=False
        ).returncode
        found = moments(place)
        if any(each.what == "epoch" for each in found):
            show([Moment(began, 0.0, found[0].process, "command"), *found])
    return code


if _PLACE in os.environ:
    sys.meta_path.insert(0, Hook())
    if __name__ == "__main__":
        from search import run
        from search.command import leave

        leave(run.main(sys.argv[1:]))
    note("worker up")
elif __name__ == "__main__":
    sys.exit(main())
