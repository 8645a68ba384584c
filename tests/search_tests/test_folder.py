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


def test_a_best_json_that_is_no_text_is_written_anew(tmp_path: Path) -> None:
    best = Record(0, "completed", {}, 7, (row(1, 0.5),))
    folder = StudyFolder(tmp_path, ())
    folder.tidy([best])
    whole = (tmp_path / "best.json").read_bytes()
    (tmp_path / "best.json").write_bytes(b"\xff\xfe\0")
    folder.tidy([best])
    assert (tmp_path / "best.json").read_bytes() == whole
