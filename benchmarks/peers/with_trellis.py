"""Trellis: `python -m search.run` with an empty cache, watched from outside.

An epoch counts from when its row is seen in curves.csv, a fifth of a second late at most.
"""

import csv
import io
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers import records
from benchmarks.peers.task import Task

LOOK_S = 0.2


def command(task: Task) -> list[str]:
    """Return the command line that does the task."""
    words = [sys.executable, "-m", "search.run", task.experiment, *task.arguments]
    words += ["--trials", str(task.trials), "--max-epochs", str(task.epochs)]
    words += ["--seed", str(task.seed), "--concurrent", str(task.cores)]
    words += ["--results-dir", task.folder, "--study", "study"]
    words += ["--precision", task.precision] if task.precision else []
    for name, value in task.fixed.items():
        words += ["--fix", f"{name}={value}"]
    return words


def note_new(curves: Path, seen: int, path: str) -> int:
    """Append the rows of curves.csv after the first `seen` to the records; return how many."""
    if not curves.exists():
        return seen
    whole = curves.read_text().rpartition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(whole)))
    for row in rows[seen:]:
        accuracy = float(row["val_accuracy"])
        records.append(path, row["trial"], int(row["epoch"]), accuracy)
    return len(rows)


def failed(trials: Path) -> int:
    """Return how many trials of a trials.csv failed."""
    with trials.open(newline="") as file:
        return sum(row["status"] == "failed" for row in csv.DictReader(file))


def main() -> None:
    """Search as the task in the file of the first argument says."""
    task = Task.read(sys.argv[1])
    environment = {**os.environ, "TRELLIS_CACHE": str(Path(task.folder, "cache"))}
    running = subprocess.Popen(command(task), env=environment)
    curves, seen = Path(task.folder, "study", "curves.csv"), 0
    while running.poll() is None:
        seen = note_new(curves, seen, task.records)
        time.sleep(LOOK_S)
    note_new(curves, seen, task.records)
    if running.returncode:
        sys.exit(running.returncode)
    if count := failed(curves.with_name("trials.csv")):
        sys.exit(f"{count} trials failed, which would make the rest look fast")


if __name__ == "__main__":
    main()
