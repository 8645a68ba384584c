"""One run of one tool with one seed: how it is started, what is kept of it, when it is reused."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.peers import records
from benchmarks.peers.machine import facts, moment
from benchmarks.peers.records import Record
from benchmarks.peers.task import Task
from benchmarks.peers.watching import watch
from search.same_code import digests
from trainables.errors import TrellisError

TOOLS = {
    "trellis": "Trellis",
    "ray_tune": "Ray Tune",
    "optuna": "Optuna",
    "syne_tune": "Syne Tune",
    "keras_tuner": "Keras Tuner",
}


# One image of a hundred thousand is more.
_SAME = 1e-6
_ROOT = Path(__file__).parents[2]
# These only start tools, watch them and tell what came out.
_ASIDE = ("__main__.py", "figure.py", "machine.py", "runs.py", "summary.py", "watching.py")


@dataclass(frozen=True)
class Run:
    """What came out of a run. `improvements` are the epochs better than all before them.

    `configurations` were begun, `epochs` trained in all; `ended` is when, and at what load; the
    rest as in `watching.Usage`. One that its time limit ended may have no improvement.
    """

    tool: str
    seed: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    memory: str
    timed_out: bool
    configurations: int
    epochs: int
    improvements: tuple[Record, ...]
    ended: str = ""

    @property
    def final(self) -> float:
        """The best validation accuracy of the run; -inf where no epoch ended."""
        return self.improvements[-1].val_accuracy if self.improvements else float("-inf")

    def time_to(self, accuracy: float) -> float:
        """Return the seconds until a validation accuracy was reached, inf where it never was.

        Accuracies that differ by less than a millionth are one: Keras tells them in float32.
        """
        enough = accuracy - _SAME
        reached = (e.seconds for e in self.improvements if e.val_accuracy >= enough)
        return next(reached, float("inf"))


def place_of(tool: str, task: Task, folder: Path) -> Path:
    """Return the folder of a run: another one for another task, machine, versions or code."""
    asked = asdict(replace(task, folder="", records=""))
    known = json.dumps([asked, facts(task.cores), code_of(tool)], sort_keys=True)
    return folder / f"{tool}-{task.seed}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"


def code_of(tool: str) -> dict[str, str]:
    """Return the digests of what a tool's times depend on: its files, or those of Trellis."""
    if tool == "trellis":
        return digests(_ROOT)
    peers = Path(__file__).parent.relative_to(_ROOT).as_posix()
    found = digests(_ROOT, ("spaces", peers))
    return {name: each for name, each in found.items() if Path(name).name not in _ASIDE}


def kept(tool: str, task: Task, folder: Path) -> Run | None:
    """Return what the same task gave before, on this machine; None if it was not done."""
    return _kept_in(place_of(tool, task, folder))


def _kept_in(place: Path) -> Run | None:
    path = place / "run.json"
    return read_run(path) if path.exists() else None


def run(tool: str, task: Task, folder: Path, limit_s: float) -> Run:
    """Run a tool, or return what the same task gave before: a benchmark goes on where it ended.

    One that its time limit ended is run again with a longer one. On a CPU the tool gets no more
    than the task's cores.

    Raises:
        TrellisError: the tool failed, or reported nothing until it ended.
    """
    place = place_of(tool, task, folder)  # which reads all code
    before = _kept_in(place)
    if before and (not before.timed_out or limit_s <= before.wall_s):
        return before
    task = replace(task, folder=str(place / "work"), records=str(place / "records.jsonl"))
    shutil.rmtree(place, ignore_errors=True)
    Path(task.folder).mkdir(parents=True)
    task.write(place / "task.json")
    log = place / "log.txt"
    words = [sys.executable, "-m", f"benchmarks.peers.with_{tool}", str(place / "task.json")]
    began = time.time()
    usage = watch(
        words,
        log,
        limit_s,
        {"RAY_USAGE_STATS_ENABLED": "0", "KERAS_BACKEND": "torch"},
        None if task.gpus else task.cores,
    )
    shutil.rmtree(task.folder)
    found = records.read(task.records, began)
    if not usage.timed_out and (usage.exit_code or not found):
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise TrellisError(f"{tool} ended with {usage.exit_code}: {last}; see {log}")
    result = Run(
        tool=tool,
        seed=task.seed,
        wall_s=usage.wall_s,
        cpu_s=usage.cpu_s,
        peak_mb=usage.peak_mb,
        memory=usage.memory,
        timed_out=usage.timed_out,
        configurations=len({each.trial for each in found}),
        epochs=len(found),
        improvements=tuple(records.improvements(found)),
        ended=moment(),
    )
    (place / "run.json").write_text(json.dumps(asdict(result), indent=1))
    return result


def read_run(path: Path) -> Run:
    """Return the run that a file holds."""
    values: dict[str, Any] = json.loads(path.read_text())
    better = tuple(Record(**each) for each in values.pop("improvements"))
    return Run(**values, improvements=better)


def of_tool(runs: Sequence[Run], tool: str) -> list[Run]:
    """Return the runs of one tool."""
    return [each for each in runs if each.tool == tool]
