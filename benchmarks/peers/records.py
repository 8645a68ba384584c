"""What a tool reports while it runs: one JSON line per epoch, appended by whoever trains."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One epoch: seconds since the run began, a name of its trial, epoch, validation accuracy."""

    seconds: float
    trial: str
    epoch: int
    val_accuracy: float


def key(config: Mapping[str, Any]) -> str:
    """Return a name for a configuration: what a tool promotes or resumes counts as one trial."""
    return json.dumps(dict(config), sort_keys=True, default=str)


def append(path: str | Path, trial: str, epoch: int, val_accuracy: float) -> None:
    """Append an epoch with the time of day; short appends of several processes do not mix."""
    line = json.dumps([time.time(), trial, epoch, val_accuracy]) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: str | Path, began: float) -> list[Record]:
    """Return the epochs in the order of time; `began` is the run's start, in time of day.

    A torn last line, of a process that was killed, is left out.
    """
    if not Path(path).exists():
        return []
    lines = Path(path).read_text().split("\n")[:-1]
    rows = (json.loads(line) for line in lines)
    found = [Record(moment - began, trial, epoch, value) for moment, trial, epoch, value in rows]
    return sorted(found, key=lambda each: each.seconds)


def improvements(records: list[Record]) -> list[Record]:
    """Return the epochs that were better than all before them."""
    best, better = float("-inf"), []
    for each in records:
        if each.val_accuracy > best:
            best = each.val_accuracy
            better.append(each)
    return better
