"""Searches that are ended early and confirmed: what the contenders are, how long it takes."""

import csv
from pathlib import Path

import pytest

from benchmarks.record_curves import configurations
from benchmarks.replay import main
from benchmarks.replay_case import Case, Confirming
from benchmarks.replay_confirm import confirmed, search_and_confirm
from benchmarks.replay_report import report
from benchmarks.replay_table import Table
from benchmarks.simulation import Step
from search.catalog import find
from search.records import Record

from .test_replay import FIXED, forty, plan, recording, run, table


def lucky() -> tuple[Table, list[Record]]:
    """Three configurations of two seeds; one second an epoch, six epochs a run.

    The published one has 0.5 and 0.75, the second 0.25 and 1.0 and was lucky in the search, the
    third 0.75 and 0.875.
    """
    configs = configurations(find("lenet_beans"), FIXED, 3)
    pairs = [(0.5, 0.75), (0.25, 1.0), (0.75, 0.875)]
    made = table([run(n, r, configs[n], pairs[n][r]) for n in range(3) for r in (0, 1)])
    seen = [0.75, 1.0, 0.875]
    rows = [{"epoch": 1, "val_accuracy": accuracy} for accuracy in seen]
    return made, [Record(n, "completed", configs[n], 0, (rows[n],)) for n in range(3)]


def test_what_was_lucky_is_seen_through_on_fresh_seeds() -> None:
    made, records = lucky()
    # Its seed of the search is the better one: by one seed 0.625 would be taken for 1.0.
    found = confirmed(made, plan(), records, 1, 100.0, Confirming(1.0, 2, 20))
    # Two of the best and the published one, 20 seeds of 6 seconds each.
    assert found == Step(100.0 + 3 * 20 * 6, 0.0, 3 + 60)


def test_the_published_configuration_is_confirmed_beside_the_best() -> None:
    made, records = lucky()
    worse = Record(1, "completed", records[1].config, 0, ({"epoch": 1, "val_accuracy": 0.3},))
    running = Record(2, "running", records[2].config, 0, records[2].rows)
    # Whichever it is, 0.625 on average; the third, which still ran, is not among them.
    found = confirmed(made, plan(), [worse, running], 1, 0.0, Confirming(1.0, 5, 2))
    assert found == Step(2 * 12.0, pytest.approx(0.8125 - 0.625), 2 + 4)


def test_without_a_trial_that_has_ended_there_is_nothing_to_confirm() -> None:
    found = search_and_confirm(forty(), plan(), 2, 10.0, Confirming(0.5, 5, 2))
    assert found == Step(5.0, 1.0, 2)


@pytest.mark.parametrize(("workers", "seconds"), [(1, 36), (2, 18), (4, 12), (9, 6)])
def test_workers_share_the_runs(workers: int, seconds: float) -> None:
    made, records = lucky()
    found = confirmed(made, plan(), records, workers, 0.0, Confirming(1.0, 3, 2))
    assert found.seconds == seconds


def test_the_search_ends_after_its_share_and_what_runs_then_does_not_count() -> None:
    made = forty()
    # Trial n has n + 1 of 50. After 29 of 58 seconds four trials have ended, and the fifth had
    # five epochs of six: more, by 4.17 of 50, than the fourth.
    found = search_and_confirm(made, plan(), 1, 58.0, Confirming(0.5, 1, 3))
    assert found.regret == pytest.approx((40 - 4) / 50)
    assert found.seconds == 29.0 + 2 * 3 * 6  # the best and the published one
    assert found.trials == 5 + 6


def test_the_command_tells_of_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--samplers", "random", "--stoppers", "none", "--workers", "1", "--seeds", "2"]
    words += ["--answers", "nearest", "--curves", str(recording(tmp_path / "curves.parquet"))]
    words += ["--confirm", "2x1", "3x2", "--searched", "0.5", "--to", str(tmp_path / "steps.csv")]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| sampler | stopper | workers | seconds | 0.125 of the time | ")
    assert lines[3] == (
        "| sampler | stopper | workers | searched | top x seeds | all took, most | regret |"
    )
    assert [line.split(" | ")[:5] for line in lines[5:]] == [
        ["| random", "none", "1", "0.5", "2 x 1"],
        ["| random", "none", "1", "0.5", "3 x 2"],
    ]
    with (tmp_path / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = {(row["searched"], row["top"], row["seeds"], row["seed"]) for row in rows}
    assert kinds == {
        *(("1.0", "", "", seed) for seed in "12"),
        *(("0.5", "2", "1", seed) for seed in "12"),
        *(("0.5", "3", "2", seed) for seed in "12"),
    }


def test_a_share_of_the_time_without_a_confirmation_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--answers", "nearest", "--curves", str(recording(tmp_path / "curves.parquet"))]
    assert main([*words, "--searched", "0.5"]) == 2
    assert "--searched goes with --confirm" in capsys.readouterr().err


def test_a_row_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    how = Confirming(0.25, 5, 2)
    steps = [[Step(45.0, 0.1, 9)], [Step(55.0, 0.3, 9)]]
    report([(Case("tpe", "asha", 16, s, how), steps[s]) for s in (0, 1)], {16: 100.0})
    row = capsys.readouterr().out.splitlines()[-1]
    assert (
        row == "| tpe | asha | 16 | 0.25 | 5 x 2 | 0.50, 0.55 | 0.2000 ± 1.2706 |"
    )  # t is 12.706


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--confirm", "5"], "argument --confirm: must be two whole numbers from 1, such as 5x3"),
        (["--confirm", "0x2"], "(the best 5 on 3 seeds), but got '0x2'"),
        (["--confirm", "3x2x1"], "but got '3x2x1'"),
        (["--searched", "1.5"], "must lie above 0 and at most at 1, but got '1.5'"),
        (["--searched", "much"], "must lie above 0 and at most at 1, but got 'much'"),
        (["--searched", "nan"], "must lie above 0 and at most at 1, but got 'nan'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert told in capsys.readouterr().err
