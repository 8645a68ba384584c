"""Replaying recorded curves: who answers for whom, and what a study does in simulated time."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.curve_files import Run, write_curves
from benchmarks.record_curves import configurations
from benchmarks.replay import horizon_of, main
from benchmarks.replay_answers import load
from benchmarks.replay_table import Table, best_accuracy
from benchmarks.simulation import Step, as_row, regret_at, simulate, simulate_stock
from search.book import Assignment
from search.catalog import find
from search.domains import domains
from search.plan import Plan
from spaces.lenet_beans import DEFAULTS

FIXED = {"image_size": 64}
SPACE = find("lenet_beans").space()
DOMAINS = {n: d for n, d in domains(SPACE, DEFAULTS).items() if n not in FIXED}
BASE = {**DEFAULTS, **FIXED, "regularizer": "l2"}


def run(
    number: int,
    repeat: int,
    config: dict[str, Any],
    final: float,
    epochs: int = 6,
    epoch_s: float = 1,
) -> Run:
    """A curve that rises evenly to `final`."""
    return curve(
        number, repeat, config, [final * e / epochs for e in range(1, epochs + 1)], epoch_s
    )


def curve(
    number: int,
    repeat: int,
    config: dict[str, Any],
    accuracies: Iterable[float],
    epoch_s: float = 1.0,
    precision: str = "float32",
) -> Run:
    rows = [(1.0, 0.5, 0.5, float(accuracy), 9.0, epoch_s) for accuracy in accuracies]
    return Run(number, repeat, config, 10, tuple(rows), precision)


def table(runs: Sequence[Run]) -> Table:
    return Table(runs, DOMAINS, "cpu_s")


def forty() -> Table:
    """The first forty that random search draws, each better than the one before; 1 s an epoch."""
    configs = configurations(find("lenet_beans"), FIXED, 40)
    return table([run(i, 0, config, (i + 1) / 50) for i, config in enumerate(configs)])


def plan(stopper: str = "none", trials: int = 1000, **more: Any) -> Plan:
    return Plan(trials, 6, **{"sampler": "random", "stopper": stopper, "fixed": FIXED, **more})


def test_every_recorded_configuration_answers_for_itself() -> None:
    made = forty()
    configs = configurations(find("lenet_beans"), FIXED, 40)
    assert [made.nearest(config) for config in configs] == list(range(40))
    assert [made.regret(config) for config in configs] == pytest.approx(
        [(39 - i) / 50 for i in range(40)]
    )


@pytest.mark.parametrize(
    ("change", "nearest"),
    [
        ({}, 0),
        ({"dropout": 0.6, "kernel_size": 3}, 2),
        # In its logarithm the middle of 5e-5 and 5e-3 is 5e-4; 6e-4 is nearer to the upper end.
        ({"learning_rate": 4e-4}, 0),
        ({"learning_rate": 6e-4}, 1),
        # 0.6 of dropout is the whole range, as much as another choice of one hyperparameter.
        ({"learning_rate": 5e-3, "kernel_size": 3, "dropout": 0.1}, 1),
        # Strength has no say where the other has none: only the regularizer differs.
        ({"regularizer": "none", "strength": None}, 0),
    ],
)
def test_the_nearest_by_hand(change: dict[str, Any], nearest: int) -> None:
    slow = {**BASE, "learning_rate": 5e-5}
    made = table(
        [
            run(0, 0, slow, 0.5),
            run(1, 0, {**slow, "learning_rate": 5e-3}, 0.6),
            run(2, 0, {**slow, "dropout": 0.6, "kernel_size": 3}, 0.7),
        ]
    )
    asked = {name: value for name, value in {**slow, **change}.items() if value is not None}
    assert made.nearest(asked) == nearest


def test_the_truth_is_the_mean_of_the_repeats_and_the_seed_chooses_one() -> None:
    other = {**BASE, "kernel_size": 3}
    diverged = Run(1, 0, other, 10, ((math.nan,) * 4 + (1.0, 1.0),))
    made = table([run(0, 0, BASE, 0.5), run(0, 1, BASE, 0.75), diverged, run(1, 1, other, 0.25)])
    assert made.truth == {0: 0.625, 1: 0.125}
    assert made.regret(other) == 0.5
    chosen = [made.run(Assignment(7, BASE, seed, -1.0)) for seed in (4, 5)]
    assert [best_accuracy(each) for each in chosen] == [0.5, 0.75]


def test_a_run_counts_at_its_best_epoch() -> None:
    rows = [(1.0, 0.5, 0.5, accuracy, 1.0, 1.0) for accuracy in (0.25, 0.75, 0.5)]
    assert best_accuracy(Run(0, 0, BASE, 1, tuple(rows))) == 0.75


# Trial n has n + 1 of 50 after 6 seconds, n + 1 of 300 after one: it is best from where it passes
# the end of the trial before.
ONE = [1, 2, 3, 4, 5, 6, 10, 11, 12, 17, 18, 23, 24]
TWO = [1, 1, 2, 3, 4, 5, 6, 10, 11, 12]
FOUR = [1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6]


@pytest.mark.parametrize(("workers", "seconds"), [(1, ONE), (2, TWO), (4, FOUR), (9, FOUR)])
def test_workers_share_the_trials_in_simulated_time(workers: int, seconds: list[float]) -> None:
    made = forty()
    steps = simulate(made, plan(trials=4), workers, 1e9)
    assert [step.seconds for step in steps] == seconds
    assert steps[-1].regret == pytest.approx((40 - 4) / 50)
    assert steps[0].regret == pytest.approx((40 - 1) / 50)
    cut = simulate(made, plan(trials=4), workers, 5.5)
    assert cut == [step for step in steps if step.seconds <= 5]


def test_one_worker_trains_one_trial_after_the_other() -> None:
    # Only the published configuration is recorded, so it answers for all: no later trial is
    # better than the first, which rises in every one of its 6 epochs of 2 seconds.
    made = table([run(0, 0, BASE, 0.6, epoch_s=2)])
    steps = simulate(made, plan(trials=3), 1, 1e9)
    assert [step.seconds for step in steps] == [2, 4, 6, 8, 10, 12]
    assert {step.trials for step in steps} == {1}
    assert {step.regret for step in steps} == {0.0}


def test_stock_ray_tune_is_simulated_alike() -> None:
    # As above: all trials are answered alike, so none falls below its rung or above the first.
    made = table([run(0, 0, BASE, 0.6, epoch_s=2)])
    assert simulate_stock(made, plan(trials=3), 1, 1e9) == simulate(made, plan(trials=3), 1, 1e9)


def test_stopping_early_leaves_time_for_more_trials() -> None:
    configs = configurations(find("lenet_beans"), FIXED, 40)
    # The best of all is trial 31: 31 * 9 is 39 more than a multiple of 40.
    made = table([run(i, 0, config, (9 * i % 40 + 1) / 50) for i, config in enumerate(configs)])
    without, asha = (simulate(made, plan(stopper), 2, 72.0) for stopper in ("none", "asha"))
    # 72 seconds are 12 runs of each of 2 workers: trials 0 to 23, of which 22 is the best (198).
    assert without[-1].regret == pytest.approx((39 - 38) / 50)
    assert asha[-1].regret == 0


def test_the_same_seed_gives_the_same_study_and_another_one_another() -> None:
    made = forty()
    first, again, other = (simulate(made, plan(seed=s), 3, 50.0) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_trial_that_diverges_ends_and_the_worker_goes_on() -> None:
    # The published configuration, which comes first, diverges; others are answered for.
    configs = configurations(find("lenet_beans"), FIXED, 12)
    nothing = (math.nan,) * 4
    runs = [Run(0, 0, configs[0], 10, ((*nothing, 3.0, 3.0),))]
    runs += [run(i, 0, config, 0.5) for i, config in enumerate(configs[1:], start=1)]
    steps = simulate(table(runs), plan(trials=5), 1, 1e9)
    assert steps[0] == Step(4.0, 0.0, 2)


def test_regret_is_that_of_the_last_step_before() -> None:
    steps = [Step(2.0, 0.25, 1), Step(5.0, 0.125, 2)]
    assert [regret_at(steps, t) for t in (1.9, 2.0, 4.9, 5.0, 99.0)] == [
        1,
        0.25,
        0.25,
        0.125,
        0.125,
    ]


def test_a_row_is_what_a_worker_reports() -> None:
    row = as_row(run(0, 0, BASE, 0.75), 2)
    assert (row["epoch"], row["val_accuracy"], row["val_loss"]) == (2, 0.25, 0.5)
    assert (row["train_loss"], row["train_accuracy"], row["epoch_s"]) == (1.0, 0.5, 9.0)
    assert row["parameters"] == 10


def test_a_horizon_is_fifty_runs_of_one_worker_and_never_under_three() -> None:
    made = table([run(0, 0, BASE, 0.5, epochs=4, epoch_s=2)])
    assert [horizon_of(made, workers) for workers in (1, 100, 2048)] == [400, 40, 24]


def recording(path: Path, threads: int = 1) -> Path:
    configs = configurations(find("lenet_beans"), FIXED, 6)
    runs = [run(i, 0, config, (i + 1) / 8) for i, config in enumerate(configs)]
    write_curves(path, runs, {"image_size": 64, "threads": threads})
    return path


def test_a_recording_of_one_thread_goes_by_cpu_seconds(tmp_path: Path) -> None:
    one, fixed = load(recording(tmp_path / "one.parquet"), "nearest")
    two, _ = load(recording(tmp_path / "two.parquet", threads=2), "nearest")
    assert (one.run_s, two.run_s) == (6.0, 54.0)
    assert (one.epochs, one.best, fixed) == (6, 0.75, {"image_size": 64})


def test_the_command_prints_and_writes_every_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--samplers", "random", "--stoppers", "none", "asha", "--workers", "1"]
    words += ["--seeds", "2", "--stock"]
    curves = recording(tmp_path / "curves.parquet")
    words += ["--answers", "nearest"]
    assert main([*words, "--curves", str(curves), "--to", str(tmp_path / "to" / "steps.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| random", "none", "1", "300"],  # 50 runs of 6 seconds
        ["| random", "asha by accuracy and loss", "1", "300"],
        ["| OptunaSearch", "ASHAScheduler", "1", "300"],
    ]
    assert "nan" not in "".join(lines)
    with (tmp_path / "to" / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["stopper"], row["seed"]) for row in rows} == {
        ("none", "1"),
        ("none", "2"),
        ("asha", "1"),
        ("asha", "2"),
        ("ASHAScheduler", "1"),
        ("ASHAScheduler", "2"),
    }


def test_a_run_that_was_ended_goes_on_after_the_studies_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves, steps = recording(tmp_path / "curves.parquet"), tmp_path / "steps.csv"
    words = ["--samplers", "random", "--stoppers", "none", "--workers", "1", "--stock"]
    words += ["--answers", "nearest", "--curves", str(curves), "--to", str(steps)]
    assert main([*words, "--seeds", "2"]) == 0
    whole, rows = capsys.readouterr(), steps.read_text().splitlines()
    # The first study has another regret than it would find again, the last was not come to.
    last = [row for row in rows if ",ASHAScheduler,1,2," in row]
    rows = [row for row in rows if row not in last]
    first = rows[1].split(",")
    steps.write_text("\n".join([rows[0], ",".join([*first[:11], "0.5", first[12]]), *rows[2:]]))
    assert main([*words, "--seeds", "2"]) == 0
    assert "1 of 1 studies" in capsys.readouterr().err
    again = steps.read_text().splitlines()
    assert again[1].split(",")[11] == "0.5"
    assert again[2:] == [*rows[2:], *last]
    assert main([*words, "--seeds", "2"]) == 0  # nothing is left
    read = capsys.readouterr()
    assert read.err == ""
    assert read.out.splitlines()[3] == whole.out.splitlines()[3]  # stock, untouched


def test_a_file_of_other_replays_is_told_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--samplers", "random", "--stoppers", "none", "--workers", "1", "--seeds", "1"]
    curves, steps = recording(tmp_path / "curves.parquet"), tmp_path / "steps.csv"
    words += ["--answers", "nearest", "--to", str(steps), "--curves"]
    assert main([*words, str(curves)]) == 0
    kept = steps.read_text()
    other = recording(tmp_path / "other.parquet", threads=2)
    assert main([*words, str(other)]) == 2
    assert "steps.csv is of other replays: curves were " in capsys.readouterr().err
    assert steps.read_text() == kept
    for text in ("seconds,regret\n1,2\n", kept.replace(",0.", ",x."), "\x00", ""):
        steps.write_text(text)
        assert main([*words, str(curves)]) == 2
        assert "steps.csv is no file of replayed studies" in capsys.readouterr().err
        assert steps.read_text() == text


def test_without_a_recording_the_way_to_one_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--curves", str(tmp_path / "none.parquet")]) == 2
    assert "make it by python -m benchmarks.record_curves" in capsys.readouterr().err


def test_a_file_of_something_else_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, other = tmp_path / "text.parquet", tmp_path / "other.parquet"
    text.write_text("no table")
    pq.write_table(pa.table({"x": [1]}), other)
    for path in (text, other):
        assert main(["--curves", str(path)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"benchmarks.replay: {path} is no file of learning curves")


@pytest.mark.parametrize("option", ["--workers", "--seeds", "--processes"])
def test_numbers_below_1_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([option, "0"])
    told = capsys.readouterr().err
    assert f"argument {option}: must be a whole number from 1, but got '0'" in told
