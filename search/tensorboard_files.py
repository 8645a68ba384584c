"""`--tensorboard`: event files for TensorBoard, `<study>/tensorboard/<trial>`, one run per trial.

Written from the rows that trials report, without torch. What is there already stays: a resumed
study goes on behind the last whole event of each trial.
"""

import contextlib
import importlib
import io
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from search.beside import News, Pace, is_ahead
from search.book import Book
from search.records import FINISHED, Record

FOLDER = "tensorboard"
# Names as TensorBoard groups them, before the slash, and the row's field.
SCALARS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "learning_rate": "learning_rate",
    "seconds/epoch": "epoch_s",
    "memory/peak_mb": "peak_memory_mb",
}
_JUDGED = "accuracy/validation"


class EventFiles:
    """Keeps the event files of a study up to date."""

    def __init__(self, book: Book, say: Callable[[str], None]) -> None:
        """Write nothing yet; `say` hears once of what goes wrong."""
        self._book = book
        self._root = book.folder.root / FOLDER
        self._say = say
        self._pace = Pace()
        self._open: dict[int, BinaryIO] = {}
        self._broken = False
        self._news: News | None = None
        self._begun: set[int] = set()  # trials of which an earlier run has written epochs

    def update(self) -> None:
        """Write what is new, once a second at most."""
        if self._pace.due():
            self._write()

    def close(self) -> None:
        """Write the rest and close the files."""
        self._write()
        for file in self._open.values():
            with contextlib.suppress(OSError):  # told before
                file.close()
        self._open.clear()

    def _write(self) -> None:
        if self._broken:
            return
        try:
            self._news = self._news or self._behind()
            for record, rows in self._news:
                self._add(record, rows)
        except OSError as error:  # the study is worth more than its pictures
            self._broken = True
            self._say(
                f"TensorBoard files in {self._root} are no longer written: {error.strerror}; the "
                "study goes on, and --resume --tensorboard writes what is missing"
            )

    def _behind(self) -> News:
        """Look at what an earlier run has written."""
        done = dict(_written(self._root))
        records = self._book.records
        for number in [n for n, had in done.items() if is_ahead(records.get(n), *had)]:
            aside = self._root / f"{number}.before"
            shutil.rmtree(aside, ignore_errors=True)
            (self._root / str(number)).rename(aside)
            del done[number]
        self._begun = {number for number, (epochs, _) in done.items() if epochs}
        return News(
            self._book,
            {number: epochs for number, (epochs, _) in done.items()},
            [number for number, (_, over) in done.items() if over],
        )

    def _add(self, record: Record, rows: list[Mapping[str, Any]]) -> None:
        new = record.number not in self._open and record.number not in self._begun
        file = self._file(record.number)
        if new:
            file.write(_event(0, _hyperparameters(record)))
        for row in rows:
            file.write(_event(row["epoch"], _scalars(row)))
        if record.status != "running":
            file.write(_event(0, _end(record)))
        file.flush()
        if record.status != "running":
            self._open.pop(record.number).close()

    def _file(self, number: int) -> BinaryIO:
        """Return a trial's file of this run: an older one may be torn at its end."""
        if number not in self._open:
            folder = self._root / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}"
            file = (folder / name).open("wb")
            self._open[number] = file
            file.write(_event(0, None))
        return self._open[number]


def _part(name: str) -> Any:
    """Return a module of tensorboard, which has no types, when it is needed and not before."""
    return importlib.import_module(f"tensorboard.{name}")


def _event(step: int, summary: Any) -> bytes:
    """Return an event as it stands in a file; None for the summary gives the file's first."""
    record_writer = _part("summary.writer.record_writer")
    whole = {"file_version": "brain.Event:2"} if summary is None else {"summary": summary}
    buffer = io.BytesIO()
    event = _part("compat.proto.event_pb2").Event(wall_time=time.time(), step=step, **whole)
    record_writer.RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()


def _scalars(row: Mapping[str, Any]) -> Any:
    summary = _part("compat.proto.summary_pb2").Summary
    values = [summary.Value(tag=tag, simple_value=row[name]) for tag, name in SCALARS.items()]
    return summary(value=values)


def _hyperparameters(record: Record) -> Any:
    """Return what the tab HPARAMS reads: the configuration, and the trial's seed."""
    values = {**record.config, "seed": record.seed}
    make = _part("plugins.hparams.summary_v2").hparams_pb
    return make(values, trial_id=f"trial {record.number}")


def _end(record: Record) -> Any:
    summary = _part("compat.proto.summary_pb2").Summary
    api_pb2, metadata, plugin_data_pb2 = (
        _part(f"plugins.hparams.{name}") for name in ("api_pb2", "metadata", "plugin_data_pb2")
    )
    good = record.status in FINISHED
    status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    content = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    about = metadata.create_summary_metadata(content)
    tag = metadata.SESSION_END_INFO_TAG
    return summary(value=[summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])


def _written(root: Path) -> Iterator[tuple[int, tuple[int, bool]]]:
    """Yield the epochs of every trial that are there, and whether its end is."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.isdecimal() and folder.is_dir():
            yield int(folder.name), _had_in(folder)


def _had_in(folder: Path) -> tuple[int, bool]:
    """Return how many epochs are in a folder's files, and whether the end is, read once."""
    end = _part("plugins.hparams.metadata").SESSION_END_INFO_TAG
    epochs, over = 0, False
    for event, tags in _events(folder):
        if _JUDGED in tags:
            epochs = max(epochs, event.step)
        over = over or end in tags
    return epochs, over


def _events(folder: Path) -> Iterator[tuple[Any, set[str]]]:
    """Yield the whole events of a folder's files, each with its tags; a torn end is left out."""
    loader = _part("backend.event_processing.event_file_loader").LegacyEventFileLoader
    for path in sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else ():
        for event in loader(str(path)).Load():
            yield event, {value.tag for value in event.summary.value}
