"""Readers of a study folder, on files written by hand."""

import json
import math
from pathlib import Path

import pytest

from analysis.frames import (
    config_names,
    read_curves,
    read_manifest,
    read_trials,
)
from search.errors import StudyFailed
from trainables.errors import TrellisError

TRIALS = """\
trial,status,epochs,best_epoch,val_accuracy,val_loss,train_accuracy,parameters,\
trainable_parameters,wall_s,peak_memory_mb,seed,error,config.filters,config.regularizer,\
config.strength
1,running,0,,,,,,,,,7,,3/8/60,none,
0,completed,8,6,0.75,0.5,0.9,26985195,26985195,12.5,300.5,5,,6/16/120,l1,0.01
2,failed,1,1,nan,,0.4,10,10,1.5,100,9,"ValueError: ""a"", b
second line",12/32/240,None,0.1
"""
CURVES = """\
trial,epoch,stage,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,epoch_s
1,1,head,1.1,0.3,1.0,0.4,0.001,2.5
0,1,head,1.2,0.2,1.1,0.3,0.001,2.5
1,2,finetune,0.9,0.5,0.8,0.6,0.0001,2.25
"""


CHOSEN = ("08,8,1e-05,True,,08", "8,16,0.1,False,0.001,9")


def folder(tmp_path: Path, trials: str = TRIALS, curves: str = CURVES) -> Path:
    (tmp_path / "trials.csv").write_bytes(trials.encode())
    (tmp_path / "curves.csv").write_bytes(curves.encode())
    return tmp_path


def test_trials_by_number_with_counts_whole_and_gaps_missing(tmp_path: Path) -> None:
    frame = read_trials(folder(tmp_path))
    assert frame["trial"].tolist() == [0, 1, 2]
    assert frame["status"].tolist() == ["completed", "running", "failed"]
    assert frame.loc[0, "parameters"] == 26985195
    assert str(frame["parameters"].dtype) == "Int64"
    assert frame["best_epoch"].isna().tolist() == [False, True, False]
    assert frame["val_accuracy"].tolist()[0] == 0.75
    assert math.isnan(frame["val_accuracy"].tolist()[2])
    assert frame["error"].tolist()[2] == 'ValueError: "a", b\nsecond line'


def test_config_columns_keep_words_that_look_like_nothing(tmp_path: Path) -> None:
    frame = read_trials(folder(tmp_path))
    assert config_names(frame) == ["filters", "regularizer", "strength"]
    assert frame["config.filters"].tolist() == ["6/16/120", "3/8/60", "12/32/240"]
    assert frame["config.regularizer"].tolist() == ["l1", "none", "None"]
    assert frame["config.strength"].isna().tolist() == [False, True, False]


def test_choices_that_are_words_stay_what_they_are(tmp_path: Path) -> None:
    """08 and 8 are two words; what study.json does not have is read as before."""
    names = ("code", "size", "rate", "flag", "maybe", "new")
    space = {"code": "08, 8", "size": "8, 16", "rate": "1e-05 to 0.1 (log scale)",
             "flag": "True, False", "maybe": "None, 0.001"}  # fmt: skip
    head = TRIALS.splitlines()[0].split("config.")[0] + ",".join(f"config.{n}" for n in names)
    rows = [f"{n},running,0,,,,,,,,,7,,{given}" for n, given in enumerate(CHOSEN)]
    root = folder(tmp_path, "\n".join([head, *rows]) + "\n")
    (root / "study.json").write_text(json.dumps({"space": space}))
    frame = read_trials(root)
    assert frame["config.code"].tolist() == ["08", "8"]
    assert frame["config.size"].tolist() == [8, 16]
    assert frame["config.rate"].tolist() == [1e-05, 0.1]
    assert frame["config.flag"].tolist() == [True, False]
    assert frame["config.maybe"].tolist()[1] == 0.001
    assert frame["config.new"].tolist() == [8, 9]
    (root / "study.json").write_text("{")  # the table can be read without it
    assert read_trials(root)["config.code"].tolist() == [8, 8]


def test_curves_by_trial_and_epoch(tmp_path: Path) -> None:
    frame = read_curves(folder(tmp_path))
    assert frame[["trial", "epoch"]].to_numpy().tolist() == [[0, 1], [1, 1], [1, 2]]
    assert frame["stage"].tolist() == ["head", "head", "finetune"]
    assert frame["val_accuracy"].tolist() == [0.3, 0.4, 0.6]


def test_an_epoch_written_again_counts_as_written_last(tmp_path: Path) -> None:
    again = "1,2,finetune,0.9,0.5,0.8,0.7,0.0001,2.25\n"
    frame = read_curves(folder(tmp_path, curves=CURVES + again))
    assert frame["val_accuracy"].tolist() == [0.3, 0.4, 0.7]


def test_every_torn_last_line_is_left_out(tmp_path: Path) -> None:
    whole = CURVES.rindex("1,2,")
    for end in range(whole, len(CURVES)):
        assert len(read_curves(folder(tmp_path, curves=CURVES[:end]))) == 2, CURVES[whole:end]
    assert len(CURVES) - whole > 30


def test_a_torn_quoted_error_is_left_out(tmp_path: Path) -> None:
    whole = TRIALS.rindex("2,failed")
    for end in range(whole, len(TRIALS)):
        assert len(read_trials(folder(tmp_path, TRIALS[:end]))) == 2, TRIALS[whole:end]
    assert len(read_trials(folder(tmp_path, TRIALS))) == 3


def test_a_header_alone_is_an_empty_frame(tmp_path: Path) -> None:
    frame = read_trials(folder(tmp_path, TRIALS[: TRIALS.index("\n") + 1]))
    assert len(frame) == 0
    assert config_names(frame) == ["filters", "regularizer", "strength"]


def test_windows_line_ends(tmp_path: Path) -> None:
    assert len(read_curves(folder(tmp_path, curves=CURVES.replace("\n", "\r\n")))) == 3


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0,2,head,1,1,1,1,1,1,1\n", "Expected 9 fields in line 5, saw 10"),
        ("0,two,head,1,1,1,1,1,1\n", "two"),
        (",2,head,1,1,1,1,1,1\n", "Integer column has NA values"),
    ],
)
def test_a_damaged_line_is_an_error(tmp_path: Path, line: str, what: str) -> None:
    with pytest.raises(TrellisError, match=f"^.*curves.csv is damaged: .*{what}"):
        read_curves(folder(tmp_path, curves=CURVES + line + "0,3,head,1,1,1,1,1,1\n"))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrellisError, match=r"trials\.csv lacks the column\(s\) seed, error$"):
        read_trials(folder(tmp_path, TRIALS.replace(",seed,error,", ",", 1)))
    with pytest.raises(TrellisError, match=r"curves\.csv lacks the column\(s\) trial, epoch, .*"):
        read_curves(folder(tmp_path, curves=""))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(StudyFailed, match=r"trials\.csv is missing: no trial has been written"):
        read_trials(tmp_path)
    with pytest.raises(StudyFailed, match=r"curves\.csv is missing"):
        read_curves(tmp_path)
    with pytest.raises(TrellisError, match=r"is not a study: it has no study\.json$"):
        read_manifest(tmp_path)


def test_manifest(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"experiment": "lenet_beans", "seed": 0}))
    assert read_manifest(tmp_path) == {"experiment": "lenet_beans", "seed": 0}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": ', "Expecting value"),
        ("[1]", r"an object was expected, not \[1\]"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_damaged_manifest(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(TrellisError, match=rf"study\.json is damaged: {what}"):
        read_manifest(tmp_path)
