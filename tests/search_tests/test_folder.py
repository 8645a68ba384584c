import csv
import io
import json
import math
from pathlib import Path

import pytest

from search.folder import StudyFolder, as_csv, best_as_json, curve_row, is_blank, trial_row
from search.records import Record
from tests.search_tests.toy import row

NAMES = ("kind", "depth")
ROWS = (
    row(1, 0.5, peak_memory_mb=80.0, train_accuracy=0.4),
    row(2, 0.75, val_loss=0.3, train_accuracy=0.6),
)
ENDED = Record(4, "completed", {"kind": "b", "depth": 2}, 99, ROWS, 3.14159, "")
BARE = Record(5, "infeasible", {"kind": "a"}, 98, (), 0.5, 'out of "memory", twice\nover')


def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path, NAMES, {"experiment": "toy"})


def test_paths() -> None:
    paths = StudyFolder(Path("r/s"))
    assert paths.manifest == Path("r/s/study.json")
    assert paths.journal == Path("r/s/journal.log")
    assert paths.trial(7) == Path("r/s/trials/7")


def test_trial_row_by_hand() -> None:
    assert trial_row(ENDED, NAMES) == [
        *(4, "completed", 2, 2, 0.75, 0.3, 0.6, 10, 9, "3.142", 80.0, 99, ""),
        *("b", 2),
    ]


def test_trial_row_without_epochs_is_empty_where_nothing_applies() -> None:
    running = Record(5, "running", {"kind": "a"}, 98)
    assert trial_row(running, NAMES) == [
        *(5, "running", 0, "", "", "", "", "", "", "", "", 98, ""),
        *("a", ""),
    ]
    assert math.isnan(running.wall_s)


def test_trials_csv_has_the_columns_of_the_design(tmp_path: Path) -> None:
    folder(tmp_path).write_trials([ENDED, BARE])
    header, *rows = csv.reader(io.StringIO((tmp_path / "trials.csv").read_text()))
    assert " ".join(header) == (
        "trial status epochs best_epoch val_accuracy val_loss train_accuracy parameters "
        "trainable_parameters wall_s peak_memory_mb seed error config.kind config.depth"
    )
    assert [line[0] for line in rows] == ["4", "5"]
    assert rows[1][header.index("error")] == BARE.error


def test_curves_are_replaced_and_added_to(tmp_path: Path) -> None:
    folder(tmp_path).write_curves([ENDED, BARE])
    folder(tmp_path).append_curve(6, row(1, 0.25))
    assert (tmp_path / "curves.csv").read_text() == (
        "trial,epoch,stage,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,epoch_s\n"
        "4,1,train,0.5,0.4,0.5,0.5,0.01,1.0\n"
        "4,2,train,0.5,0.6,0.3,0.75,0.01,1.0\n"
        "6,1,train,0.5,0.75,0.75,0.25,0.01,1.0\n"
    )
    assert curve_row(6, row(1, 0.25))[0] == 6


def test_csv_lines_end_in_a_newline_alone() -> None:
    assert as_csv([["a", 'b"c'], [1, "d,e"], ["", "f\ng"]]) == 'a,"b""c"\n1,"d,e"\n,"f\ng"\n'


def test_best_as_json_by_hand() -> None:
    assert best_as_json(ENDED, {"experiment": "toy"}) == {
        "experiment": "toy",
        "trial": 4,
        "status": "completed",
        "config": {"kind": "b", "depth": 2},
        "seed": 99,
        "epoch": 2,
        "val_accuracy": 0.75,
        "val_loss": 0.3,
        "train_accuracy": 0.6,
        "parameters": 10,
    }


def test_tidy_keeps_the_best_and_the_folders_of_running_trials(tmp_path: Path) -> None:
    study = folder(tmp_path)
    for number in (4, 5, 6):
        study.trial(number).mkdir(parents=True)
        (study.trial(number) / "best.pt").write_text(str(number))
        (study.trial(number) / "checkpoint.pt").write_text("x")
    running = Record(6, "running", {"kind": "a"}, 97, (row(1, 0.9),))
    study.tidy([ENDED, BARE, running])
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["6"]
    assert (tmp_path / "best.pt").read_text() == "4"
    assert json.loads((tmp_path / "best.json").read_text())["trial"] == 4
    before = {name: (tmp_path / name).stat().st_ino for name in ("best.pt", "best.json")}
    study.tidy([ENDED, BARE, running])
    assert {name: (tmp_path / name).stat().st_ino for name in before} == before


@pytest.mark.parametrize("reached", range(4))
def test_tidy_goes_on_from_any_step(
    reached: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = folder(tmp_path)
    study.trial(4).mkdir(parents=True)
    (study.trial(4) / "best.pt").write_text("4")
    steps = 0

    def killed(*_: object, **__: object) -> None:
        nonlocal steps
        steps += 1
        if steps > reached:
            raise InterruptedError

    with monkeypatch.context() as patch:
        real_replace, real_move, real_remove = (
            StudyFolder.write_trials,
            StudyFolder._keep_best,
            __import__("shutil").rmtree,
        )
        patch.setattr(StudyFolder, "write_trials", lambda *a: (killed(), real_replace(*a)))
        patch.setattr(StudyFolder, "_keep_best", lambda *a: (killed(), real_move(*a)))
        patch.setattr("shutil.rmtree", lambda *a, **k: (killed(), real_remove(*a, **k)))
        if reached < 3:
            with pytest.raises(InterruptedError):
                study.tidy([ENDED])
        else:
            study.tidy([ENDED])
    study.tidy([ENDED])
    assert (tmp_path / "best.pt").read_text() == "4"
    assert json.loads((tmp_path / "best.json").read_text())["trial"] == 4
    assert list((tmp_path / "trials").iterdir()) == []
    assert (tmp_path / "trials.csv").read_text().count("\n") == 2


def test_without_a_trial_that_counts_there_is_no_best(tmp_path: Path) -> None:
    folder(tmp_path).tidy([BARE])
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


@pytest.mark.parametrize(
    ("files", "blank"),
    [
        ({}, True),
        ({"journal.log": ""}, True),
        ({".study.json.part-123": "{"}, True),
        ({".study.json.part-123": "{", ".study.json.part-4": "", "journal.log": ""}, True),
        ({".best.json.part-123": "{"}, False),
        ({"journal.log": "x"}, False),
        ({"study.json": ""}, False),
        ({"photo.jpg": ""}, False),
    ],
)
def test_is_blank(files: dict[str, str], blank: bool, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert is_blank(tmp_path) is blank


def best_of_trial(number: int, accuracy: float) -> Record:
    return Record(number, "completed", {"kind": "b", "depth": 2}, 7, (row(1, accuracy),))


@pytest.mark.parametrize("keeps", [False, True])
def test_weights_of_an_earlier_best_do_not_stay_where_the_new_ones_are_elsewhere(
    keeps: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = StudyFolder(tmp_path, NAMES, keeps=keeps)
    first, second, third = (best_of_trial(n, accuracy) for n, accuracy in enumerate((0.5, 0.9, 1)))
    study.trial(0).mkdir(parents=True)
    (study.trial(0) / "best.pt").write_text("0")
    study.conclude(first, first)
    study.tidy([first])  # as when it is resumed: they were moved, and stay
    assert (tmp_path / "best.pt").read_text() == "0"
    assert capsys.readouterr().err == ""
    study.conclude(second, second)  # trained on a machine with a disk of its own
    assert not (tmp_path / "best.pt").exists()
    assert json.loads((tmp_path / "best.json").read_text())["trial"] == 1
    assert capsys.readouterr().err == (
        "note: trial 1 is the best now, but its weights lie on a machine that does not share "
        f"{tmp_path}: there is no best.pt; --results-dir takes a folder that all nodes share, or "
        "a store\n"
    )
    study.tidy([first, second])
    assert capsys.readouterr().err == ""  # once
    study.trial(2).mkdir(parents=True)
    (study.trial(2) / "best.pt").write_text("2")
    study.conclude(third, third)
    assert (tmp_path / "best.pt").read_text() == "2"


def test_a_kill_before_best_json_leaves_no_weights_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, first, second = folder(tmp_path), best_of_trial(0, 0.5), best_of_trial(1, 0.9)
    study.trial(0).mkdir(parents=True)
    (study.trial(0) / "best.pt").write_text("0")
    study.conclude(first, first)

    def killed(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr("search.folder.replace_text", killed)
        with pytest.raises(InterruptedError):
            study.conclude(second, second)
    assert not (tmp_path / "best.pt").exists()
    study.tidy([first, second])
    assert not (tmp_path / "best.pt").exists()
    assert json.loads((tmp_path / "best.json").read_text())["trial"] == 1
    assert "trial 1 is the best now, but its weights lie on" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", [None, b"\xff\xfe", b'{"trial": 4, "of": "a newer version"}'])
def test_weights_of_the_best_stay_whatever_became_of_best_json(
    damaged: bytes | None, tmp_path: Path
) -> None:
    study = folder(tmp_path)
    study.trial(4).mkdir(parents=True)
    (study.trial(4) / "best.pt").write_text("4")
    study.tidy([ENDED])
    (tmp_path / "best.json").unlink()
    if damaged is not None:
        (tmp_path / "best.json").write_bytes(damaged)
    study.tidy([ENDED])
    assert (tmp_path / "best.pt").read_text() == "4"
    assert json.loads((tmp_path / "best.json").read_text())["epoch"] == 2


def test_a_best_json_that_is_no_text_is_written_anew(tmp_path: Path) -> None:
    best = Record(0, "completed", {}, 7, (row(1, 0.5),))
    folder = StudyFolder(tmp_path, ())
    folder.tidy([best])
    whole = (tmp_path / "best.json").read_bytes()
    (tmp_path / "best.json").write_bytes(b"\xff\xfe\0")
    folder.tidy([best])
    assert (tmp_path / "best.json").read_bytes() == whole
