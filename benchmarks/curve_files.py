"""Recorded learning curves: a log that a kill cannot hurt, and the Parquet file made of it.

The log is one JSON line for what was recorded, then one per run. The Parquet file has a row per
configuration, repeat and epoch (see `COLUMNS`), and the log's first line as metadata.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search.errors import UsageError
from trainables.files import replace_file

# Of an epoch. Accuracies in [0, 1]; wall and CPU seconds from the epoch before (the first: from
# the beginning). The last epoch of a run that diverged has NaN for all but the seconds.
EPOCH_FIELDS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "wall_s", "cpu_s")
ACCURACY = EPOCH_FIELDS.index("val_accuracy")
LOSS = EPOCH_FIELDS.index("val_loss")
COLUMNS = ("configuration", "repeat", "epoch", *EPOCH_FIELDS, "parameters", "precision")
_METADATA = b"trellis"


@dataclass(frozen=True)
class Run:
    """One configuration trained once; `rows` holds EPOCH_FIELDS per epoch."""

    configuration: int
    repeat: int
    config: Mapping[str, Any]
    parameters: int
    rows: tuple[tuple[float, ...], ...]
    precision: str = "float32"


def by_configuration(runs: Iterable[Run]) -> dict[int, list[Run]]:
    """Return the runs of each configuration, in their order."""
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run.configuration, []).append(run)
    return found


class RunLog:
    """The runs recorded so far, on disk as each ends."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Open the log of the recording `about`, or begin it; a torn last line is cut off.

        Raises:
            UsageError: the log is of another recording, or somebody else writes it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                [f"{path} is being written by another process; wait for it"]
            ) from None
        self.runs: dict[tuple[int, int], Run] = {}
        lines = self._whole_lines()
        if not lines:
            self._append(about)
        else:
            check_same(path, json.loads(lines[0]), about)
        for line in lines[1:]:
            read = json.loads(line)
            self._take(Run(**{**read, "rows": tuple(tuple(row) for row in read["rows"])}))

    def add(self, run: Run) -> None:
        """Keep a run; it is on the disk when this returns."""
        self._append(asdict(run))
        self._take(run)

    def close(self) -> None:
        """Let others write."""
        self._file.close()

    def _take(self, run: Run) -> None:
        self.runs[run.configuration, run.repeat] = run

    def _append(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _whole_lines(self) -> list[bytes]:
        self._file.seek(0)
        whole, newline, _ = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole) + len(newline))
        return whole.split(b"\n") if whole else []


def check_same(path: Path, old: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Check that a file is of the recording `about`.

    Raises:
        UsageError: it is of another, with what differs.
    """
    names = [name for name in {**old, **about} if _meant(old, name) != _meant(about, name)]
    if names:
        wrong = "; ".join(f"{name} was {old.get(name)}, now {about.get(name)}" for name in names)
        raise UsageError([f"{path} is of another recording: {wrong}; take another"])


def _meant(about: Mapping[str, Any], name: str) -> Any:
    """Return a value; of torch without its build: runs are on the CPU in all of them."""
    value = about.get(name)
    return str(value).partition("+")[0] if name == "torch" else value


def recorded(path: Path, about: Mapping[str, Any]) -> dict[tuple[int, int], Run]:
    """Return the runs of a Parquet file by configuration and repeat; none where there is none.

    Raises:
        UsageError: it is of another recording.
    """
    if not path.exists():
        return {}
    runs, old = read_curves(path)
    check_same(path, old, about)
    return {(run.configuration, run.repeat): run for run in runs}


def write_curves(path: Path, runs: Iterable[Run], about: Mapping[str, Any]) -> None:
    """Write the Parquet file, ordered by configuration, repeat and epoch."""
    ordered = sorted(runs, key=lambda run: (run.configuration, run.repeat))
    names = list(dict.fromkeys(name for run in ordered for name in run.config))
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    columns |= {f"config.{name}": [] for name in names}
    for run in ordered:
        for epoch, row in enumerate(run.rows, start=1):
            values = (run.configuration, run.repeat, epoch, *row, run.parameters, run.precision)
            for name, value in zip(COLUMNS, values, strict=True):
                columns[name].append(value)
            for name in names:
                columns[f"config.{name}"].append(run.config.get(name))
    arrays = {
        name: pa.array(values, pa.float32() if name in EPOCH_FIELDS else None)
        for name, values in columns.items()
    }
    table = pa.table(arrays).replace_schema_metadata({_METADATA: json.dumps(about).encode()})
    replace_file(path, lambda aside: pq.write_table(table, aside, compression="zstd"))


def read_curves(path: Path) -> tuple[list[Run], dict[str, Any]]:
    """Return the runs of a Parquet file, and what was recorded.

    Raises:
        UsageError: there is no such file, or it is another.
    """
    if not path.exists():
        raise UsageError([f"{path} does not exist; make it by python -m benchmarks.record_curves"])
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[_METADATA])
    except (pa.ArrowException, KeyError):
        made = "made by python -m benchmarks.record_curves"
        raise UsageError([f"{path} is no file of learning curves, {made}"]) from None
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    keys = np.array([columns["configuration"], columns["repeat"]])
    ends = [*(np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1).tolist(), keys.shape[1]]
    runs, begin = [], 0
    for end in ends:
        config = {n.removeprefix("config."): c[begin] for n, c in columns.items() if "." in n}
        runs.append(
            Run(
                columns["configuration"][begin],
                columns["repeat"][begin],
                {name: value for name, value in config.items() if value is not None},
                columns["parameters"][begin],
                tuple(zip(*(columns[name][begin:end] for name in EPOCH_FIELDS), strict=True)),
                columns["precision"][begin],
            )
        )
        begin = end
    return runs, about
