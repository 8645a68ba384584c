"""One run of one tool with one seed: how it is started, what is kept of it, when it is reused."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.peers import records
from benchmarks.peers.records import Record
from benchmarks.peers.task import Task
from benchmarks.peers.watching import watch
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


@dataclass(frozen=True)
class Run:
    """What came out of a run. `improvements` are the epochs better than all before them.

    `configurations` were begun, `epochs` trained in all; the rest as in `watching.Usage`.
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

    @property
    def final(self) -> float:
        """The best validation accuracy of the run."""
        return self.improvements[-1].val_accuracy

    def time_to(self, accuracy: float) -> float:
        """Return the seconds until a validation accuracy was reached, inf where it never was.

        Accuracies that differ by less than a millionth are one: Keras tells them in float32.
        """
        enough = accuracy - _SAME
        reached = (e.seconds for e in self.improvements if e.val_accuracy >= enough)
        return next(reached, float("inf"))


def run(tool: str, task: Task, folder: Path, limit_s: float) -> Run:
    """Run a tool, or return what the same task gave before: a benchmark goes on where it ended.

    One that its time limit ended is run again with a longer one.

    Raises:
        TrellisError: the tool failed, or reported nothing.
    """
    place = folder / f"{tool}-{task.seed}"
    task = replace(task, folder=str(place / "work"), records=str(place / "records.jsonl"))
    kept = place / "run.json"
    if kept.exists() and Task.read(place / "task.json") == task:
        before = read_run(kept)
        if not before.timed_out or limit_s <= before.wall_s:
            return before
    shutil.rmtree(place, ignore_errors=True)
    Path(task.folder).mkdir(parents=True)
    task.write(place / "task.json")
    log = place / "log.txt"
    words = [sys.executable, "-m", f"benchmarks.peers.with_{tool}", str(place / "task.json")]
    began = time.time()
    usage = watch(words, log, limit_s, {"RAY_USAGE_STATS_ENABLED": "0", "KERAS_BACKEND": "torch"})
    shutil.rmtree(task.folder)
    found = records.read(task.records, began)
    if not found or (usage.exit_code and not usage.timed_out):
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
    )
    kept.write_text(json.dumps(asdict(result), indent=1))
    return result


def read_run(path: Path) -> Run:
    """Return the run that a file holds."""
    values: dict[str, Any] = json.loads(path.read_text())
    better = tuple(Record(**each) for each in values.pop("improvements"))
    return Run(**values, improvements=better)


def of_tool(runs: Sequence[Run], tool: str) -> list[Run]:
    """Return the runs of one tool."""
    return [each for each in runs if each.tool == tool]
