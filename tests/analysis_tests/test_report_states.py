"""Reports of studies in every odd state: what they say where there is nothing to show.

Drawings are made and not rendered, which takes most of a report's time; the slow test renders.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write_report
from analysis.report_best import interval
from analysis.report_study import ReportedStudy, read_study
from search.catalog import find
from search.errors import StudyFailed
from tests.analysis_tests.written import (
    FOUR_CURVES,
    TRIALS,
    curves_text,
    folder,
    trials_text,
    without_rendering,
)
from trainables.errors import TrellisError


@pytest.fixture(autouse=True)
def _no_rendering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "slow" not in request.keywords:
        without_rendering(monkeypatch)


def made(root: Path) -> str:
    path = write_report(root, tell=lambda _: None, with_model=False)
    return path.read_text(encoding="utf-8")


def drawn(root: Path) -> set[str]:
    return {path.stem for path in (root / "figures").glob("*.png")}


def state(tmp_path: Path, rows: Any, curves: str = FOUR_CURVES, **manifest: Any) -> str:
    return made(folder(tmp_path, trials_text(rows), curves, **manifest))


def test_running_without_a_finished_trial(tmp_path: Path) -> None:
    text = state(tmp_path, TRIALS[6:], curves_text([(6, 1, "train", 0.5, 0.95, 1.0)]))
    assert "none yet" in text
    assert "No trial has finished yet: there is nothing to compare." in text
    assert "there is no best model" in text
    assert "1 trial running or interrupted" in text
    assert drawn(tmp_path / "written") == {"learning_curves"}


def test_a_space_of_fewer_configurations_than_trials_is_finished_with_them(tmp_path: Path) -> None:
    defaults = find("lenet_beans").defaults()
    # Three kernel sizes are left to search; asked for were 24 trials.
    held = {name: value for name, value in defaults.items() if name != "kernel_size"}
    budget = {"trials": 24, "max_epochs": 4, "rungs": [1, 2], "seed": 0, "fixed": held}
    text = state(tmp_path, TRIALS[:3], budget=budget, defaults=defaults)
    assert "3 of 3" in text
    assert "of 24" not in text


def test_before_the_first_trial(tmp_path: Path) -> None:
    text = state(tmp_path, (), curves_text([]))
    assert "No epoch has been trained yet." in text
    assert not drawn(tmp_path / "written")


def test_one_trial(tmp_path: Path) -> None:
    text = state(tmp_path, TRIALS[:1])
    assert "70.00%" in text
    assert "do not differ in any hyperparameter" in text
    assert {"best_configurations", "best_so_far", "learning_curves"} <= drawn(tmp_path / "written")


def test_all_infeasible(tmp_path: Path) -> None:
    text = state(tmp_path, TRIALS[4:5])
    assert "diverged: epoch 2" in text
    assert "Infeasible and failed trials" in text
    assert "none yet" in text


def test_a_sweep_on_several_seeds(tmp_path: Path) -> None:
    rows = [(n, "completed", 2, 0.6 + n / 100, 9.0, 100, "", n // 3, 0.1, "3/8") for n in range(6)]
    budget = {"trials": 6, "max_epochs": 2, "sweep": ["kernel_size"], "seeds": 3, "rungs": []}
    text = state(tmp_path, rows, budget=budget)
    assert "trials 3-5" in text
    assert "64.00%" in text  # the mean of 63, 64 and 65 %
    assert "a sweep of kernel_size, one at a time, 3 seeds each" in text


def test_a_search_that_was_warm_started(tmp_path: Path) -> None:
    warm = [{"study": "older", "trial": 3, "config": {}}]
    text = state(tmp_path, TRIALS, budget={"trials": 7, "max_epochs": 4, "warm_start": warm})
    assert "warm start, trials 1 from older trial 3" in text


def test_stages_and_stored_activations(tmp_path: Path) -> None:
    names = ("unfreeze_blocks", "head_epochs", "finetune_epochs")
    rows = [
        (0, "completed", 4, 0.8, 9.0, 100, "", 2, 2, 2),
        (1, "stopped", 3, 0.7, 9.0, 100, "", 2, 2, 6),
        (2, "completed", 2, 0.6, 9.0, 100, "", 0, 2, ""),
    ]
    stages = [(0, e, "head" if e < 3 else "finetune", 0.5, 0.5, 1.0) for e in (1, 2, 3, 4)]
    stages += [(1, e, "head" if e < 3 else "finetune", 0.5, 0.5, 10.0) for e in (1, 2, 3)]
    root = folder(
        tmp_path, trials_text(rows, names), curves_text(stages), experiment="inception_beans",
        budget={"trials": 3, "max_epochs": 20, "rungs": [1]},
        shared_work={"cuts": ["pool"], "images": 106, "seconds": 10.6},
    )  # fmt: skip
    text = made(root)
    assert "Epochs count from the begin of stage finetune" in text
    # Trial 1 was planned for 2 + 6 epochs and did 3, at 10 s each.
    assert "Early stopping saved 5 of 14 epochs (36%), about 0:50" in text
    # 7 epochs of 106 images, of which 106 were run: 6 epochs' worth at 0.1 s an image.
    assert "106 images went through frozen layers instead of 742 (7 epochs)" in text
    assert "6.0 epochs&#x27; worth of frozen passes saved, about 1:04" in text


def test_a_transfer_has_an_unknown_number_of_images(tmp_path: Path) -> None:
    names = ("target_classes",)
    rows = [
        (0, "completed", 2, 0.7, 9.0, 100, "", "5"),
        (1, "completed", 2, 0.6, 9.0, 100, "", "6"),
    ]
    root = folder(tmp_path, trials_text(rows, names), FOUR_CURVES, experiment="cifar10_transfer")
    assert read_study(root).validation_images is None
    text = made(root)
    assert "trial 0, one seed; no interval" in text
    assert "No interval: it is not known how many validation images there were." in text
    assert "Wilson" not in text


def test_a_confirmed_study(tmp_path: Path) -> None:
    root = folder(tmp_path, trials_text(), FOUR_CURVES)
    spread = {"mean": 0.8, "sd": 0.01, "low": 0.775, "high": 0.825, "n": 3}
    one = {
        "configuration": 1, "published": False, "config": {"kernel_size": 3}, "trials": [0, 1, 2],
        "parameters": 1000, "epoch_s": 2.5, "val_accuracy": spread | {"mean": 0.78},
        "test_accuracy": spread, "wilson": {"low": 0.7, "high": 0.9}, "optimism": 0.02,
        "group": "a",
    }  # fmt: skip
    two = one | {
        "configuration": 2,
        "published": True,
        "config": {"kernel_size": 5},
        "group": "ab",
    }
    told = {"seeds": 3, "opened": ["2026-01-01", "2026-01-02"], "test_images": 128,
            "recommended": 1, "configurations": [one, two]}  # fmt: skip
    (root / "confirm.json").write_text(json.dumps(told))
    text = made(root)
    assert "80.00%" in text
    assert "77.50% to 82.50%, 3 seeds" in text
    assert "+2.00%" in text
    assert "The test split was opened 2 times: 2026-01-01, 2026-01-02." in text
    assert text.index("recommended</span>") < text.index("published</span>")
    assert "expect less on new images" not in text
    assert "Letters: groups; configurations that share a letter cannot be told apart." in text
    (root / "confirm.json").write_text(json.dumps(told | {"groups": "like the best"}))
    assert "Letters: groups; group a cannot be told apart from the best mean" in made(root)
    agreed = one | {"test_accuracy": {**one["test_accuracy"], "low": None, "high": None}}
    (root / "confirm.json").write_text(json.dumps(told | {"configurations": [agreed, two]}))
    assert "no interval, 3 seeds" in made(root)


def test_of_confirmed_ones_those_that_lost_a_seed_come_last(tmp_path: Path) -> None:
    root = folder(tmp_path, trials_text(), FOUR_CURVES)
    spread = {"mean": 0.9, "sd": 0.01, "low": 0.875, "high": 0.925, "n": 3}
    lost = {"configuration": 1, "config": {"kernel_size": 3}, "test_accuracy": spread,
            "published": True, "unsafe": True}  # fmt: skip
    whole = {"configuration": 2, "config": {"kernel_size": 5}, "unsafe": False,
             "test_accuracy": spread | {"mean": 0.8, "low": 0.775, "high": 0.825}}  # fmt: skip
    few = lost | {"configuration": 3, "unsafe": False, "few_seeds": True, "published": False}
    told = {"test_images": 128, "recommended": 2, "configurations": [lost, few, whole]}
    (root / "confirm.json").write_text(json.dumps(told))
    text = made(root)
    assert text.index("recommended</span>") < text.index("few seeds</span>")
    assert text.index("few seeds</span>") < text.index("published, unsafe</span>")
    assert text.index("recommended</span>") < text.index("published, unsafe</span>")


def test_an_interval_ends_where_accuracies_do() -> None:
    """Of two seeds that differ, Student's t passes what an accuracy can be."""
    assert interval(-0.1995, 1.2829) == "0.00% to 100.00%"
    assert interval(0.775, 0.825) == "77.50% to 82.50%"
    assert interval(0.82344, 0.82344) == "82.34% to 82.34%"  # the mean of seeds that agree


def test_a_damaged_confirmation_is_told(tmp_path: Path) -> None:
    root = folder(tmp_path, trials_text(), FOUR_CURVES)
    (root / "confirm.json").write_text("{}")
    with pytest.raises(TrellisError, match=r"confirm\.json is damaged: it has no configurations"):
        made(root)


def test_without_trials_there_is_nothing_to_report(tmp_path: Path) -> None:
    root = folder(tmp_path, trials_text(), FOUR_CURVES)
    (root / "trials.csv").unlink()
    with pytest.raises(StudyFailed, match="no trial has been written yet"):
        made(root)


def test_a_later_report_removes_what_it_has_no_data_for(tmp_path: Path) -> None:
    root = folder(tmp_path, trials_text(), FOUR_CURVES)
    made(root)
    assert "parameters" in drawn(root)
    (root / "figures" / "mine.png").touch()
    (root / "trials.csv").write_text(trials_text(TRIALS[:1]))
    made(root)
    assert "parameters" not in drawn(root)
    assert (root / "figures" / "mine.png").exists()


SWEEP = [(n, "completed", 2, 0.6, 9.0, 100, "", n // 3, 0.1, "3/8") for n in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows", [(), TRIALS[6:], TRIALS[:1], TRIALS[3:4], TRIALS[4:5], TRIALS[5:6], SWEEP, TRIALS]
)
def test_every_state_can_be_rendered(tmp_path: Path, rows: Any) -> None:
    root = folder(tmp_path, trials_text(rows), FOUR_CURVES)
    assert "</html>" in made(root)
    pictures = list((root / "figures").glob("*.png"))
    assert all(path.stat().st_size > 1000 for path in pictures)
    assert bool(pictures) == any(row[1] != "running" for row in rows)  # FOUR_CURVES has none of 6


@pytest.mark.parametrize("configurations", [[], [{"rate": 0.1}]])
def test_the_first_trial_of_a_list_is_not_the_published_one(
    configurations: list[Any], tmp_path: Path
) -> None:
    budget = {"trials": 1, "max_epochs": 4, "configurations": configurations}
    text = state(tmp_path, TRIALS[:1], budget=budget)
    assert ('<span class="mark">published</span>' in text) is not bool(configurations)


def test_the_published_trial_says_what_the_search_held(tmp_path: Path) -> None:
    budget = {"trials": 1, "max_epochs": 4, "fixed": {"image_size": 64}}
    text = state(tmp_path, TRIALS[:1], budget=budget)
    assert '<span class="mark">published, but for image_size</span>' in text


def test_what_is_not_in_force_is_no_difference() -> None:
    defaults = find("lenet_beans").defaults()
    budget = {"fixed": {"strength": 0.001, "image_size": 64}}
    manifest = {"experiment": "lenet_beans", "defaults": defaults, "budget": budget}
    nothing: Any = None
    made = ReportedStudy(nothing, manifest, nothing, nothing, (), None, ())
    assert made.as_published == "published, but for image_size"
