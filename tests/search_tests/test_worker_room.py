"""A worker whose disk is full, or its GPU by others: what it names, and whose fault it is."""

import errno
import importlib.metadata
import os
import socket
from pathlib import Path
from traceback import walk_tb

import pytest
import torch

from search import same_code, worker
from search.passed import MEMORY, NO_ROOM, OUTSIDE
from search.same_code import code_here, digests
from tests.search_tests.test_trial_log import driven
from trainables import device, store
from trainables.errors import DataError, DeviceError


def full(name: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


def no_cache(place: Path) -> DataError:
    with pytest.raises(DataError) as caught, store.writing(place):
        raise full(str(place / "x.npy"))
    return caught.value


def test_the_cache_is_named_where_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = no_cache(Path("/fast/cache"))
    assert isinstance(error.__cause__, OSError)
    trial = driven(tmp_path, monkeypatch, error)
    assert trial.train()["outcome"] == "running"
    answer = trial.train()
    assert (answer["outcome"], answer["error"]) == (
        NO_ROOM,
        "DataError: cannot write the cache in /fast/cache: No space left on device; make room "
        "there or set TRELLIS_CACHE to another folder",
    )


@pytest.mark.parametrize(
    "error",
    [OSError(116, "Stale file handle"), DeviceError("device cuda: torch 2.13.0 sees no GPU")],
)
def test_a_machine_at_fault_is_no_fault_of_the_trial(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(worker.time, "sleep", waited.append)
    trial = driven(tmp_path, monkeypatch, error)
    trial.train()
    answer = trial.train()
    line = f"machine {socket.gethostname()} is at fault: {type(error).__name__}: {error}"
    assert (answer["outcome"], answer["error"]) == (OUTSIDE, line)
    assert waited == [20.0]
    assert "Traceback" in (trial._folder / "log.txt").read_text()


@pytest.mark.parametrize("kind", [ImportError, OSError, ValueError])
def test_what_cannot_be_imported_there_is_the_machines_fault(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch raises all three for a library that is missing or broken."""

    def broken(_: str) -> None:
        raise kind("libcudart.so.12: cannot open shared object file")

    trial = driven(tmp_path, monkeypatch, ValueError("not reached"))
    monkeypatch.setattr(worker.time, "sleep", lambda _: None)
    monkeypatch.setattr(worker, "_trainable", broken)
    answer = trial.train()
    assert answer["outcome"] == OUTSIDE
    assert answer["error"].endswith("libcudart.so.12: cannot open shared object file")


def test_another_error_of_a_file_is_the_trials_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "kernel-7.npy")
    trial = driven(tmp_path, monkeypatch, error)
    trial.train()
    assert trial.train()["outcome"] == "failed"


def test_a_file_for_which_there_is_no_memory_is_as_any_other_lack_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = driven(tmp_path, monkeypatch, OSError(errno.ENOMEM, "Cannot allocate memory"))
    trial.train()
    answer = trial.train()
    assert answer["outcome"] == "infeasible"
    assert answer["error"].startswith("out of memory: ")


@pytest.mark.parametrize("same", [True, False])
def test_other_code_than_the_drivers_ends_the_study(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = driven(tmp_path, monkeypatch, ValueError("later"))
    code = {**code_here()}
    if not same:
        code["search/worker.py"] = "0" * 8
        code["torch"] = "2.0.0"
    trial._assigned["job"]["code"] = code
    answer = trial.train()
    assert answer["outcome"] == ("running" if same else NO_ROOM)
    if not same:
        machine = f"machine {socket.gethostname()} has other code than the driver"
        assert answer["error"].startswith(f"{machine}: search/worker.py and 1 more; bring ")


def test_code_is_compared_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("search/a.py", "search/.copies/a.py", "spaces/notes.txt", "tests/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    # SHA-256 of "1\n", as `sha256sum` has it.
    assert digests(tmp_path) == {"search/a.py": "4355a46b"}
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.13.0+cu126")
    assert same_code._version("torch") == "2.13.0"
    monkeypatch.undo()
    assert same_code._version("no-such-package") == ""


@pytest.mark.parametrize(("others", "outcome"), [(True, OUTSIDE), (False, "infeasible")])
def test_a_gpu_that_others_fill_is_no_fault_of_the_trial(
    others: bool, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def taken_by_others(*given: object) -> bool:
        asked.append(given)
        return others

    monkeypatch.setattr(device, "taken_by_others", taken_by_others)
    waited: list[float] = []
    left: list[object] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        left.append(trial._results)
        left.extend(frame.f_locals for frame, _ in walk_tb(error.__traceback__.tb_next))

    monkeypatch.setattr(worker.time, "sleep", sleep)
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
    trial = driven(tmp_path, monkeypatch, error)
    trial.train()
    answer = trial.train()
    assert answer["outcome"] == outcome
    assert "Tried to allocate 2.00 MiB" in answer["error"]
    assert asked == [(error, trial._assigned[MEMORY])]
    assert waited == [20.0] * others
    # Others may wait for the memory of its network, which the frames of the error would hold.
    assert left[:1] == [None] * others
    assert not any(left[1:])


def test_the_disk_of_the_study_is_named_where_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = driven(tmp_path, monkeypatch, full(str(tmp_path / "trials" / "4" / "best.pt")))
    trial.train()
    answer = trial.train()
    assert answer["outcome"] == NO_ROOM
    assert answer["error"].startswith(f"the disk of {tmp_path / 'trials' / '4'} is full (")
