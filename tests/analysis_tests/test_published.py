"""Published numbers beside ours: studies, means and intervals by hand."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis import pool as pooled
from analysis.facts import layer_table, worked_convolution
from analysis.pool import pool, same
from analysis.published import main, sections
from analysis.published_rows import Line, _of_test, lines
from analysis.reference import PATH, arm_config, arms, published_epochs, read_reference
from search.catalog import EXPERIMENTS, find
from search.errors import StudyFailed
from trainables.errors import TrellisError

from .studies import config, confirm, study

# Of Student's t with 2 degrees of freedom, from a printed table.
T_2 = 4.303


@pytest.fixture(autouse=True)
def _no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests run there may be studies of the names that commands make."""
    monkeypatch.chdir(tmp_path)


def last(trial: int, **values: Any) -> dict[str, Any]:
    return {"trial": trial, "epoch": 20, **values}


def three_seeds(folder: Path, name: str = "s1", **options: Any) -> Path:
    """Validation 0.70, 0.72, 0.77 after the last epoch, whatever the best epochs had."""
    trials = [{"trial": n, "seed": 100 + n, "val_accuracy": 0.9} for n in range(3)]
    curves = [
        last(n, val_accuracy=value, epoch_s=seconds, train_accuracy=0.99)
        for n, (value, seconds) in enumerate([(0.70, 10), (0.72, 12), (0.77, 14)])
    ]
    return study(folder / name, trials=trials, curves=curves, **options)


def of(found: list[Line], experiment: str, arm: str, metric: str) -> Line:
    rows = [x for x in found if (x.experiment, x.arm, x.metric) == (experiment, arm, metric)]
    assert len(rows) == 1
    return rows[0]


def compared(*folders: Path) -> list[Line]:
    return list(lines(pool(folders, strict=True)))


def test_published_configurations_are_worked_out_once_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def config(experiment: Any, arm: str) -> Any:
        asked.append(arm)
        return arm_config(experiment, arm)

    monkeypatch.setattr(pooled, "arm_config", config)
    assert len(pool([three_seeds(tmp_path)], strict=True).runs) == 3
    assert len(asked) == len(set(asked)) == len(arms("lenet_beans")) > 3


# --- the published side


def in_the_file() -> list[tuple[str, str, str]]:
    with PATH.open(encoding="utf-8") as file:
        return [(row["experiment"], row["arm"], row["metric"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1000000007, 1000000008, False),
        (1000000007.0, 1000000008, False),  # a column in which some trials have none
        (1000000007.0, 1000000007, True),
        (9007199254740993, 9007199254740992, False),
        (0.1, 0.10000000000000002, True),  # as far as a CSV file keeps it
        (0.1, 0.1001, False),
        ("08", "8", False),
        (math.inf, math.inf, True),
    ],
)
def test_whole_numbers_are_compared_exactly(one: object, other: object, alike: bool) -> None:
    assert same({"seed": one}, {"seed": other}) is alike


def test_every_row_of_the_file_is_there_once_in_order() -> None:
    given = in_the_file()
    rows = [(row.experiment, row.arm, row.metric) for row in read_reference()]
    assert len(given) >= 38
    assert len(set(rows)) == len(rows)
    assert [row for row in rows if row in given] == given


def test_numbers_in_notes_are_rows_of_their_own() -> None:
    found = {(r.experiment, r.arm, r.metric): r.value for r in read_reference()}
    noted = {row: value for row, value in found.items() if row not in in_the_file()}
    assert noted["lenet_beans", "baseline", "val_accuracy"] == 0.7594
    assert noted["lenet_beans", "baseline", "train_accuracy"] == 0.9913
    assert noted["inception_beans", "unfreeze_blocks=2", "val_accuracy"] == 0.8872
    assert noted["cifar10_transfer", "target", "best_val_accuracy"] == 0.8264
    assert noted["lenet_beans", "kernel_size=7", "val_accuracy"] is None  # not published


@pytest.mark.parametrize(
    ("name", "arm", "changed"),
    [
        ("lenet_beans", "baseline", {}),
        ("lenet_beans", "regularizer=l1", {"regularizer": "l1", "strength": 0.01}),
        ("lenet_beans", "dropout=0.2", {"dropout": 0.2}),
        ("lenet_beans", "kernel_size=7", {"kernel_size": 7}),
        ("inception_beans", "unfreeze_blocks=3", {"unfreeze_blocks": 3}),
        ("cifar10_net", "dropout", {"dropout_1": 0.2, "dropout_2": 0.2, "dropout_3": 0.1}),
        ("cifar10_transfer", "target", {}),
    ],
)
def test_the_configuration_of_an_arm(name: str, arm: str, changed: dict[str, Any]) -> None:
    assert arm_config(find(name), arm) == config(name, **changed)


def test_an_arm_of_nothing_that_is_searched() -> None:
    with pytest.raises(ValueError, match="lenet_beans has no hyperparameter 'kernel'"):
        arm_config(find("lenet_beans"), "kernel=3")


# As reference.csv says: 20; 20; 20 + 6; 30; 15; 10.
@pytest.mark.parametrize(
    ("name", "arm", "epochs"),
    [
        ("lenet_beans", "baseline", 20),
        ("inception_beans", "unfreeze_blocks=0", 20),
        ("inception_beans", "unfreeze_blocks=6", 26),
        ("cifar10_net", "plain", 30),
        ("mnist_cnn", "baseline", 15),
        ("cifar10_transfer", "target", 10),
    ],
)
def test_published_epochs(name: str, arm: str, epochs: int) -> None:
    assert published_epochs(find(name), arm_config(find(name), arm)) == epochs


@pytest.mark.parametrize(
    ("stopper", "rungs", "count"),
    [("asha", [2, 6, 18], 0), ("asha", [], 3), ("none", [], 3)],
)
def test_what_early_stopping_has_left_does_not_count(
    stopper: str, rungs: list[int], count: int, tmp_path: Path
) -> None:
    folder = three_seeds(tmp_path)
    manifest = json.loads((folder / "study.json").read_text())
    manifest["budget"] |= {"stopper": stopper, "rungs": rungs}
    (folder / "study.json").write_text(json.dumps(manifest))
    found = pool([folder], strict=True)
    assert len(found.runs) == count
    reason = "its study stops trials early: those that end are lucky ones"
    assert found.left_out == ({("s1", reason): 3} if count == 0 else {})


# --- facts


def test_the_layer_table_and_the_convolution_are_computed() -> None:
    # 5x5x1x10 + 10, 5x5x10x10 + 10, 8x8x10x10 + 10.
    assert layer_table() == (
        260 + 2510 + 6410,
        "per layer 260, 0, 2510, 0, 6410; outputs 32x32x10, 16x16x10, 16x16x10, 8x8x10, 10",
    )
    # By hand: 1x1 kernels double; a 3x3 kernel of ones sums what it sees.
    assert worked_convolution("input [[1,2],[3,4]], kernel [[2]], padding 0") == "[[2,4],[6,8]]"
    ones = "[[1,1,1],[1,1,1],[1,1,1]]"
    assert worked_convolution(f"input [[1,2],[3,4]], kernel {ones}, padding 1") == (
        "[[10,10],[10,10]]"
    )


def test_a_convolution_that_does_not_read_so() -> None:
    with pytest.raises(ValueError, match="must read input"):
        worked_convolution("kernel [[2]]")


def test_exact_rows_need_no_study() -> None:
    found = compared()
    exact = [line for line in found if line.of == "exact"]
    assert {(x.experiment, x.arm, x.metric) for x in exact} == {
        ("lenet_beans", "baseline", "parameters"),
        ("inception_beans", "unfreeze_blocks=0", "parameters"),
        *(("inception_beans", f"unfreeze_blocks={n}", "trainable_parameters") for n in (2, 3, 6)),
        ("layer_table", "conv5-10 net", "parameters"),
        ("convolution", "worked example", "output"),
    }
    assert all(line.inside is True for line in exact)
    trained = of(found, "inception_beans", "unfreeze_blocks=6", "trainable_parameters")
    assert trained.ours == trained.published == 20_431_747
    others = [line for line in found if line.of != "exact"]
    assert len(others) > 30
    assert all(line.ours is None and line.n == 0 and line.fill for line in others)


# --- ours


def test_validation_of_the_last_epoch_by_hand(tmp_path: Path) -> None:
    found = compared(three_seeds(tmp_path))
    line = of(found, "lenet_beans", "baseline", "val_accuracy")
    # Mean 0.73; deviations -0.03, -0.01, 0.04: sd = sqrt(0.0026 / 2) = 0.036056.
    assert (line.ours, line.n, line.of) == (pytest.approx(0.73), 3, "last epoch")
    assert line.sd == pytest.approx(0.036056, abs=1e-6)
    half = T_2 * 0.036056 / 3**0.5
    assert (line.low, line.high) == (
        pytest.approx(0.73 - half, abs=1e-4),
        pytest.approx(0.73 + half, abs=1e-4),
    )
    assert line.inside is True  # 0.7594 lies in 0.73 -+ 4.303 x 0.036056 x sqrt(4/3)
    # The unchanged values of a sweep are the same configuration.
    assert of(found, "lenet_beans", "kernel_size=5", "val_accuracy").n == 3
    assert of(found, "lenet_beans", "kernel_size=3", "val_accuracy").n == 0
    seconds = of(found, "lenet_beans", "baseline", "seconds_per_epoch")
    assert (seconds.ours, seconds.inside) == (pytest.approx(12.0), None)
    # Never mixed with test: there is no confirm.csv.
    assert of(found, "lenet_beans", "baseline", "test_accuracy").ours is None


def test_few_seeds_that_agree_say_nothing_of_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = three_seeds(tmp_path)
    rows = [{"seed": 100 + n, "last_test_accuracy": 0.6953} for n in range(3)]
    confirm(folder, "lenet_beans", rows)
    line = of(compared(folder), "lenet_beans", "baseline", "test_accuracy")
    assert (line.ours, line.n, line.low, line.high, line.inside) == (
        pytest.approx(0.6953), 3, None, None, None,
    )  # fmt: skip
    assert main([str(folder)]) == 0
    (row,) = [
        x.split() for x in capsys.readouterr().out.splitlines()
        if x.startswith("baseline  ") and " test_accuracy" in x and "0.6953" in x
    ]  # fmt: skip
    assert row == ["baseline", "test_accuracy", "0.6953", "0.6953", "3", "last", "epoch"]


def test_test_numbers_come_from_confirm_csv_alone(tmp_path: Path) -> None:
    folder = three_seeds(tmp_path)
    rows = [
        {"seed": 100 + n, "last_test_accuracy": value, "test_accuracy": 0.9, "test_loss": 0.5 + n}
        for n, value in enumerate([0.60, 0.62, 0.61])
    ]
    confirm(folder, "lenet_beans", rows)
    found = compared(folder)
    line = of(found, "lenet_beans", "baseline", "test_accuracy")
    assert (line.ours, line.n, line.of) == (pytest.approx(0.61), 3, "last epoch")
    assert line.inside is False  # 0.6953; 0.61 + 4.303 x 0.01 x sqrt(4/3) = 0.660
    assert line.high == pytest.approx(0.61 + T_2 * 0.01 / 3**0.5, abs=1e-5)
    loss = of(found, "lenet_beans", "baseline", "test_loss")
    assert (loss.ours, loss.of) == (pytest.approx(1.5), "best epoch")
    assert of(found, "lenet_beans", "baseline", "val_accuracy").ours == pytest.approx(0.73)


def test_several_studies_pool_their_seeds_and_the_same_seed_counts_once(tmp_path: Path) -> None:
    first = three_seeds(tmp_path)
    trials = [{"trial": 0, "seed": 100}, {"trial": 1, "seed": 103}]
    curves = [last(0, val_accuracy=0.1), last(1, val_accuracy=0.81)]
    second = study(tmp_path / "s2", trials=trials, curves=curves)
    counted = pool([first, second], strict=True)
    line = of(list(lines(counted)), "lenet_beans", "baseline", "val_accuracy")
    assert (line.n, line.ours) == (4, pytest.approx((0.70 + 0.72 + 0.77 + 0.81) / 4))
    assert dict(counted.left_out) == {("s2", "the same configuration and seed once more"): 1}


def test_of_a_seed_in_two_studies_the_first_counts_for_test_numbers_too(tmp_path: Path) -> None:
    folders = []
    for name, value in (("a", 0.70), ("b", 0.80)):
        numbers = [0.0, 0.01, 0.05]
        trials = [{"trial": n, "seed": 100 + n} for n in range(3)]
        curves = [last(n, val_accuracy=value + more) for n, more in enumerate(numbers)]
        folders.append(study(tmp_path / name, trials=trials, curves=curves))
        rows = [{"trial": n, "seed": 100 + n, "last_test_accuracy": value - more}
                for n, more in enumerate(numbers)]  # fmt: skip
        confirm(folders[-1], "lenet_beans", rows)
    counted = pool(folders, strict=True)
    found = list(lines(counted))
    test = of(found, "lenet_beans", "baseline", "test_accuracy")
    assert (test.ours, test.n) == (pytest.approx(0.68), 3)  # 0.70, 0.69 and 0.65
    validation = of(found, "lenet_beans", "baseline", "val_accuracy")
    assert (validation.ours, validation.n) == (pytest.approx(0.72), 3)
    assert dict(counted.left_out) == {("b", "the same configuration and seed once more"): 3}


def test_what_confirming_trained_counts_too(tmp_path: Path) -> None:
    folder = three_seeds(tmp_path)
    study(folder / "confirm", trials=[{"seed": 7}], curves=[last(0, val_accuracy=0.73)])
    assert of(compared(folder), "lenet_beans", "baseline", "val_accuracy").n == 4


def test_seconds_are_of_the_last_stage(tmp_path: Path) -> None:
    deep = config("inception_beans", unfreeze_blocks=2)
    curves = [
        {"epoch": 1, "stage": "head", "epoch_s": 1},
        {"epoch": 21, "stage": "finetune", "epoch_s": 40},
        {"epoch": 26, "stage": "finetune", "epoch_s": 60},
    ]
    trials = [{"epochs": 26, "config": deep}]
    folder = study(tmp_path / "i", "inception_beans", trials, curves, weights="file")
    line = of(compared(folder), "inception_beans", "unfreeze_blocks=2", "seconds_per_epoch")
    assert (line.ours, line.n, line.low) == (50.0, 1, None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"status": "stopped", "epochs": 6}, "stopped, not completed"),
        ({"epochs": 19}, "19 epochs, not 20"),
        (
            {"config": config("lenet_beans", image_size=64)},
            "not a published configuration: image_size",
        ),
        (
            {"config": config("lenet_beans", regularizer="l1", strength=0.02)},
            "not a published configuration: strength",
        ),
        (
            {"config": config("lenet_beans", image_size=64, batch_size=16, dropout=0.5)},
            "not a published configuration",
        ),
    ],
)
def test_trials_that_do_not_count(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    folder = study(tmp_path / "s", trials=[changed], curves=[last(0)])
    counted = pool([folder], strict=True)
    assert counted.runs == []
    assert dict(counted.left_out) == {("s", reason): 1}


def test_weights_of_a_file_stand_in_the_heading(tmp_path: Path) -> None:
    trials = [{"epochs": 20, "config": config("inception_beans", unfreeze_blocks=0)}]
    curves = [{"epoch": 20, "stage": "head"}]
    for name, told in (("file", "; weights of a file (--weights), fingerprint w"),
                       ("torchvision", "")):  # fmt: skip
        folder = study(tmp_path / name, "inception_beans", trials, curves, weights=name)
        counted = pool([folder], strict=True)
        heads = sections(list(lines(counted)), counted)
        assert f"inception_beans: ours of 1,034 training images{told}" in heads


def test_a_seed_that_was_lost_is_told_where_the_others_stand(tmp_path: Path) -> None:
    trials = [{"trial": 0, "seed": 1}, {"trial": 1, "seed": 2},
              {"trial": 2, "seed": 3, "status": "infeasible"}]  # fmt: skip
    folder = study(tmp_path / "s", trials=trials, curves=[last(0), last(1)])
    counted = pool([folder], strict=True)
    line = of(list(lines(counted)), "lenet_beans", "baseline", "val_accuracy")
    assert (line.n, line.of) == (2, "last epoch, a seed lost")
    told = sections(list(lines(counted)), counted)
    assert "a seed lost: infeasible on another, so ours is of the luckier ones" in told
    other = three_seeds(tmp_path)
    assert of(compared(other), "lenet_beans", "baseline", "val_accuracy").of == "last epoch"


def test_a_seed_that_another_machine_had_memory_for_is_not_lost(tmp_path: Path) -> None:
    none = [{"trial": n, "seed": 100 + n, "status": "infeasible"} for n in range(3)]
    small, large = study(tmp_path / "small", trials=none), three_seeds(tmp_path)
    confirm(large, "lenet_beans", [{"seed": 100}, {"seed": 101}])
    found = compared(small, large)
    line = of(found, "lenet_beans", "baseline", "val_accuracy")
    assert (line.n, line.of) == (3, "last epoch")
    tested = of(found, "lenet_beans", "baseline", "test_accuracy")  # not of seed 102
    assert (tested.n, tested.of) == (2, "last epoch, a seed lost")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "embedded"}, "embedded data, not the real beans"),
        ({"kind": "folder"}, "data folder:, not the real beans"),
        ({"weights": "random"}, "weights: random, not pretrained"),
    ],
)
def test_studies_that_cannot_be_compared(
    tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    counted = pool([three_seeds(tmp_path, **options)], strict=True)
    assert counted.runs == []
    assert dict(counted.left_out) == {("s1", reason): 3}


def test_other_data_is_not_pooled(tmp_path: Path) -> None:
    folders = [three_seeds(tmp_path), three_seeds(tmp_path, "s2", fingerprint="other")]
    counted = pool(folders, strict=True)
    assert len(counted.runs) == 3
    assert dict(counted.left_out) == {("s2", "other data or weights than s1"): 3}


def test_a_study_of_which_nothing_counts_does_not_choose_the_data(tmp_path: Path) -> None:
    trials, curves = [{"epochs": 1, "best_epoch": 1}], [{"epoch": 1}]
    other = study(tmp_path / "a", trials=trials, curves=curves, fingerprint="other")
    counted = pool([other, three_seeds(tmp_path)], strict=True)
    assert len(counted.runs) == 3
    assert not any("other data" in reason for _, reason in counted.left_out)


def test_rows_that_do_not_know_the_last_epoch_are_compared_by_the_best_one() -> None:
    new, old = {"f1_weighted": "0.8", "last_f1_weighted": "0.7"}, {"f1_weighted": "0.9"}
    assert _of_test("f1_weighted", [new, new]) == ([0.7, 0.7], "last epoch")
    assert _of_test("f1_weighted", [new, old]) == ([0.8, 0.9], "best epoch")
    empty = {**old, "last_f1_weighted": ""}
    assert _of_test("f1_weighted", [empty, new]) == ([0.9, 0.8], "best epoch")


def transfer(folder: Path, seconds: float, epochs: int = 10, seed: int | None = None) -> Path:
    curves = [{"trial": 3, "epoch": 10, "val_accuracy": 0.76, "stage": "target"}]
    seed = int(seconds) if seed is None else seed
    study(folder, "cifar10_transfer", [{"trial": 3, "epochs": 10, "seed": seed}], curves)
    source = {"epochs": 10, "val_accuracy": 0.7, "best_val_accuracy": 0.71, "seconds": 25.0}
    target = {"epochs": epochs, "val_accuracy": 0.76, "best_val_accuracy": 0.77}
    content = {
        "trial": 3,
        "config": config("cifar10_transfer"),
        "source": source,
        "target": {**target, "seconds": seconds},
        "from_scratch": {"cut_short": False},
    }
    (folder / "transfer.json").write_text(json.dumps(content))
    return folder


def test_transfer_has_its_seconds_and_one_source(tmp_path: Path) -> None:
    folders = [transfer(tmp_path / "a", 2.0), transfer(tmp_path / "b", 4.0)]
    folders.append(transfer(tmp_path / "c", 90.0, epochs=9))  # another budget
    found = compared(*folders)
    source = of(found, "cifar10_transfer", "source", "val_accuracy")
    assert (source.ours, source.n, source.of) == (0.7, 1, "last epoch")
    assert of(found, "cifar10_transfer", "source", "best_val_accuracy").ours == 0.71
    assert of(found, "cifar10_transfer", "source", "train_seconds").ours == 25.0
    target = of(found, "cifar10_transfer", "target", "train_seconds")
    assert (target.ours, target.n, target.inside) == (3.0, 2, None)
    assert of(found, "cifar10_transfer", "target", "val_accuracy").n == 3


def test_a_target_trained_again_is_no_second_seed(tmp_path: Path) -> None:
    folders = [
        transfer(tmp_path / name, seconds, seed=seed)
        for name, seconds, seed in (("a", 2.0, 7), ("b", 4.0, 7), ("c", 9.0, 8))
    ]
    target = of(compared(*folders), "cifar10_transfer", "target", "train_seconds")
    assert (target.ours, target.n) == (6.0, 2)  # of 3.0 and 9.0
    one = of(compared(*folders[:2]), "cifar10_transfer", "target", "train_seconds")
    assert (one.ours, one.n, one.low) == (3.0, 1, None)


@pytest.mark.parametrize("changed", [{"trial": 4}, {"trial": None}])
def test_a_transfer_of_no_trial_of_the_study_is_damaged(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    path = transfer(tmp_path / "a", 2.0) / "transfer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(TrellisError, match=r"transfer\.json is damaged: run the study again"):
        pool([tmp_path / "a"], strict=True)


def test_a_source_trained_again_is_no_second_seed(tmp_path: Path) -> None:
    folders = [transfer(tmp_path / "a", 2.0), transfer(tmp_path / "b", 4.0)]
    path = folders[1] / "transfer.json"
    content = json.loads(path.read_text())
    content["source"] |= {
        "val_accuracy": 0.72,
        "seconds": 30.0,
    }  # another machine rounds otherwise
    path.write_text(json.dumps(content))
    counted = pool(folders, strict=True)
    found = list(lines(counted))
    source = of(found, "cifar10_transfer", "source", "val_accuracy")
    assert source.ours == pytest.approx(0.71)
    assert (source.n, source.low, source.inside) == (1, None, None)
    luck = (
        "all seeds share one source network per source configuration: its luck is in no interval"
    )
    assert f"cifar10_transfer: {luck}" in sections(found, counted)


def test_a_target_that_was_not_timed_alone_is_left_out(tmp_path: Path) -> None:
    """An earlier version took the seconds from the study's tables."""
    folders = [transfer(tmp_path / "a", 2.0), transfer(tmp_path / "b", 4.0)]
    path = folders[1] / "transfer.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"from_scratch": {"epochs": 3}}))
    counted = pool(folders, strict=True)
    found = list(lines(counted))
    target = of(found, "cifar10_transfer", "target", "train_seconds")
    assert (target.ours, target.n) == (2.0, 1)
    assert of(found, "cifar10_transfer", "target", "val_accuracy").n == 2  # its trial counts
    assert (
        "left out: transfer.json of b: it is of an earlier version, which timed the target beside "
        "other trials; going on with the study by --resume makes it anew"
    ) in sections(found, counted)


@pytest.mark.parametrize(
    "damaged",
    [
        {"config": None},
        {"source": {"epochs": 10, "val_accuracy": 0.7, "best_val_accuracy": 0.71}},  # no seconds
        {"target": 3},
        {"from_scratch": None},
    ],
)
def test_a_damaged_transfer_json(damaged: dict[str, Any], tmp_path: Path) -> None:
    folder = transfer(tmp_path / "a", 2.0)
    content = json.loads((folder / "transfer.json").read_text())
    (folder / "transfer.json").write_text(json.dumps(content | damaged))
    with pytest.raises(TrellisError, match=r"transfer\.json is damaged: run the study again"):
        pool([folder], strict=True)


def test_a_study_without_trials(tmp_path: Path) -> None:
    folder = three_seeds(tmp_path)
    (folder / "trials.csv").unlink()
    with pytest.raises(StudyFailed, match="no trial has been written yet"):
        pool([folder], strict=True)
    ((study_name, reason),) = pool([folder], strict=False).left_out
    assert study_name == "s1"
    assert "no trial has been written yet" in reason


def test_curves_that_lack_a_trial_leave_their_study_out_and_no_other(tmp_path: Path) -> None:
    whole, damaged = three_seeds(tmp_path), three_seeds(tmp_path, "s2")
    rows = (damaged / "curves.csv").read_text().splitlines(keepends=True)
    (damaged / "curves.csv").write_text("".join(rows[:-1]))
    with pytest.raises(StudyFailed, match=r"s2/curves\.csv has no epoch of trial 2: it is dam"):
        pool([damaged], strict=True)
    found = pool([damaged, whole], strict=False)
    ((name, reason),) = found.left_out
    assert (name, len(found.runs)) == ("s2", 3)
    assert "has no epoch of trial 2" in reason


# --- the command


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_seeds(tmp_path)
    three_seeds(tmp_path, "tried", kind="embedded")
    assert main(["--results-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    (row,) = [x for x in out.splitlines() if x.startswith("baseline  ") and "0.7594" in x]
    assert row.split() == [
        *("baseline", "val_accuracy", "0.7594", "0.7300", "0.6404", "to", "0.8196"),
        *("3", "yes", "last", "epoch"),
    ]
    assert "lenet_beans: ours of 1,034 training images\n" in out
    assert "95 % interval: of the mean, Student t over n seeds\n" in out
    assert "\ninside: the published number, of one run, lies where 95 % of single runs" in out
    assert "left out: 3 trials of tried: embedded data, not the real beans\n" in out
    place = f"--results-dir {tmp_path}"
    assert f"  python -m search.confirm lenet_beans-published {place}\n" in out
    assert "published test_accuracy of lenet_beans filters=12/32/240: not obtained" in out
    assert max(len(x) for x in out.splitlines() if not x.startswith("  python")) <= 110
    assert "numbers compared" in err


def test_csv_and_json_have_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = three_seeds(tmp_path)
    assert main([str(folder), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(read_reference())
    (row,) = [
        r for r in rows if (r["arm"], r["metric"]) == ("baseline", "val_accuracy") if r["ours"]
    ]
    assert float(row["ours"]) == pytest.approx(0.73)
    assert (row["n"], row["inside"], row["fill"]) == ("3", "True", "")
    assert main([str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["metric"] for r in told["rows"]] == [r["metric"] for r in rows]
    assert told["left_out"] == []


def test_mistakes_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three_seeds(tmp_path)
    assert main(["s2", "s3", "--results-dir", str(tmp_path)]) == 2
    lines_of = capsys.readouterr().err.splitlines()
    assert len(lines_of) == 2
    assert "no study 's2'" in lines_of[0]
    assert "no study 's3'" in lines_of[1]


def test_a_place_is_read_as_every_command_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three_seeds(tmp_path)
    for words in ([], ["s1"]):
        assert main([*words, "--results-dir", tmp_path.as_uri(), "--csv"]) == 0
        rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
        found = [r for r in rows if (r["arm"], r["metric"]) == ("baseline", "val_accuracy")]
        (ours,) = (float(r["ours"]) for r in found if r["ours"])
        assert ours == pytest.approx(0.73)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("nowhere/at/all", "--results-dir nowhere/at/all: there is no such folder"),
        ("s3://bucket/all", "--results-dir s3://bucket/all: name the studies of a store"),
    ],
)
def test_a_place_in_which_nothing_can_be_listed(
    place: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--results-dir", place]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"python -m analysis.published: {what}\n")


def test_experiments_all_have_rows() -> None:
    published = {name for name, each in EXPERIMENTS.items() if each.published is not None}
    assert len(published) >= 5
    assert {row.experiment for row in read_reference()} > published


def test_a_study_of_what_nobody_published_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.pool.arms", lambda _: [])
    counted = pool([three_seeds(tmp_path)], strict=True)
    assert counted.runs == []
    reason = "no published numbers: analysis/reference.csv has none of this experiment"
    assert dict(counted.left_out) == {("s1", reason): 3}


def test_two_configurations_on_one_seed_are_two_witnesses(tmp_path: Path) -> None:
    three = config("lenet_beans", kernel_size=3)
    trials = [{"trial": 0, "seed": 7}, {"trial": 1, "seed": 7, "config": three}]
    curves = [last(0, val_accuracy=0.7), last(1, val_accuracy=0.6)]
    found = compared(study(tmp_path / "s", trials=trials, curves=curves))
    assert of(found, "lenet_beans", "kernel_size=3", "val_accuracy").ours == 0.6
    assert of(found, "lenet_beans", "baseline", "val_accuracy").ours == 0.7


def test_each_metric_is_of_its_own_column(tmp_path: Path) -> None:
    ended = {"train_accuracy": 0.95, "train_loss": 0.11, "val_loss": 0.99}
    trials = [{"seed": 1, "val_accuracy": 0.77}]
    found = compared(
        study(tmp_path / "s", trials=trials, curves=[last(0, val_accuracy=0.71, **ended)])
    )
    assert of(found, "lenet_beans", "baseline", "train_accuracy").ours == 0.95
    mnist = study(
        tmp_path / "m",
        "mnist_cnn",
        [{"epochs": 15, "seed": 1}],
        [last(0, **ended | {"epoch": 15})],
    )
    assert of(compared(mnist), "mnist_cnn", "baseline", "train_loss_last_epoch").ours == 0.11
    transfer = study(
        tmp_path / "t",
        "cifar10_transfer",
        [{"epochs": 10, "seed": 1, "val_accuracy": 0.8}],
        [last(0, **{"epoch": 10, "val_accuracy": 0.7})],
    )
    line = of(compared(transfer), "cifar10_transfer", "target", "best_val_accuracy")
    assert (line.ours, line.of) == (0.8, "best epoch")


def test_a_confirmed_seed_counts_once_and_only_with_all_epochs(tmp_path: Path) -> None:
    one, two = three_seeds(tmp_path), three_seeds(tmp_path, "s2")
    whole = {"seed": 5, "last_test_accuracy": 0.6}
    confirm(one, "lenet_beans", [whole, {"seed": 6, "last_test_accuracy": 0.9, "epochs": 8}])
    confirm(two, "lenet_beans", [whole])
    line = of(compared(one, two), "lenet_beans", "baseline", "test_accuracy")
    assert (line.n, line.ours) == (1, 0.6)
