"""The log of a trial: what a worker did, line by line."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from search import trial_files, worker
from search.passed import NO_ROOM
from search.trial_files import TrialFiles
from search.trial_log import TrialLog
from search.worker import Worker
from trainables.budget import EpochResult
from trainables.errors import DataError, WeightsError

RESULT = EpochResult(3, "head", 1.25, 0.5, 0.75, 0.625, 1e-3, 2.04, 1234.4, 10, 10)


def lines(folder: Path) -> list[str]:
    """Return the lines without their times, which are checked."""
    found = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    for line in found:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line), line
    return [line[20:] for line in found]


def test_a_log_tells_who_trains_what_and_how_far_it_came(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "4")
    log.begins({"kind": "a", "rate": 0.1 + 0.2}, 7, 20)
    log.epoch(RESULT)
    TrialLog(tmp_path / "4").add("two\nlines")  # of a worker after a kill
    first, *others = lines(tmp_path / "4")
    assert first.startswith(f"process {os.getpid()} on ")
    assert first.endswith(" trains for 20 epochs: kind=a rate=0.30000000000000004 seed=7")
    assert others == [
        "epoch 3 (head): train loss 1.2500, accuracy 0.5000; validation loss 0.7500, "
        "accuracy 0.6250; 2.0 s, 1,234 MiB",
        "two",
        "lines",
    ]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "4").write_text("a file where the folder should be")
    TrialLog(tmp_path / "4").add("lost")
    assert (tmp_path / "4").read_text() == "a file where the folder should be"


def driven(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Worker:
    """Return a worker of trial 4, without Ray, that fails in its second epoch."""

    def epochs(config: Any, data: Any, budget: Any) -> Any:
        yield RESULT
        raise error

    monkeypatch.setattr(worker, "_trainable", lambda _: epochs)
    worker._notes_here().taken()  # what other tests have warned of in this process
    job = {"experiment": "x", "folder": str(folder), "data": None, "max_epochs": 20}
    job |= {"threads": 1, "device": "cpu", "precision": "float32", "weights": None}
    assigned = {"job": job | {"keep_last": False}, "number": 4, "config": {"kind": "a"}}
    made = Worker({**assigned, "seed": 7, "keep_above": -1.0, "told": [], "memory_mb": None})
    return made


@pytest.mark.parametrize(
    "error", [WeightsError("no weights at /moved/w.pt"), DataError("the data changed")]
)
def test_what_all_later_trials_would_fail_of_ends_the_study(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial stays open: it goes on once weights and data are there again."""
    trial = driven(tmp_path, monkeypatch, error)
    assert trial.train()["outcome"] == "running"
    answer = trial.train()
    assert (answer["outcome"], answer["error"]) == (NO_ROOM, f"{type(error).__name__}: {error}")


def test_a_failed_trial_keeps_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = driven(tmp_path, monkeypatch, ValueError("no such layer\nand more"))
    assert trial.train()["outcome"] == "running"
    assert trial.train()["outcome"] == "failed"
    told = lines(tmp_path / "trials" / "4")
    assert [line.split(" ")[0] for line in told] == ["process", "epoch", "failed:"]
    assert told[-1] == "failed: ValueError: no such layer"


def test_a_disk_that_is_full_under_a_checkpoint_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "PytorchStreamWriter failed writing file data/7: file write failed"
    trial = driven(tmp_path, monkeypatch, RuntimeError(text))
    trial.train()
    answer = trial.train()
    assert answer["outcome"] == "no room"
    assert re.match(rf"the disk of {tmp_path} is full \([\d.]+ MB free\); ", answer["error"])


def test_a_log_goes_to_a_store_at_first_and_at_last_and_not_with_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    store = {"uri": "memory://place/study", "token": "t"}
    files = TrialFiles({"folder": str(tmp_path / "elsewhere"), "store": store}, 4)
    put: list[int] = []

    def counted(path: Path) -> None:
        files._known[path.name] = (path.stat().st_size, 0)
        put.append(len(lines(files.path)))

    monkeypatch.setattr(files, "_put_file", counted)
    monkeypatch.setattr(trial_files, "_TELL_S", 1e9)
    for epoch in range(1, 6):
        TrialLog(files.path).add(f"epoch {epoch}")
        files.keep(last=epoch == 5)
    assert put == [1, 5]
