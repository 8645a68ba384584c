"""Configurations that lost a seed: their mean is of luckier ones, so they never come first."""

import html
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.comparison import compare
from analysis.figures import intervals
from analysis.report_best import best_section, tiles
from analysis.report_best_model import model_section
from analysis.report_gallery import Gallery
from analysis.report_study import read_study
from tests.analysis_tests.studies import config, confirm, study
from tests.analysis_tests.written import without_rendering

NAN = math.nan


def test_those_that_lost_a_seed_come_last() -> None:
    trials = pd.DataFrame(
        [
            (1, "completed", 0.90),
            (1, "infeasible", NAN),
            (1, "infeasible", 0.99),  # diverged after a good epoch
            (2, "completed", 0.60),
            (2, "stopped", 0.70),
            (2, "failed", NAN),  # nobody's plan: no sign of a bad configuration
            (3, "infeasible", NAN),
            (4, "completed", 0.95),
            (4, "infeasible", NAN),
        ],
        columns=["config.a", "status", "val_accuracy"],
    )
    trials.insert(0, "trial", range(9))
    rows = intervals.seeded(trials, 9)
    assert rows["label"].tolist() == [
        "trials 3-4",
        "trial 7 (1 seed infeasible)",
        "trial 0 (2 seeds infeasible)",
    ]
    assert rows["lost"].tolist() == [0, 1, 2]
    assert rows["n"].tolist() == [2, 1, 1]
    assert rows["accuracy"].tolist() == pytest.approx([0.65, 0.95, 0.90])
    assert intervals.seeded(trials, 1)["trial"].tolist() == [3]
    assert list(rows.columns) == list(intervals.searched(trials, 100, 1).columns)


def test_what_has_fewer_than_half_of_the_seeds_of_another_comes_behind() -> None:
    """Its trials failed: nobody's plan, but one seed says nothing beside five."""
    statuses = {1: ["completed"] * 5, 2: ["completed", *["failed"] * 4],
                3: [*["completed"] * 3, "failed", "failed"],
                4: ["completed", *["infeasible"] * 4]}  # fmt: skip
    means = {1: 0.80, 2: 0.99, 3: 0.70, 4: 0.98}
    trials = pd.DataFrame(
        [(c, status, means[c]) for c, own in statuses.items() for status in own],
        columns=["config.a", "status", "val_accuracy"],
    )
    trials.insert(0, "trial", range(20))
    rows = intervals.seeded(trials, 9)
    assert rows["label"].tolist() == [
        "trials 0-4",
        "trials 10-12",
        "trial 5 (1 of 5 seeds)",
        "trial 15 (4 seeds infeasible)",
    ]
    assert rows["few"].tolist() == [False, False, True, False]
    # Where all lost a seed, they are counted beside each other.
    all_lost = trials[trials["config.a"] == 4]
    more = all_lost.assign(**{"config.a": 5, "status": ["completed"] * 4 + ["infeasible"]})
    rows = intervals.seeded(pd.concat([all_lost, more.assign(trial=range(20, 25))]), 9)
    assert rows["label"].tolist() == [
        "trials 20-23 (1 seed infeasible)",
        "trial 15 (4 seeds infeasible) (1 of 5 seeds)",
    ]


def test_unsafe_ones_of_a_confirmation_come_last() -> None:
    def one(number: int, mean: float, **changed: Any) -> dict[str, Any]:
        test = {"mean": mean, "low": None, "high": None, "n": 1}
        return {"configuration": number, "test_accuracy": test, **changed}

    rows = intervals.confirmed(
        [
            one(1, 0.9, unsafe=True, published=True),
            one(2, 0.7, unsafe=False),
            one(3, 0.8),  # as older ones wrote it
            one(4, 0.9, few_seeds=True),
        ]
    )
    assert rows["label"].tolist() == [
        "configuration 3",
        "configuration 2",
        "configuration 4 (few seeds)",
        "configuration 1 (published) (unsafe)",
    ]
    assert rows["lost"].tolist() == [0, 0, 0, 1]
    assert rows["few"].tolist() == [False, False, True, False]
    assert rows.index.tolist() == [0, 1, 2, 3]


def sweep(folder: Path, *lost: int, seeds: int = 3, **options: Any) -> Path:
    """Kernels 3 and 5, better with 5; of those in `lost` the third seed was infeasible."""
    values = {3: (0.70, 0.72, 0.71), 5: (0.90, 0.92, 0.91)}
    cases = [(kernel, *each) for kernel, row in values.items() for each in enumerate(row)]
    trials = [
        {
            "trial": number,
            "seed": seed,
            "val_accuracy": value,
            "status": "infeasible" if seed == 2 and kernel in lost else "completed",
            "config": config("lenet_beans", kernel_size=kernel),
        }
        for number, (kernel, seed, value) in enumerate(cases)
    ]
    curves = [{"trial": number} for number in range(6)]
    return study(folder, "lenet_beans", trials, curves, seeds=seeds, **options)


LOST = "every configuration lost a seed: means of the others are too good"


@pytest.mark.parametrize(
    ("lost", "kernel", "warned"),
    [((), 5, False), ((5,), 3, False), ((3,), 5, False), ((3, 5), 5, True)],
)
def test_what_is_compared_lost_no_seed_if_there_is_such_a_one(
    lost: tuple[int, ...], kernel: int, warned: bool, tmp_path: Path
) -> None:
    found = compare([sweep(tmp_path / "s", *lost), sweep(tmp_path / "whole")])
    side = found.sides[0]
    assert side.config["kernel_size"] == kernel
    assert len(side.accuracy) == (2 if kernel in lost else 3)
    assert (f"s: {LOST}" in found.warnings) is warned


def test_what_is_compared_has_enough_seeds(tmp_path: Path) -> None:
    side = compare([one_of_three(tmp_path / "s"), sweep(tmp_path / "whole")]).sides[0]
    assert (side.config["kernel_size"], len(side.accuracy)) == (3, 3)


def one_of_three(folder: Path) -> Path:
    """A sweep whose better configuration has one seed left: the other two trials failed."""
    text = (sweep(folder) / "trials.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in text[5:]] == [["4", "completed"], ["5", "completed"]]
    failed = [line.replace("completed", "failed") for line in text[5:]]
    (folder / "trials.csv").write_text("\n".join([*text[:5], *failed]) + "\n")
    return folder


def said(folder: Path) -> str:
    gallery = Gallery(folder / "figures", lambda _: None)
    return str(best_section(read_study(folder), gallery, 5))


def test_the_report_says_what_all_seeds_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    trials = [{"trial": n, "seed": n, "epochs": 10, "val_accuracy": 0.7 + n / 20} for n in (0, 1)]
    curves = [{"trial": n, "epoch": 10} for n in (0, 1)]
    folder = study(tmp_path / "s", "cifar10_transfer", trials, curves, seeds=2)
    luck = "one source network per source configuration: its luck is in no interval."
    assert f"Student's t over seeds. All seeds share {luck}" in html.unescape(said(folder))
    assert "All seeds share" not in said(sweep(tmp_path / "lenet"))


def test_the_report_says_what_comes_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rendering(monkeypatch)
    few = "Those with fewer than half of the seeds of another come behind the others."
    lost = "Those that lost a seed come last."
    text = said(one_of_three(tmp_path / "few"))
    assert few in text
    assert lost not in text
    assert "trial 3 (1 of 3 seeds)" in text
    text = said(sweep(tmp_path / "lost", 5))
    assert few not in text
    assert lost in text


def test_the_number_of_a_sweep_is_the_mean_of_what_is_ranked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds each: 0.70 and 0.72, 0.60 and 0.80, which is the luckiest of all."""
    without_rendering(monkeypatch)
    kernels = (3, 3, 5, 5)
    trials = [
        {"trial": n, "val_accuracy": value, "config": config("lenet_beans", kernel_size=kernel)}
        for n, (kernel, value) in enumerate(zip(kernels, (0.70, 0.72, 0.60, 0.80), strict=True))
    ]
    curves = [{"trial": n, "epoch": 12} for n in range(4)]
    found = read_study(study(tmp_path / "s", trials=trials, curves=curves, seeds=2))
    # 0.71 -+ t(0.975, 1) x 0.01: 12.7062 x 0.014142 / sqrt 2 = 0.12706.
    text = str(tiles(found))
    assert "71.00%" in text
    assert "mean validation accuracy, ranked first" in text
    assert "trials 0-1, 2 seeds; 58.29% to 83.71%" in text
    assert "80.00%" not in text
    gallery = Gallery(tmp_path / "figures", lambda _: None)
    text = str(model_section(found, gallery, "no data"))
    told = "trial 3, the best single one and perhaps not of the configuration ranked first,"
    assert told in text


def test_a_search_loses_no_seeds(tmp_path: Path) -> None:
    found = compare([sweep(tmp_path / "s", 3, 5, seeds=1), sweep(tmp_path / "whole")])
    assert not [each for each in found.warnings if LOST in each]


def test_what_was_confirmed_is_not_warned_of(tmp_path: Path) -> None:
    """What is recommended was chosen with that in mind."""
    folder = sweep(tmp_path / "s", 3, 5)
    kernel = config("lenet_beans", kernel_size=3)
    rows = [
        {"trial": seed, "seed": seed, "val_accuracy": value, "config": kernel}
        for seed, value in enumerate((0.70, 0.72))
    ]
    confirm(folder, "lenet_beans", rows)
    assert json.loads((folder / "confirm.json").read_text())["recommended"] == 1
    found = compare([folder, sweep(tmp_path / "whole")])
    assert not [each for each in found.warnings if LOST in each]


def test_both_warnings_are_told(tmp_path: Path) -> None:
    found = compare([sweep(tmp_path / "s", 3, 5, kind="embedded"), sweep(tmp_path / "whole")])
    assert found.warnings[0] == f"s: embedded data, not the real beans; {LOST}"
