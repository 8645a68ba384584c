"""The commands that fill rows of the published numbers: whole, and of what is there already."""

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import pytest

from analysis.pool import Pool, pool
from analysis.published import main
from analysis.published_commands import Commands
from analysis.reference import Reference, read_reference
from search.catalog import EXPERIMENTS
from search.options import Mistakes, build_parser
from search.read_plan import read_plan

from .studies import config, study

SWEEP = (
    "python -m search.run lenet_beans --sweep regularizer --sweep dropout=0.2 "
    "--sweep kernel_size --sweep filters --seeds 3"
)
NAME = "lenet_beans-published"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results folder, not there yet."""
    monkeypatch.chdir(tmp_path)
    return Path("results")


def row(experiment: str, arm: str, metric: str) -> Reference:
    found = [
        r for r in read_reference() if (r.experiment, r.arm, r.metric) == (experiment, arm, metric)
    ]
    assert len(found) == 1
    return found[0]


def lenet(metric: str, pooled: Pool, place: Path | str = Path("results")) -> list[str]:
    return list(Commands(pooled, place).fill(row("lenet_beans", "baseline", metric)))


def trained(folder: Path, status: str = "completed", **options: Any) -> Path:
    """One seed of the published LeNet."""
    curves = [{"epoch": 20}]
    return study(folder, trials=[{"status": status}], curves=curves, **options)


def test_one_sweep_serves_all_rows_of_an_experiment() -> None:
    rows = [row for row in read_reference() if row.experiment == "lenet_beans"]
    told = {Commands(Pool()).fill(row) for row in rows}
    first = f"{SWEEP} --study {NAME}"
    # Of these the test split is asked for, or not.
    assert told == {(first,), (first, f"python -m search.confirm {NAME}")}


def test_an_arm_with_three_changes_is_held() -> None:
    run, opened = Commands(Pool()).fill(row("cifar10_net", "dropout", "test_accuracy"))
    assert "--fix dropout_1=0.2 --fix dropout_2=0.2 --fix dropout_3=0.1" in run
    assert "--max-epochs 30 --stopper none" in run
    assert opened == "python -m search.confirm cifar10_net-dropout --top 1 --seeds 3"


def test_the_commands_that_fill_rows_are_understood() -> None:
    told = {command for row in read_reference() for command in Commands(Pool()).fill(row)}
    runs = [shlex.split(each) for each in sorted(told) if " search.run " in each]
    assert len(runs) >= 6
    for words in runs:
        parsed, wrong = build_parser().parse_args(words[3:]), Mistakes()
        assert read_plan(parsed, {}, EXPERIMENTS[parsed.experiment], wrong) is not None
        assert wrong == []


@pytest.mark.parametrize("usual", [False, True])
def test_what_is_made_is_of_the_data_and_weights_of_what_counts(
    usual: bool, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", "/data/tfds" if usual else "/data/other")
    heads = [{"epochs": 20, "config": config("inception_beans", unfreeze_blocks=0)}]
    folder = study(
        results / "heads", "inception_beans", heads, [{"epoch": 20, "stage": "head"}],
        weights="file", path="/my weights.pt", location="/data/tfds",
    )  # fmt: skip
    commands = Commands(pool([folder], strict=True))
    (run,) = commands.fill(row("inception_beans", "unfreeze_blocks=2", "val_accuracy"))
    where = "" if usual else " --data-dir /data/tfds"
    study_name = "--study inception_beans-published"
    assert run.endswith(f" --seeds 3 --weights '/my weights.pt'{where} {study_name}")
    # Of LeNet nothing counts yet: any data will do.
    assert lenet("val_accuracy", pool([folder], strict=True)) == [f"{SWEEP} --study {NAME}"]


def test_both_commands_go_to_the_place_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "more studies"
    place.mkdir()
    assert main(["--results-dir", str(place)]) == 0
    out = capsys.readouterr().out
    assert f"  {SWEEP} --study {NAME} --results-dir '{place}'\n" in out
    assert f"  python -m search.confirm {NAME} --results-dir '{place}'\n" in out
    store = lenet("test_accuracy", Pool(), "s3://bucket/all")
    assert [each.endswith(f"{NAME} --results-dir s3://bucket/all") for each in store] == [True] * 2


def test_a_study_that_is_there_is_not_begun_again(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(results / NAME)
    assert main(["--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = {r["metric"]: r["fill"] for r in rows if r["experiment"] == "lenet_beans"
             if r["arm"] == "baseline"}  # fmt: skip
    assert found["test_accuracy"] == f"python -m search.confirm {NAME}"
    assert found["val_accuracy"] == ""


def test_one_that_is_not_through_is_gone_on_with(results: Path) -> None:
    on = f"python -m search.run lenet_beans --study {NAME} --resume"
    folder = trained(results / NAME, planned=24)
    opened = f"python -m search.confirm {NAME}"
    assert lenet("test_accuracy", pool([folder], strict=True)) == [on, opened]
    (folder / "trials.csv").unlink()  # not one trial yet
    assert lenet("val_accuracy", pool([folder], strict=False)) == [on]


def test_where_memory_does_not_do_nothing_helps(results: Path) -> None:
    pooled = pool([trained(results / NAME, "infeasible")], strict=True)
    assert [lenet(metric, pooled) for metric in ("val_accuracy", "test_accuracy")] == [[], []]


@pytest.mark.parametrize(
    "options",
    [{"kind": "embedded"}, {"kind": "embedded", "planned": 9}, {"status": "failed"}],
)
def test_a_name_that_is_taken_is_not_taken_again(options: dict[str, Any], results: Path) -> None:
    pooled = pool([trained(results / NAME, **options)], strict=True)
    assert lenet("val_accuracy", pooled) == [f"{SWEEP} --study {NAME}-2"]
    for name in ("-2", "-3"):  # nor of what is no study
        (results / f"{NAME}{name}").mkdir()
    assert lenet("val_accuracy", pooled) == [f"{SWEEP} --study {NAME}-4"]


def test_a_study_of_another_place_is_confirmed_there(tmp_path: Path) -> None:
    pooled = pool([trained(tmp_path / "elsewhere" / NAME)], strict=True)
    place = f"--results-dir {tmp_path / 'elsewhere'}"
    assert lenet("test_accuracy", pooled) == [f"python -m search.confirm {NAME} {place}"]


def test_a_fresh_clone_has_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert f"  {SWEEP} --study {NAME}\n" in capsys.readouterr().out
