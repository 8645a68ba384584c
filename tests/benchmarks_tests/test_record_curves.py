"""Recording learning curves: the log survives kills, the Parquet file holds what was trained."""

import json
import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import record_curves
from benchmarks.curve_files import (
    EPOCH_FIELDS,
    Run,
    RunLog,
    read_curves,
    recorded,
    write_curves,
)
from benchmarks.record_curves import configurations, main, parser, record
from search.catalog import find
from search.errors import UsageError
from spaces.lenet_beans import DEFAULTS
from trainables import lenet_beans
from trainables.budget import Budget, Diverged, EpochResult
from trainables.cpu import resolve_precision
from trainables.seeds import derive

from ..trainables_tests.tiny_data import tiny_data

ABOUT = {"experiment": "lenet_beans", "epochs": 2}
ROW = (1.5, 0.25, 1.25, 0.5, 2.0, 1.0)  # exact as float32
RUNS = [
    Run(0, 0, {"rate": 0.5, "kind": "a"}, 10, (ROW, ROW)),
    Run(0, 1, {"rate": 0.5, "kind": "a"}, 10, ((math.nan,) * 4 + (2.0, 1.0),), "bfloat16"),
    Run(1, 0, {"rate": 0.25, "kind": "b", "drop": 0.125}, 12, (ROW,)),
]
DATA = tiny_data((32, 32, 3))
TINY = ["--data", "embedded", "--epochs", "2", "--configurations", "2", "--image-size", "64"]


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setattr(record_curves, "_data", lambda spec, size: DATA)


def result(epoch: int) -> EpochResult:
    return EpochResult(epoch, "train", 1.0, 0.5, 0.75, 0.25 * epoch, 1e-3, 0.1, 100.0, 10, 10)


def test_a_log_opened_again_has_its_runs(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs.jsonl", ABOUT)
    for run in RUNS[::2]:
        log.add(run)
    log.close()
    again = RunLog(tmp_path / "runs.jsonl", ABOUT)
    assert list(again.runs.values()) == RUNS[::2]


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_torn_line_is_cut_off_and_recorded_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "runs.jsonl"
    log = RunLog(path, ABOUT)
    for run in RUNS[::2]:
        log.add(run)
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = RunLog(path, ABOUT)
    assert list(again.runs.values()) == RUNS[:1]
    again.add(RUNS[2])
    again.close()
    assert path.read_bytes() == whole


def test_a_log_of_another_recording_is_refused(tmp_path: Path) -> None:
    RunLog(tmp_path / "runs.jsonl", ABOUT).close()
    with pytest.raises(UsageError, match="another recording: epochs was 2, now 3; take another"):
        RunLog(tmp_path / "runs.jsonl", {**ABOUT, "epochs": 3})


def test_two_writers_of_one_log_are_refused(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs.jsonl", ABOUT)
    with pytest.raises(UsageError, match="being written by another process"):
        RunLog(tmp_path / "runs.jsonl", ABOUT)
    log.close()


def test_a_parquet_file_gives_back_runs_and_what_was_recorded(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves.parquet", reversed(RUNS), ABOUT)
    runs, about = read_curves(tmp_path / "curves.parquet")
    assert about == ABOUT
    assert str(runs) == str(RUNS)  # as text: NaN is not equal to itself


def test_configurations_begin_with_the_published_one_and_more_only_add() -> None:
    few, many = (configurations(find("lenet_beans"), {"image_size": 64}, n) for n in (5, 40))
    assert many[:5] == few
    assert few[0] == {n: v for n, v in (DEFAULTS | {"image_size": 64}).items() if n != "strength"}
    assert len({json.dumps(config, sort_keys=True) for config in many}) == 40
    assert {config["image_size"] for config in many} == {64}
    assert len({config["filters"] for config in many}) == 3


def test_a_recording_is_of_the_cpu_whatever_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def epochs(config: Any, data: Any, budget: Budget) -> Iterator[Any]:
        asked.append(budget)
        return iter(())

    monkeypatch.setattr(record_curves, "_data", lambda *_: None)
    monkeypatch.setattr(lenet_beans, "epochs", epochs)
    options = parser().parse_args([])
    record_curves.train(options, DATA.spec, (0, 0, {}))
    assert [budget.device for budget in asked] == ["cpu"]


def test_a_run_is_recorded_epoch_by_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = SimpleNamespace(perf_counter=count().__next__, process_time=count().__next__)
    monkeypatch.setattr(record_curves, "time", clocks)
    rows, parameters = record(iter([result(1), result(2)]))
    assert parameters == 10
    assert [row[:4] for row in rows] == [(1.0, 0.5, 0.75, 0.25), (1.0, 0.5, 0.75, 0.5)]
    assert all(0 <= row[4] < 5 and 0 <= row[5] < 5 for row in rows)


def test_a_run_that_diverges_ends_with_an_epoch_of_nan() -> None:
    def diverging() -> Iterator[EpochResult]:
        yield result(1)
        raise Diverged("loss is nan")

    rows, parameters = record(diverging())
    assert (len(rows), parameters) == (2, 10)
    assert all(math.isnan(value) for value in rows[1][:4])
    assert all(math.isfinite(value) for value in rows[1][4:])


def test_the_command_records_what_the_trainable_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--log", str(tmp_path / "runs.jsonl"), "--to", str(tmp_path / "curves.parquet")]
    assert main([*TINY, "--repeats", "1", *files]) == 0
    runs, about = read_curves(tmp_path / "curves.parquet")
    assert (about["epochs"], about["image_size"], about["data"]) == (2, 64, "folder")
    assert [(run.configuration, run.repeat, len(run.rows)) for run in runs] == [
        (0, 0, 2),
        (1, 0, 2),
    ]
    assert {run.precision for run in runs} == {resolve_precision("auto", on_this_cpu=True)}
    budget = Budget(2, seed=derive(0, "curve", 1, 0), threads=1, device="cpu")
    for row, wanted in zip(
        runs[1].rows, lenet_beans.epochs(runs[1].config, DATA, budget), strict=True
    ):
        assert row[:4] == pytest.approx([getattr(wanted, n) for n in EPOCH_FIELDS[:4]], rel=1e-6)
    said = capsys.readouterr().err
    assert "1 of 2: configuration 0, repeat 0, best 0." in said
    assert "2 runs in" in said


def test_a_recording_that_was_ended_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[Any] = []

    def counted(epochs: Iterator[Any]) -> tuple[tuple[tuple[float, ...], ...], int]:
        if len(trained) == 3:
            trained.append("ended")
            raise KeyboardInterrupt
        trained.append("run")
        return (ROW,), 10

    monkeypatch.setattr(record_curves, "record", counted)
    files = ["--log", str(tmp_path / "runs.jsonl"), "--to", str(tmp_path / "curves.parquet")]
    assert main([*TINY, "--repeats", "2", *files]) == 130
    assert not (tmp_path / "curves.parquet").exists()
    assert "the same command goes on" in capsys.readouterr().err
    assert main([*TINY, "--repeats", "2", *files]) == 0
    assert trained == ["run", "run", "run", "ended", "run"]
    runs, _ = read_curves(tmp_path / "curves.parquet")
    assert [(run.configuration, run.repeat) for run in runs] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_more_repeats_are_added_to_a_file_whose_log_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[int] = []
    monkeypatch.setattr(
        record_curves, "record", lambda _: (((*ROW[:-1], 0.5 * len(trained)),), 10)
    )
    of = record_curves.train
    monkeypatch.setattr(
        record_curves, "train", lambda *given: trained.append(given[2][1]) or of(*given)
    )
    file = tmp_path / "curves.parquet"
    for repeats in (1, 3):
        files = ["--log", str(tmp_path / f"{repeats}.jsonl"), "--to", str(file)]
        assert main([*TINY, "--repeats", str(repeats), *files]) == 0
    assert trained == [0, 0, 1, 1, 2, 2]
    assert "6 of 6: configuration 1, repeat 2" in capsys.readouterr().err
    runs, _ = read_curves(file)
    found = [(run.configuration, run.repeat, run.rows[0][-1]) for run in runs]
    assert found == [(0, 0, 0.5), (0, 1, 1.5), (0, 2, 2.5), (1, 0, 1.0), (1, 1, 2.0), (1, 2, 3.0)]


def test_a_file_of_another_recording_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_curves(tmp_path / "made", RUNS, ABOUT)
    before = (tmp_path / "made").read_bytes()
    files = ["--log", str(tmp_path / "runs.jsonl"), "--to", str(tmp_path / "made")]
    assert main([*TINY, *files]) == 2
    assert "made is of another recording: " in capsys.readouterr().err
    assert (tmp_path / "made").read_bytes() == before


def test_another_build_of_the_same_torch_is_the_same_recording(tmp_path: Path) -> None:
    write_curves(tmp_path / "made", RUNS, ABOUT | {"torch": "2.13.0+cpu"})
    found = recorded(tmp_path / "made", ABOUT | {"torch": "2.13.0+cu130"})
    assert sorted(found) == [(0, 0), (0, 1), (1, 0)]
    with pytest.raises(UsageError, match=r"torch was 2\.13\.0\+cpu, now 2\.12\.0"):
        recorded(tmp_path / "made", ABOUT | {"torch": "2.12.0"})


def test_another_number_of_epochs_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record_curves, "record", lambda epochs: ((ROW,), 10))
    files = ["--log", str(tmp_path / "runs.jsonl"), "--to", str(tmp_path / "curves.parquet")]
    assert main([*TINY, "--repeats", "1", *files]) == 0
    assert main([*TINY, "--repeats", "1", "--epochs", "3", *files]) == 2
    assert "epochs was 2, now 3" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_processes_record_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # the embedded leaves: other processes have nothing of this one
    found = []
    for processes in (1, 2):
        table = tmp_path / f"{processes}.parquet"
        files = ["--log", str(tmp_path / f"{processes}.jsonl"), "--to", str(table)]
        assert main([*TINY, "--repeats", "2", "--processes", str(processes), *files]) == 0
        runs, _ = read_curves(table)
        rows = [[row[:4] for row in run.rows] for run in runs]
        found.append(
            [(r.configuration, r.repeat, kept) for r, kept in zip(runs, rows, strict=True)]
        )
        assert "4 of 4: configuration" in capsys.readouterr().err
    assert found[0] == found[1]
    assert [(number, repeat) for number, repeat, _ in found[0]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
