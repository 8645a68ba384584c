"""The tables of a study written by hand, whose answers are worked out by hand."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.frames import read_trials
from analysis.layout import Column, blocks, plain, show, show_on_terminal
from analysis.summary import natural
from analysis.table import best, main, marginal, render_best
from search.catalog import find
from search.errors import StudyFailed
from trainables.errors import TrellisError

HEADER = (
    "trial,status,epochs,best_epoch,val_accuracy,val_loss,train_accuracy,parameters,"
    "trainable_parameters,wall_s,peak_memory_mb,seed,error,config.kernel_size,config.strength,"
    "config.filters,config.batch_size,config.learning_rate\n"
)
ROWS = (
    "0,completed,8,6,0.70,0.9,0.9,26985195,26985195,20.04,300,1,,5,,6/16/120,64,0.001\n"
    "1,stopped,2,2,0.50,1.1,0.6,26985195,26985195,5,300,2,,3,0.01,3/8/60,64,0.0005\n"
    "2,completed,8,8,0.80,0.6,0.9,1000,1000,18,300,3,,3,,12/32/240,64,0.00025\n"
    # Diverged late: better than all, but not comparable.
    "3,infeasible,4,3,0.95,0.2,0.9,1000,1000,9,300,4,diverged,3,0.1,6/16/120,64,0.004\n"
    "4,failed,0,,,,,,,1,,5,ValueError: x,5,,6/16/120,64,0.002\n"
    "5,running,1,1,0.99,0.1,0.9,1000,1000,,300,6,,7,,6/16/120,64,0.003\n"
    # Equal to trial 0; its lower loss does not count.
    "6,stopped,6,6,0.70,0.8,0.9,1000,1000,15,300,7,,5,0.001,6/16/120,64,0.0001\n"
)


def study(
    tmp_path: Path, rows: str | None = ROWS, kind: str = "tfds", header: str = HEADER
) -> Path:
    folder = tmp_path / "results" / "s1"
    folder.mkdir(parents=True)
    manifest = {"experiment": "lenet_beans", "data": {"kind": kind, "dataset": "beans"}}
    (folder / "study.json").write_text(json.dumps(manifest))
    if rows is not None:
        (folder / "trials.csv").write_text(header + rows)
    return folder


def command(tmp_path: Path, *arguments: str) -> int:
    return main([*arguments, "--results-dir", str(tmp_path / "results")])


# --- data


def test_best_ranks_what_finished_by_accuracy_then_number(tmp_path: Path) -> None:
    frame = best(read_trials(study(tmp_path)), 10)
    assert frame[["rank", "trial", "val_accuracy"]].to_numpy().tolist() == [
        [1, 2, 0.8],
        [2, 0, 0.7],
        [3, 6, 0.7],
        [4, 1, 0.5],
    ]


def test_best_gives_no_more_than_asked(tmp_path: Path) -> None:
    assert best(read_trials(study(tmp_path)), 2)["trial"].tolist() == [2, 0]


def rows(frame: pd.DataFrame) -> list[list[object]]:
    return [
        [None if isinstance(v, float) and math.isnan(v) else v for v in row]
        for row in frame.to_numpy(dtype=object).tolist()
    ]


def test_marginal_by_hand(tmp_path: Path) -> None:
    frame = marginal(read_trials(study(tmp_path)), "kernel_size")
    assert frame.columns.tolist() == ["kernel_size", "n", "left_out", "mean", "std", "best"]
    # 3: trials 1 and 2, infeasible 3; mean 0.65, deviations 0.15: std sqrt(2 x 0.0225 / 1).
    assert rows(frame) == [
        ["3", 2, 1, pytest.approx(0.65), pytest.approx(0.2121320), 0.8],
        ["5", 2, 1, pytest.approx(0.7), pytest.approx(0), 0.7],
        ["7", 0, 1, None, None, None],
    ]


def test_marginal_of_text_in_order_of_its_numbers_and_by_the_long_name(tmp_path: Path) -> None:
    frame = marginal(read_trials(study(tmp_path)), "config.filters")
    assert rows(frame) == [
        ["3/8/60", 1, 0, 0.5, None, 0.5],
        ["6/16/120", 2, 3, pytest.approx(0.7), pytest.approx(0), 0.7],
        ["12/32/240", 1, 0, 0.8, None, 0.8],
    ]


def test_marginal_counts_trials_without_the_hyperparameter(tmp_path: Path) -> None:
    frame = marginal(read_trials(study(tmp_path)), "strength")
    assert frame["strength"].tolist() == ["0.001", "0.01", "0.1", "-"]
    assert frame["n"].tolist() == [1, 1, 0, 2]
    assert frame["left_out"].tolist() == [0, 0, 1, 2]
    assert frame["mean"].tolist()[3] == pytest.approx(0.75)


def test_marginal_of_many_numbers_in_four_quantiles(tmp_path: Path) -> None:
    # Seven rates, ascending: trials 6, 2, 1, 0, 4, 5, 3. Quartiles at places 1.5, 3 and 4.5.
    frame = marginal(read_trials(study(tmp_path)), "learning_rate")
    assert frame["learning_rate"].tolist() == [
        "0.0001 to 0.00025",
        "0.0005 to 0.001",
        "0.002",
        "0.003 to 0.004",
    ]
    assert frame["n"].tolist() == [2, 2, 0, 0]
    assert frame["left_out"].tolist() == [0, 0, 1, 2]
    assert frame["mean"].tolist()[:2] == pytest.approx([0.75, 0.6])


def test_a_number_that_a_quarter_of_the_trials_have_stands_by_itself(tmp_path: Path) -> None:
    # As the sampler `prior` draws: 12 of 24 have the published rate, 2 lie below, 10 above.
    rates = [0.0001, 0.0002, *[0.001] * 12, *(0.001 * step for step in range(2, 12))]
    trials = pd.DataFrame(
        {
            "trial": range(24),
            "status": "completed",
            "val_accuracy": [0.5] * 14 + [0.75] * 10,
            "config.learning_rate": rates,
        }
    )
    frame = marginal(trials, "learning_rate")
    # Two of 24 are less than half a quarter, still a group; ten are 1.7 quarters: two groups.
    assert frame["learning_rate"].tolist() == [
        "0.0001 to 0.0002",
        "0.001",
        "0.002 to 0.006",
        "0.007 to 0.011",
    ]
    assert frame["n"].tolist() == [2, 12, 5, 5]
    assert frame["mean"].tolist() == [0.5, 0.5, 0.75, 0.75]


def test_superscript_digits_are_no_numbers() -> None:
    assert sorted(["10²", "9²", "10"], key=natural) == ["9²", "10", "10²"]


def test_marginal_keeps_choices_apart_that_four_digits_do_not() -> None:
    decays = [0.999, 0.9999, 0.99995, 0.99999, 0.99999]
    trials = pd.DataFrame(
        {"trial": range(5), "status": "completed", "val_accuracy": 0.5, "config.decay": decays}
    )
    frame = marginal(trials, "decay")
    assert frame["decay"].tolist() == ["0.999", "0.9999", "0.99995", "0.99999"]
    assert frame["n"].tolist() == [1, 1, 1, 2]


def test_what_no_15_digits_keep_apart_is_named_as_python_writes_it() -> None:
    decays = [0.1, 0.3, 0.30000000000000004]
    trials = pd.DataFrame(
        {"trial": range(3), "status": "completed", "val_accuracy": 0.5, "config.decay": decays}
    )
    assert marginal(trials, "decay")["decay"].tolist() == ["0.1", "0.3", "0.30000000000000004"]


def test_ends_of_quantiles_have_the_digits_that_they_differ_in() -> None:
    trials = pd.DataFrame(
        {
            "trial": range(8),
            "status": "completed",
            "val_accuracy": 0.5,
            "config.decay": [0.99991 + 0.00001 * step for step in range(8)],
        }
    )
    frame = marginal(trials, "decay")
    assert frame["decay"].tolist() == [
        "0.99991 to 0.99992",
        "0.99993 to 0.99994",
        "0.99995 to 0.99996",
        "0.99997 to 0.99998",
    ]
    assert frame["n"].tolist() == [2, 2, 2, 2]


def test_marginal_of_an_unknown_name(tmp_path: Path) -> None:
    trials = read_trials(study(tmp_path))
    message = (
        "^no hyperparameter is called 'colour': this study has kernel_size, strength, filters, "
        "batch_size, learning_rate$"
    )
    with pytest.raises(TrellisError, match=message):
        marginal(trials, "colour")


# --- text

EXPECTED = """\
study s1 of lenet_beans

rank  trial  status     val_accuracy  val_loss  epochs  best_epoch  parameters  wall_s
   1      2  completed        0.8000    0.6000       8           8       1,000    18.0
   2      0  completed        0.7000    0.9000       8           6  26,985,195    20.0

rank  trial  kernel_size  strength  filters    learning_rate
   1      2            3         -  12/32/240        0.00025
   2      0            5         -  6/16/120           0.001

the same in all trials: batch_size 64
7 trials: 2 completed, 2 stopped, 1 infeasible, 1 failed, 1 running
"""


def test_render_best(tmp_path: Path) -> None:
    assert render_best(study(tmp_path), 2) == EXPECTED


def test_command_prints_the_same_for_a_name_and_a_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(tmp_path)
    assert command(tmp_path, "s1", "--top", "2") == 0
    assert capsys.readouterr() == (EXPECTED, "")
    assert main([str(folder), "--top", "2"]) == 0
    assert capsys.readouterr() == (EXPECTED, "")


def test_few_hyperparameters_are_all_shown_in_one_table(tmp_path: Path) -> None:
    header = HEADER.replace(",config.filters,config.batch_size,config.learning_rate", "")
    row = "0,completed,8,6,0.70,0.9,0.9,1,1,20,300,1,,5,0.1\n"
    text = render_best(study(tmp_path, row, header=header), 10)
    assert "wall_s  kernel_size  strength\n" in text
    assert "the same" not in text


def test_no_line_is_wider_than_110(tmp_path: Path) -> None:
    names = [f"a_rather_long_hyperparameter_{i}" for i in range(9)]
    header = HEADER.rstrip("\n") + "".join(f",config.{name}" for name in names) + "\n"
    lines = ROWS.splitlines()
    wide = "".join(f"{line}{f',{i}' * 9}\n" for i, line in enumerate(lines))
    text = render_best(study(tmp_path, wide, header=header), 10)
    assert all(name in text for name in names)
    assert max(len(line) for line in text.splitlines()) <= 110
    assert text.count("rank  trial") == 5  # results; 4 + 1, 3, 3 and 2 hyperparameters


def test_embedded_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path, kind="embedded")
    first = "study s1 of lenet_beans: embedded data, not the real beans\n"
    assert render_best(folder, 3).startswith(first)
    assert main([str(folder), "--by", "filters"]) == 0
    assert capsys.readouterr().out.startswith(first)


def test_by_of_a_sweep_leaves_out_the_trials_of_its_other_hyperparameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(5, "6/16/120", 0.80), (3, "6/16/120", 0.79), (7, "6/16/120", 0.78)]
    rows += [(5, "3/8/60", 0.40)]  # the published kernel, too: but of the other sweep
    text = "".join(
        f"{n},completed,8,6,{accuracy},0.9,0.9,9,9,20,300,1,,{kernel},,{filters},64,0.001\n"
        for n, (kernel, filters, accuracy) in enumerate(rows)
    )
    folder = study(tmp_path, text)
    manifest = json.loads((folder / "study.json").read_text())
    manifest["defaults"] = find("lenet_beans").defaults()
    manifest["budget"] = {"sweep": ["kernel_size", "filters"], "fixed": {}}
    (folder / "study.json").write_text(json.dumps(manifest))
    assert command(tmp_path, "s1", "--by", "kernel_size", "--csv") == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["kernel_size"].tolist() == [3, 5, 7]
    assert table["n"].tolist() == [1, 1, 1]
    assert table["mean"].tolist() == [0.79, 0.80, 0.78]
    assert command(tmp_path, "s1", "--by", "kernel_size") == 0
    out = capsys.readouterr().out
    assert "\nof 4 trials, those of the sweep of kernel_size alone\n" in out
    assert "\n3 trials: 3 completed\n" in out
    assert command(tmp_path, "s1", "--by", "filters", "--csv") == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert dict(zip(table["filters"], table["n"], strict=True)) == {"3/8/60": 1, "6/16/120": 1}


def test_by_prints_the_marginal_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path)
    assert command(tmp_path, "s1", "--by", "kernel_size") == 0
    assert capsys.readouterr().out == (
        "study s1 of lenet_beans\n"
        "\n"
        "kernel_size  n  left_out    mean     std    best\n"
        "3            2         1  0.6500  0.2121  0.8000\n"
        "5            2         1  0.7000  0.0000  0.7000\n"
        "7            0         1       -       -       -\n"
        "\n"
        "val_accuracy of n completed and stopped trials; left_out: infeasible, failed, running\n"
        "7 trials: 2 completed, 2 stopped, 1 infeasible, 1 failed, 1 running\n"
    )


@pytest.mark.parametrize("name", ["n", "best"])
def test_a_hyperparameter_may_be_called_as_a_column(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path, header=HEADER.replace("config.kernel_size", f"config.{name}"))
    assert command(tmp_path, "s1", "--by", name) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name, "n", "left_out", "mean", "std", "best"] in lines
    assert ["3", "2", "1", "0.6500", "0.2121", "0.8000"] in lines


def test_csv_is_whole_and_names_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(tmp_path, kind="embedded")
    assert command(tmp_path, "s1", "--csv", "--top", "1") == 0
    out, err = capsys.readouterr()
    assert err == "embedded data, not the real beans\n"
    frame = pd.read_csv(io.StringIO(out))
    assert frame.columns.tolist() == ["rank", *HEADER.strip().split(","), "data"]
    columns = ("trial", "wall_s", "config.learning_rate", "data")
    assert [frame[name].tolist() for name in columns] == [[2], [18.0], [0.00025], ["embedded"]]
    assert command(tmp_path, "s1", "--csv", "--by", "filters") == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert header == "filters,n,left_out,mean,std,best,data"
    path = tmp_path / "results" / "s1" / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights": {"source": "random"}}))
    assert command(tmp_path, "s1", "--csv", "--by", "filters") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "filters,n,left_out,mean,std,best,data,weights"
    assert err == "embedded data, not the real beans; weights: random, not pretrained\n"


def test_on_a_terminal_rich_prints_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study(tmp_path, kind="embedded")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert command(tmp_path, "s1", "--top", "2") == 0
    text = capsys.readouterr().out
    for word in ("embedded data", "26,985,195", "12/32/240", "batch_size 64", "7 trials"):
        assert word in text


def test_while_it_runs_a_torn_line_is_left_out(tmp_path: Path) -> None:
    text = render_best(study(tmp_path, ROWS + "7,completed,8,8,0.9"), 10)
    assert "7 trials:" in text


# --- what is wrong


def test_no_trial_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = "".join(line + "\n" for line in ROWS.splitlines()[3:6])
    folder = study(tmp_path, unfinished)
    assert command(tmp_path, "s1") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m analysis.table: no trial of ")
    assert err.endswith("s1 has finished: 3 trials: 1 infeasible, 1 failed, 1 running\n")
    with pytest.raises(StudyFailed, match="has finished: 3 trials"):
        render_best(folder, 10)


def test_no_trial_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path, "")
    assert command(tmp_path, "s1", "--by", "filters") == 1
    assert capsys.readouterr().err.endswith("s1 has finished: 0 trials\n")


def test_no_trials_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path, None)
    assert command(tmp_path, "s1") == 1
    err = capsys.readouterr().err
    assert err.endswith("trials.csv is missing: no trial has been written yet\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["s1", "--by", "colour"], "no hyperparameter is called 'colour': this study has kernel"),
        (["s2"], "nearest: s1"),
    ],
)
def test_unknown_names_exit_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    study(tmp_path)
    assert command(tmp_path, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "the following arguments are required: STUDY"),
        (["s1", "--top", "0"], "argument --top: must be a whole number from 1, but got '0'"),
        (["s1", "--top", "-3"], "argument --top: must be a whole number from 1, but got '-3'"),
        (["s1", "--top", "abc"], "argument --top: must be a whole number from 1, but got 'abc'"),
        (["s1", "--bye"], "unrecognized arguments: --bye"),
    ],
)
def test_bad_command_lines_exit_2_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"python -m analysis.table: {what} (see --help)\n"


def test_it_needs_no_torch_ray_or_tfds(tmp_path: Path) -> None:
    folder = study(tmp_path)
    code = (
        "import sys, analysis.table as t\n"
        f"assert t.main([{str(folder)!r}]) == 0\n"
        "heavy = {'torch', 'ray', 'optuna', 'tensorflow_datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 trials:" in done.stdout


# --- layout


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "-"),
        (None, "-"),
        (pd.NA, "-"),
        (5.0, "5"),
        (64, "64"),
        (0.000123456, "0.0001235"),
        (True, "True"),
        ("6/16/120", "6/16/120"),
    ],
)
def test_show(value: object, text: str) -> None:
    assert show(value) == text


def test_plain_aligns_by_hand() -> None:
    columns = [Column("n", ["1", "10"], right=True, key=True), Column("ab", ["x", "yyy"], False)]
    assert plain(["title", *blocks([columns])]) == "title\n\n n  ab\n 1  x\n10  yyy\n"


def test_no_cell_and_no_line_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and configurations may be of somebody else's study."""
    odd = Column("n\x1b[2J", ["\x9b2J", "a\nb"], right=False)
    assert plain(["line\x1b[2J", [odd]]) == ("line\\x1b[2J\n\nn\\x1b[2J\n\\x9b2J\na\\nb\n")
    show_on_terminal(["line\x1b[2J", [odd]])
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line]) == 4
    assert all(line.isprintable() for line in lines)


def test_a_column_wider_than_the_line_stands_alone() -> None:
    key = Column("k", ["1"], True, key=True)
    wide, narrow = Column("w", ["x" * 30], False), Column("n", ["1"], True)
    laid = blocks([[key, narrow, wide, narrow]], width=20)
    assert [[item.name for item in block] for block in laid] == [
        ["k", "n"],
        ["k", "w"],
        ["k", "n"],
    ]
