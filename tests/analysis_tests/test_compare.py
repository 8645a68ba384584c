"""Studies compared: numbers by hand, and a page that needs nothing else and shows no code."""

import html.parser
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from analysis.compare import main, sections
from analysis.compare_html import draw_accuracy, draw_curves, page
from analysis.compare_text import all_told, cell, measures, told
from analysis.comparison import compare, convergence
from search.errors import StudyFailed
from search.statistics import Summary

from .studies import config, confirm, study


def curve(trial: int, values: list[float], seconds: float) -> list[dict[str, Any]]:
    return [
        {"trial": trial, "epoch": n, "val_accuracy": value, "epoch_s": seconds}
        for n, value in enumerate(values, 1)
    ]


def lenet(folder: Path, name: str = "lenet", **options: Any) -> Path:
    """The best trial is number 1; 90 % of its last accuracy, 0.72, comes in its second epoch."""
    trials = [
        {"trial": 0, "val_accuracy": 0.6, "config": config("lenet_beans", dropout=0.2)},
        {"trial": 1, "val_accuracy": 0.85, "train_accuracy": 0.95, "seed": 5, "wall_s": 60.0},
    ]
    curves = curve(0, [0.6], 1) + curve(1, [0.5, 0.75, 0.85, 0.8], 10)
    return study(folder / name, "lenet_beans", trials, curves, **options)


def inception(folder: Path, **options: Any) -> Path:
    trials = [{"epochs": 20, "val_accuracy": 0.9, "train_accuracy": 0.92, "seed": 5}]
    return study(folder / "inception", "inception_beans", trials, curve(0, [0.9], 4), **options)


def opened(folder: Path, experiment: str, values: dict[int, float]) -> Path:
    """Confirm a study: by seed the test accuracy of the recommended configuration, number 2."""
    other = {"configuration": 1, "seed": 1, "trial": 9, "test_accuracy": 0.1}
    rows = [
        {
            "configuration": 2,
            "trial": trial,
            "seed": seed,
            "test_accuracy": value,
            "train_accuracy": 0.95,
        }
        for trial, (seed, value) in enumerate(values.items())
    ]
    confirm(folder, experiment, [other, *rows], recommended=2)
    trials = [{"trial": row["trial"], "seed": row["seed"], "wall_s": 30.0} for row in rows]
    curves = [each for row in rows for each in curve(row["trial"], [0.4, 0.5], 2)]
    study(folder / "confirm", experiment, trials, curves)
    return folder


# --- numbers


def test_one_study_by_hand(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path), inception(tmp_path)])
    side = found.sides[0]
    assert (found.split, side.trials, dict(side.accuracy)) == ("validation", [1], {5: 0.85})
    assert side.gap[5] == pytest.approx(0.10)
    assert (side.epochs_to, side.seconds_to) == ([2.0], [20.0])  # 0.75 >= 0.9 x 0.8
    assert (side.wall_s, side.parameters, side.peak_memory_mb) == ([60.0], 1000, 500.0)
    assert side.curves["seconds"].tolist() == [10, 20, 30, 40]
    assert side.config == config("lenet_beans")
    values = measures(side)
    assert values["validation accuracy"] == Summary(0.85, None, None, None, 1)
    assert values["of them trained"] == 900
    (warning,) = found.warnings
    assert warning.startswith("not confirmed: lenet, inception. All accuracies are of the valid")


def test_what_is_just_90_percent_of_the_final_accuracy_has_come() -> None:
    """In floating point 0.9 x 0.80 is greater than 0.72."""
    accuracies = [0.60, 0.72, 0.76, 0.80]
    assert 0.9 * 0.80 > 0.72
    own = pd.DataFrame({"epoch": range(1, 5), "seconds": [1.0, 3.0, 5.0, 7.0]})
    assert convergence(own.assign(val_accuracy=accuracies)) == (2.0, 3.0)
    below = [0.60, 0.7199, 0.76, 0.80]
    assert convergence(own.assign(val_accuracy=below)) == (3.0, 5.0)


def test_one_seed_each_has_no_interval(tmp_path: Path) -> None:
    (each,) = compare([lenet(tmp_path), inception(tmp_path)]).differences
    assert (each.first, each.other, each.how) == ("lenet", "inception", "single")
    assert each.summary.mean == pytest.approx(0.05)
    assert told(each) == (
        "inception minus lenet: +0.0500; one seed cannot tell whether that is chance"
    )


def test_confirmed_studies_with_the_same_seeds_are_paired(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {7: 0.70, 8: 0.72, 9: 0.68})
    two = opened(inception(tmp_path), "inception_beans", {9: 0.88, 8: 0.90, 7: 0.86})
    found = compare([one, two])
    assert (found.split, list(found.warnings)) == ("test", [])
    assert dict(found.sides[0].accuracy) == {7: 0.70, 8: 0.72, 9: 0.68}
    assert found.sides[0].gap[7] == pytest.approx(0.25)
    (each,) = found.differences
    # Differences by seed: 0.16, 0.18, 0.20. Mean 0.18, sd 0.02, t 4.303 / sqrt(3) x 0.02.
    assert (each.how, each.summary.n) == ("paired", 3)
    assert each.summary.mean == pytest.approx(0.18)
    assert each.summary.high == pytest.approx(0.18 + 4.303 * 0.02 / 3**0.5, abs=1e-5)
    assert told(each) == (
        "inception minus lenet: +0.1800 (95 % +0.1303 to +0.2297, paired over 3 seeds)"
    )


@pytest.mark.parametrize(("seeds", "apart"), [(2, False), (5, False), (6, True)])
def test_one_difference_again_and_again_is_chance_with_few_seeds(
    seeds: int, apart: bool, tmp_path: Path
) -> None:
    """2 of the 2^n ways to give n differences their signs: 1/16 for 5, 1/32 for 6."""
    one = opened(lenet(tmp_path), "lenet_beans", dict.fromkeys(range(seeds), 0.50))
    two = opened(inception(tmp_path), "inception_beans", dict.fromkeys(range(seeds), 0.51))
    found = compare([one, two])
    (each,) = found.differences
    assert told(each).endswith("cannot be told apart") is not apart
    assert ("no interval" in told(each)) is not apart
    value = measures(found.sides[0])["test accuracy"]
    assert cell("test accuracy", value) == ("0.5000 (0.5000 to 0.5000)" if apart else
                                            "0.5000 (no interval)")  # fmt: skip
    assert len(draw_accuracy(found).axes[0].lines) == 2 * (3 if apart else 2)


def test_of_three_studies_both_intervals_are_wider(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {7: 0.70, 8: 0.72, 9: 0.68})
    two = opened(inception(tmp_path), "inception_beans", {7: 0.86, 8: 0.90, 9: 0.88})
    # Other seeds, with variances of 0.005 and 0.0004: se = sqrt(0.005 / 2 + 0.0004 / 3).
    three = opened(lenet(tmp_path, "third"), "lenet_beans", {1: 0.60, 2: 0.70})
    found = compare([one, two, three])
    paired, unpaired = found.differences
    # 0.16, 0.18 and 0.20: t is 6.2053 for 97.5 % and 2 degrees of freedom.
    assert (paired.of_all, paired.level) == (2, 0.975)
    assert paired.summary.high == pytest.approx(0.18 + 6.2053 * 0.02 / 3**0.5, abs=1e-5)
    # (0.0025 + 0.000133)^2 / (0.0025^2 / 1 + 0.000133^2 / 2) = 1.1078 degrees of freedom: t of
    # 97.5 % and 1 is 25.452, of 2 it is 6.205.
    assert 6.205 * 0.0513 < unpaired.summary.high + 0.05 < 25.452 * 0.0514
    assert unpaired.summary.high + 0.05 > 12.7062 * 0.0513  # of 95 % and one degree of freedom
    lines = all_told(found.differences)
    assert lines[0].startswith("inception minus lenet: +0.1800 (97.5 % +0.1083 to +0.2517, pair")
    assert lines[2:] == [
        "intervals of these 2 differences are of 97.5 % each, so that all of them hold with 95 % "
        "(Bonferroni)"
    ]
    assert lines[2] in page(found)
    assert lines[2] in sections(found)
    assert len(all_told(compare([one, two]).differences)) == 1


def test_of_three_studies_without_an_interval_none_is_told(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path), inception(tmp_path), lenet(tmp_path, "third")])
    assert len(all_told(found.differences)) == len(found.differences) == 2


def test_six_seeds_that_agree_are_too_few_for_the_intervals_of_three_studies(
    tmp_path: Path,
) -> None:
    """2 of 2^6 is 0.031: below 0.05, not below 0.025."""
    each = {name: dict.fromkeys(range(6), 0.50 + n / 100) for n, name in enumerate("abc")}
    folders = [opened(lenet(tmp_path, n), "lenet_beans", own) for n, own in each.items()]
    assert [each.summary.low for each in compare(folders).differences] == [None, None]
    assert compare(folders[:2]).differences[0].summary.low is not None


def test_other_seeds_that_all_agree_have_no_interval(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.70})
    two = opened(inception(tmp_path), "inception_beans", {3: 0.75, 4: 0.75})
    (each,) = compare([one, two]).differences
    assert (each.how, each.summary.n, each.summary.low) == ("Welch", 2, None)
    assert told(each) == (
        "inception minus lenet: +0.0500 (unpaired, Welch: not all seeds are the same; few agree "
        "by chance: no interval): cannot be told apart"
    )


def test_six_other_seeds_that_all_agree_are_no_chance(tmp_path: Path) -> None:
    """As in each one's own interval: 2 of 2^6 is below 5 %."""
    one = opened(lenet(tmp_path), "lenet_beans", dict.fromkeys(range(6), 0.70))
    two = opened(inception(tmp_path), "inception_beans", dict.fromkeys(range(10, 16), 0.75))
    (each,) = compare([one, two]).differences
    assert each.how == "Welch"
    assert told(each) == (
        "inception minus lenet: +0.0500 (95 % +0.0500 to +0.0500, unpaired, Welch: not all seeds "
        "are the same)"
    )


@pytest.mark.parametrize("json_text", [None, {"recommended": None}])
def test_a_judging_that_was_interrupted_is_no_confirmation(
    json_text: dict[str, Any] | None, tmp_path: Path
) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {7: 0.70, 8: 0.72})
    two = opened(inception(tmp_path), "inception_beans", {7: 0.88, 8: 0.90})
    told_by = one / "confirm.json"
    if json_text is None:
        told_by.unlink()
    else:
        told_by.write_text(json.dumps({**json.loads(told_by.read_text()), **json_text}))
    found = compare([one, two])
    assert found.split == "validation"
    assert dict(found.sides[0].accuracy) == {5: 0.85}  # the best of the search
    assert found.warnings[0].startswith("not confirmed: lenet.")


def test_other_seeds_are_compared_unpaired(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.80})
    two = opened(inception(tmp_path), "inception_beans", {3: 0.75, 4: 0.85})
    (each,) = compare([one, two]).differences
    assert each.how == "Welch"
    assert each.summary.mean == pytest.approx(0.05)
    # Equal variances 0.005, two each: se = sqrt(0.005), 2 degrees of freedom.
    assert each.summary.high == pytest.approx(0.05 + 4.303 * 0.005**0.5, abs=1e-4)
    assert told(each).endswith(
        "unpaired, Welch: not all seeds are the same): cannot be told apart"
    )


def test_no_interval_passes_what_its_measure_can_be(tmp_path: Path) -> None:
    """Of 0.50 and 0.90 Student's t gives 0.70 -+ 12.706 x 0.2 = -1.84 to 3.24."""
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.50, 2: 0.90})
    two = opened(inception(tmp_path), "inception_beans", {1: 0.90, 2: 0.50})
    found = compare([one, two])
    values = measures(found.sides[0])
    assert cell("test accuracy", values["test accuracy"]) == "0.7000 (0.0000 to 1.0000)"
    name = "train minus test accuracy"  # 0.45 and 0.05: 0.25 -+ 2.54
    assert cell(name, values[name]) == "0.2500 (-1.0000 to 1.0000)"
    wide = Summary(2.0, 1.0, -7.0, 11.0, 2)
    for name in ("epochs to 90 % of the final accuracy", "seconds per trial"):
        assert cell(name, wide) == "2.0 (0.0 to 11.0)"
    (each,) = found.differences  # 0.4 and -0.4
    assert told(each).startswith("inception minus lenet: +0.0000 (95 % -1.0000 to +1.0000, paired")
    (axes,) = draw_accuracy(found).axes
    assert [list(line.get_xdata()) for line in axes.lines[2::3]] == [[0.0, 1.0], [0.0, 1.0]]


def test_one_closed_study_keeps_all_on_validation(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.80})
    found = compare([one, inception(tmp_path)])
    assert found.split == "validation"
    assert dict(found.sides[0].accuracy) == {1: 0.75, 2: 0.75}
    assert "not confirmed: inception." in found.warnings[0]
    # 0.75 is a mean over fresh seeds, 0.9 the best of a search: not alike.
    assert found.warnings[0].endswith(
        "optimistic; those of inception more so, where it chose the configuration, too. lenet: "
        "means over fresh seeds"
    )


def test_what_all_seeds_share_is_told(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.80})
    content = json.loads((one / "confirm.json").read_text())
    (one / "confirm.json").write_text(json.dumps(content | {"common_to_seeds": "one source"}))
    other = config("cifar10_transfer")
    trials = [{"trial": n, "seed": n, "epochs": 10, "config": other} for n in (0, 1)]
    curves = curve(0, [0.5], 1) + curve(1, [0.6], 1)
    swept = study(tmp_path / "swept", "cifar10_transfer", trials, curves, seeds=2)
    alone = study(tmp_path / "alone", "cifar10_transfer", trials, curves)
    warnings = compare([one, swept, alone]).warnings
    assert "lenet: all seeds share one source: its luck is in no interval" in warnings
    shared = "one source network per source configuration"
    assert f"swept: all seeds share {shared}: its luck is in no interval" in warnings
    assert not [each for each in warnings if each.startswith("alone")]  # one seed, no interval


def test_other_images_have_no_difference(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path), inception(tmp_path, fingerprint="other")])
    assert found.differences == []
    assert "other images than lenet's: inception" in found.warnings


def test_a_transfer_to_other_classes_is_judged_on_other_images(tmp_path: Path) -> None:
    def transfer(name: str, classes: str) -> Path:
        given = config("cifar10_transfer", source_classes="7", target_classes=classes)
        rows = [{"val_accuracy": 0.8, "config": given}]
        return study(tmp_path / name, "cifar10_transfer", rows, curve(0, [0.5], 1))

    one, other, again = transfer("one", "0,1"), transfer("other", "2,3"), transfer("again", "0,1")
    found = compare([one, other, again])
    assert [each.other for each in found.differences] == ["again"]
    assert "other images than one's: other" in found.warnings


def test_data_that_is_not_real_is_named(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path, kind="embedded"), inception(tmp_path)])
    assert found.warnings[0] == "lenet: embedded data, not the real beans"


def test_seeds_of_a_sweep_belong_together(tmp_path: Path) -> None:
    other = config("lenet_beans", dropout=0.2)
    trials = [
        {"trial": 0, "seed": 1, "val_accuracy": 0.8},
        {"trial": 1, "seed": 1, "val_accuracy": 0.79, "config": other},
        {"trial": 2, "seed": 2, "val_accuracy": 0.7},
        {"trial": 3, "seed": 3, "val_accuracy": 0.9, "status": "infeasible"},
    ]
    curves = [each for n in range(4) for each in curve(n, [0.5], 1)]
    folder = study(tmp_path / "sweep", "lenet_beans", trials, curves)
    side = compare([folder, inception(tmp_path)]).sides[0]
    assert dict(side.accuracy) == {1: 0.8, 2: 0.7}


def test_the_best_of_a_sweep_over_seeds_has_the_best_mean(tmp_path: Path) -> None:
    """One seed decides nothing: a single trial of the other configuration is the best of all."""
    values = {3: (0.80, 0.81, 0.79), 5: (0.90, 0.60, 0.62)}
    cases = [(kernel, *each) for kernel, row in values.items() for each in enumerate(row)]
    trials = [
        {
            "trial": number,
            "seed": seed,
            "val_accuracy": value,
            "config": config("lenet_beans", kernel_size=kernel),
        }
        for number, (kernel, seed, value) in enumerate(cases)
    ]
    curves = [each for n in range(6) for each in curve(n, [0.5], 1)]
    folder = study(tmp_path / "sweep", "lenet_beans", trials, curves, seeds=3)
    manifest = json.loads((folder / "study.json").read_text())
    manifest["budget"] |= {"sweep": {"kernel_size": [3, 5]}}
    (folder / "study.json").write_text(json.dumps(manifest))
    side = compare([folder, inception(tmp_path)]).sides[0]
    assert side.config["kernel_size"] == 3
    assert dict(side.accuracy) == {0: 0.80, 1: 0.81, 2: 0.79}


def test_a_study_in_which_nothing_ended(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", trials=[{"status": "running"}], curves=curve(0, [0.5], 1))
    with pytest.raises(StudyFailed, match=r"no trial of .* has finished: 1 trials: 1 running"):
        compare([folder, lenet(tmp_path)])


def test_a_trial_without_its_curve_is_told(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", trials=[{}], curves=curve(1, [0.5], 1))
    with pytest.raises(StudyFailed, match=r"s/curves\.csv has no epoch of trial 0: it is damaged"):
        compare([folder, lenet(tmp_path)])


def test_confirmed_trials_that_are_gone_are_not_looked_up_elsewhere(tmp_path: Path) -> None:
    """The search has trials of the same numbers: their curves are of other configurations."""
    one = opened(lenet(tmp_path), "lenet_beans", {7: 0.70, 8: 0.72})
    two = opened(inception(tmp_path), "inception_beans", {7: 0.88, 8: 0.90})
    shutil.rmtree(one / "confirm")
    lost = r"^\S*lenet/confirm/trials\.csv is missing: .* python -m search\.confirm \S*lenet$"
    with pytest.raises(StudyFailed, match=lost):
        compare([one, two])


@pytest.mark.parametrize(
    "trial",
    [
        {"trial": 1, "seed": 9},
        {"trial": 1, "seed": 8, "config": config("lenet_beans", dropout=0.2)},
        {"trial": 2, "seed": 8},
    ],
)
def test_trials_of_another_confirmation_are_told(trial: dict[str, Any], tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {7: 0.70, 8: 0.72})
    two = opened(inception(tmp_path), "inception_beans", {7: 0.88, 8: 0.90})
    shutil.rmtree(one / "confirm")
    curves = [each for n in range(3) for each in curve(n, [0.4], 2)]
    study(one / "confirm", "lenet_beans", [{"trial": 0, "seed": 7}, trial], curves)
    other = r"confirm/trials\.csv: trial 1 has another seed or configuration than in .*"
    with pytest.raises(StudyFailed, match=other):
        compare([one, two])


def test_a_confirmed_sweep_has_its_own_trials(tmp_path: Path) -> None:
    trials = [{"trial": n, "seed": seed, "wall_s": 30.0} for n, seed in enumerate((7, 8))]
    curves = [each for n in range(2) for each in curve(n, [0.4, 0.5], 2)]
    folder = study(tmp_path / "sweep", "lenet_beans", trials, curves, seeds=2)
    confirm(folder, "lenet_beans", [{**t, "test_accuracy": 0.7} for t in trials], recommended=1)
    two = opened(inception(tmp_path), "inception_beans", {7: 0.88, 8: 0.90})
    side = compare([folder, two]).sides[0]
    assert (side.split, dict(side.accuracy)) == ("test", {7: 0.7, 8: 0.7})
    assert side.seconds_to == [4.0, 4.0]  # 0.5 in the second epoch of two seconds


# --- the page


class Reader(html.parser.HTMLParser):
    """Collects tags, and everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_is_escaped(tmp_path: Path) -> None:
    folders = [lenet(tmp_path, "<b>$x & y"), inception(tmp_path)]
    text = page(compare(folders))
    reader = Reader()
    reader.feed(text)
    assert not {"script", "link", "img", "iframe", "b"} & set(reader.tags)
    assert reader.tags.count("svg") == 2
    assert all(each.startswith(("#", "http://www.w3.org/")) for each in reader.fetched)
    assert not re.search(r"url\((?!#)", text)
    assert "<b>$x & y and inception" in reader.text  # in the title, as text
    assert "warning" in text
    assert "not confirmed: <b>$x & y, inception" in reader.text


def test_what_the_figures_show(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path), inception(tmp_path)])
    (axes,) = draw_accuracy(found).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.85], [0.85], [0.9], [0.9]]
    by_epoch, by_second = draw_curves(found).axes
    assert list(by_epoch.lines[0].get_xdata()) == [1, 2, 3, 4]
    assert list(by_second.lines[0].get_xdata()) == [10, 20, 30, 40]
    assert list(by_second.lines[0].get_ydata()) == [0.5, 0.75, 0.85, 0.8]


def test_where_colours_come_again_lines_are_dashed(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path, f"s{n}") for n in range(8)])
    for panel in draw_curves(found).axes:
        looks = [(line.get_color(), line.get_linestyle()) for line in panel.lines]
        assert len(set(looks)) == 8
        assert [looks[6], looks[7]] == [(looks[0][0], "--"), (looks[1][0], "--")]
    named = draw_curves(found).axes[0].get_legend()
    assert named.get_lines()[6].is_dashed()
    assert not named.get_lines()[0].is_dashed()


# --- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lenet(tmp_path)
    inception(tmp_path)
    to = tmp_path / "new" / "c.html"
    words = ["lenet", "inception", "--results-dir", str(tmp_path), "--to", str(to)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    lines = {line[:37].strip(): line[37:].split() for line in out.splitlines()}
    assert lines["validation accuracy"] == ["0.8500", "0.9000"]
    assert lines["train minus validation accuracy"] == ["0.1000", "0.0200"]
    assert lines["epochs to 90 % of the final accuracy"] == ["2.0", "1.0"]
    assert lines["parameters"] == ["1,000", "1,000"]
    assert "inception minus lenet: +0.0500; one seed" in out
    text = " ".join(out.split())
    assert "seconds to an accuracy are of training and validating; seconds per trial" in text
    assert "seconds per trial are all from its start to its end" in text
    assert "Training accuracy is taken during the epoch" in text
    assert "what the finite number of images leaves open is not in" in text
    assert out.startswith("warning: not confirmed: lenet, inception.")
    assert str(to) in err
    assert to.read_text().startswith("<!doctype html>")
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["studies"][0]["measures"]["validation accuracy"]["mean"] == 0.85
    both = [each["measures"] for each in content["studies"]]
    to_90 = "seconds to 90 % of the final accuracy"
    assert [each[to_90]["mean"] for each in both] == [20, 4]
    assert [each["seconds per trial"]["mean"] for each in both] == [60, 100]
    assert [each["peak memory, MiB"] for each in both] == [500, 500]
    assert content["differences"][0]["how"] == "single"


@pytest.mark.parametrize(
    ("words", "count", "what"),
    [
        (["lenet"], 1, "two studies or more can be compared, but got lenet"),
        (["a", "b"], 2, "no study 'a' in"),
    ],
)
def test_mistakes(
    words: list[str], count: int, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--results-dir", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == count
    assert what in lines[0]


def test_a_study_is_not_compared_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lenet(tmp_path)
    assert main([folder.name, str(folder), "--results-dir", str(folder.parent)]) == 2
    assert "every study can be named once" in capsys.readouterr().err


def test_studies_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = lenet(tmp_path / "a"), lenet(tmp_path / "b")
    found = compare([one, two, inception(tmp_path)])
    assert [side.name for side in found.sides] == ["a/lenet", "b/lenet", "inception"]
    three = [lenet(tmp_path / each / "results") for each in ("one", "two")]
    sides = compare([*three, one]).sides
    assert [side.name for side in sides] == ["one/results/lenet", "two/results/lenet", "a/lenet"]
    assert (found.differences[0].first, found.differences[0].other) == ("a/lenet", "b/lenet")
    assert any("not confirmed: a/lenet, b/lenet, inception." in each for each in found.warnings)


def test_a_name_that_begins_with_a_line_is_in_the_legend(tmp_path: Path) -> None:
    found = compare([lenet(tmp_path, "_first"), inception(tmp_path)])
    legend = draw_curves(found).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["\u200b_first", "inception"]


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_name_that_is_no_utf_8_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(lenet(tmp_path, "bl\udce4tter")), str(inception(tmp_path))]
    assert main([*words, "--to", str(tmp_path / "page.html")]) == 0
    assert "inception minus bl\\udce4tter: +0.0500" in capsys.readouterr().out
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>bl\\udce4tter and inception</h1>" in text


def test_a_page_that_cannot_be_written_is_no_mistake_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("analysis.compare.replace_text", full)
    words = [str(lenet(tmp_path)), str(inception(tmp_path)), "--to", str(tmp_path / "page.html")]
    assert main(words) == 1
    assert "page.html: No space left on device" in capsys.readouterr().err


@pytest.mark.filterwarnings("error")  # of scipy, of a variance of 0
def test_welch_s_interval_by_hand(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.80})
    other = opened(inception(tmp_path), "inception_beans", dict.fromkeys((3, 4, 5, 6), 0.75))
    (found,) = compare([one, other]).differences
    # Variances 0.005 of 2 and 0 of 4: a standard error of sqrt(0.005 / 2) = 0.05, 1 degree of
    # freedom, for which Student's t has 12.7062.
    assert found.summary.high == pytest.approx(12.7062 * 0.05, abs=1e-4)
    # 98 / 133 has no exact sum: 1e-17 beside 0.005 is none either.
    odd = opened(lenet(tmp_path, "odd"), "lenet_beans", dict.fromkeys((3, 4, 5, 6), 98 / 133))
    (found,) = compare([one, odd]).differences
    assert found.summary.high == pytest.approx(98 / 133 - 0.75 + 12.7062 * 0.05, abs=1e-4)


def test_welch_s_interval_is_that_of_scipy(tmp_path: Path) -> None:
    given = {1: 0.70, 2: 0.80, 3: 0.81}, {4: 0.60, 5: 0.61, 6: 0.66, 7: 0.74}
    one = opened(lenet(tmp_path), "lenet_beans", given[0])
    other = opened(inception(tmp_path), "inception_beans", given[1])
    (found,) = compare([one, other]).differences
    values = [list(each.values()) for each in given]
    wanted = stats.ttest_ind(values[1], values[0], equal_var=False).confidence_interval(0.95)
    assert found.summary.low == pytest.approx(wanted.low)
    assert found.summary.high == pytest.approx(wanted.high)


def test_seeds_of_which_only_some_are_the_same_are_not_paired(tmp_path: Path) -> None:
    one = opened(lenet(tmp_path), "lenet_beans", {1: 0.70, 2: 0.80, 3: 0.90})
    other = opened(inception(tmp_path), "inception_beans", {1: 0.75, 2: 0.85})
    (found,) = compare([one, other]).differences
    assert found.how == "Welch"
    assert found.summary.mean == pytest.approx(0.0)  # 0.80 and 0.80; by pairs -0.05
