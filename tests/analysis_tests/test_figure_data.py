"""The data behind every figure of a report, on studies whose answers are worked out by hand."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from analysis.figures import (
    axes,
    best_so_far,
    confusion,
    costs,
    gap,
    importance,
    intervals,
    learning_curves,
    mistakes,
    parallel,
    parameters,
    savings,
    style,
)
from tests.analysis_tests.written import SPACE, frames


def test_best_so_far_goes_by_the_order_of_the_ends(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    ended = {0: 300.0, 1: 60.0, 2: 120.0, 3: 180.0, 4: 90.0, 5: 30.0}
    rows = best_so_far.data(trials, ended)
    # 5 failed first, 4 was infeasible third: they count as ended and are no points.
    assert rows["trial"].tolist() == [1, 2, 3, 0]
    assert rows["ended"].tolist() == [2, 4, 5, 6]
    assert rows["minutes"].tolist() == [1.0, 2.0, 3.0, 5.0]
    assert rows["best"].tolist() == [0.5, 0.8, 0.8, 0.8]
    assert set(rows["x_title"]) == {best_so_far.WALL}


def test_without_times_of_day_the_training_adds_up(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    rows = best_so_far.data(trials, {0: 5.0})  # not of every trial: of none
    assert rows["trial"].tolist() == [0, 1, 2, 3]
    assert (rows["minutes"] * 60).tolist() == pytest.approx([40, 50, 110, 130])
    assert rows["best"].tolist() == [0.7, 0.7, 0.8, 0.8]
    assert set(rows["x_title"]) == {best_so_far.SPENT}


def test_curves_of_one_stage_count_from_the_first_epoch(tmp_path: Path) -> None:
    told = [
        (0, 1, "train", 0.5, 0.6, 2.0),
        (0, 2, "train", 0.6, 0.7, 2.0),
        (2, 1, "train", 0.5, 0.8, 3.0),
        (6, 1, "train", 0.5, 0.95, 3.0),
    ]
    found = learning_curves.data(*frames(tmp_path, told), rungs=[1, 2, 6], last_stage=None)
    assert found.rows["x"].tolist() == [1, 2, 1, 1]
    # By accuracy among the finished: 2, 0, 3; the running trial has no rank.
    assert found.rows["rank"].tolist() == [2, 2, 1, 0]
    assert found.rows["last"].tolist() == [False, True, True, True]
    assert (found.rungs, found.staged) == ((1, 2), False)  # nobody came to 6


def test_curves_of_stages_count_from_the_begin_of_the_last(tmp_path: Path) -> None:
    told = [
        (0, 1, "head", 0.5, 0.6, 1.0),
        (0, 2, "head", 0.5, 0.6, 1.0),
        (0, 3, "finetune", 0.5, 0.7, 9.0),
        (1, 1, "head", 0.5, 0.4, 1.0),
        (1, 2, "finetune", 0.5, 0.5, 9.0),
        (2, 1, "head", 0.5, 0.8, 1.0),
    ]
    found = learning_curves.data(*frames(tmp_path, told), rungs=[2], last_stage="finetune")
    assert found.rows["x"].tolist() == [-1, 0, 1, 0, 1, 0]
    assert found.staged


def test_a_trial_that_did_not_come_to_the_last_stage_stands_in_its_first(tmp_path: Path) -> None:
    told = [
        (0, 1, "head", 0.5, 0.6, 1.0),
        (0, 2, "head", 0.5, 0.6, 1.0),
        (0, 3, "finetune", 0.5, 0.7, 9.0),
        (2, 1, "head", 0.5, 0.8, 1.0),
    ]
    planned = {0: 2, 2: 5}  # epochs of the head
    given = frames(tmp_path, told)
    found = learning_curves.data(*given, rungs=[2], last_stage="finetune", planned=planned)
    assert found.rows["x"].tolist() == [-1, 0, 1, -4]


def test_trials_of_one_epoch_are_points(tmp_path: Path) -> None:
    """Trials 0, 2 and 3 are the best; 1 and 6 stay: 1 was stopped, which has its own mark."""
    told = [(n, 1, "train", 0.5, 0.5 + n / 100, 1.0) for n in (0, 1, 2, 3, 6)]
    told += [(n, 2, "train", 0.5, 0.6, 1.0) for n in (0, 3)]
    curves = learning_curves.data(*frames(tmp_path, told), rungs=[], last_stage=None)
    traces = {each["name"]: each for each in learning_curves.charts(curves)[0]["data"]}
    modes = {name: each["mode"] for name, each in traces.items()}
    assert modes == {
        "stopped": "lines",
        "running": "markers",
        "stopped here": "markers",
        "#1: trial 2": "markers",
        "#2: trial 0": "lines",
        "#3: trial 3": "lines",
    }
    assert (traces["running"]["x"], traces["running"]["y"]) == ([1], [0.56])
    (drawn,) = learning_curves.draw(curves).axes
    points = [each.get_offsets().tolist() for each in drawn.collections]
    assert [[1.0, 0.56]] in points
    markers = {line.get_label(): line.get_marker() for line in drawn.lines}
    assert [markers[f"#{n}: trial {t}"] for n, t in ((1, 2), (2, 0))] == ["o", ""]


def test_axes_know_ranges_from_choices(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    kernel, rate, filters = parameters.data(trials, SPACE)
    assert (kernel.name, kernel.scale, kernel.choices) == ("kernel_size", "choices", ("3", "5"))
    assert kernel.rows["place"].tolist() == [1.0, 0.0, 0.0, 0.0]
    # Trial 3 has no rate.
    assert (rate.scale, rate.rows["trial"].tolist()) == ("log", [0, 1, 2])
    assert rate.rows["place"].tolist() == [0.001, 0.01, 0.1]
    # 3/8 before 12/32: by numbers, not by letters.
    assert (filters.scale, filters.choices) == ("choices", ("3/8", "12/32"))


def test_choices_that_differ_late_have_a_place_each() -> None:
    decays = [0.9999, 0.999, 0.99999, 0.99995]
    trials = pd.DataFrame(
        {"trial": range(4), "status": "completed", "val_accuracy": 0.5, "config.decay": decays}
    )
    axis = parameters.data(trials, {"decay": "0.999, 0.9999, 0.99995, 0.99999"})[0]
    assert axis.choices == ("0.999", "0.9999", "0.99995", "0.99999")
    assert axis.rows["place"].tolist() == [1.0, 0.0, 3.0, 2.0]


def test_whole_numbers_hover_whole() -> None:
    trials = pd.DataFrame(
        {"trial": [0, 1], "status": "completed", "val_accuracy": 0.5, "config.width": [16384, 7]}
    )
    texts = parameters.charts(parameters.data(trials, {}))[0]["data"][0]["text"]
    assert texts == ["trial 0: 16384<br>50.00%", "trial 1: 7<br>50.00%"]


def test_what_does_not_vary_has_no_axis(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    assert [axis.name for axis in parameters.data(trials[trials["trial"] == 2], SPACE)] == []
    threes = trials[trials["config.kernel_size"] == 3]
    assert [axis.name for axis in parameters.data(threes, SPACE)] == ["rate", "filters"]


@pytest.mark.parametrize(
    ("domain", "scale"),
    [
        ("0 to 0.6 in steps of 0.1", "linear"),
        ("whole numbers 5 to 20 in steps of 5", "linear"),
        ("1e-05 to 0.1 (log scale)", "log"),
        ("16, 32, 64", "choices"),
        (None, "linear"),
    ],
)
def test_the_words_of_a_domain_give_its_scale(domain: str | None, scale: str) -> None:
    assert axes.scale_of(pd.Series([0.1, 0.2]), domain) == scale


def test_points_of_a_choice_stay_in_its_room(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    kernel = parameters.data(trials, SPACE)[0]
    drawn = parameters.apart(kernel)
    off = [abs(x - place) for x, place in zip(drawn, kernel.rows["place"], strict=True)]
    assert max(off) <= 0.25
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-5, 0.1, [1e-5, 1e-4, 1e-3, 0.01, 0.1]),
        (5e-5, 5e-3, [1e-4, 1e-3]),
        (0.01, 0.1, [0.01, 0.02, 0.05, 0.1]),
        (3.0, 4.0, [3.0, 4.0]),
    ],
)
def test_log_axes_have_round_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert parameters.decades(low, high) == pytest.approx(ticks)


def trial(number: int, **params: object) -> FrozenTrial:
    known = {"a": FloatDistribution(0, 1), "b": CategoricalDistribution(["u", "v"]),
             "c": FloatDistribution(0, 1)}  # fmt: skip
    distributions = {name: known[name] for name in params}
    made = create_trial(params=dict(params), distributions=distributions, value=0.0)
    made.number = number
    return made


def test_importance_finds_what_decides() -> None:
    # Accuracy is a alone; b alternates, c only where b is v.
    made = [
        trial(n, a=n / 59, b="uv"[n % 2], **({"c": 0.3 + n / 100} if n % 2 else {}))
        for n in range(60)
    ]
    found = importance.data(made, {n: n / 59 for n in range(60)})
    assert (found.n, found.note) == (60, "")
    assert found.rows["name"].tolist()[0] == "a"
    table = found.rows.set_index("name")
    assert table["fanova"]["a"] > 0.9
    assert math.isnan(table["fanova"]["c"])  # not all trials have it
    assert found.rows["ped_anova"].sum() == pytest.approx(1)
    assert found.rows["fanova"].sum() == pytest.approx(1)


def test_importance_is_of_the_trials_that_are_given_alone() -> None:
    made = [trial(n, a=n / 9) for n in range(10)]
    found = importance.data(made, {n: n / 9 for n in range(6)})
    assert found.n == 6
    assert "only 6 completed trials: too few to rely on; 50 would do" in found.note
    assert not found.rows.empty


def test_importance_of_many_trials_and_choices_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 choices fANOVA's trees would walk a million boxes each."""
    asked: dict[str, Any] = {}

    class Evaluator(FanovaImportanceEvaluator):
        def __init__(self, **words: Any) -> None:
            asked.update(words)
            super().__init__(**words)

        def evaluate(self, study: Any, params: Any = None, *, target: Any = None) -> Any:
            asked.update(params=params, trials=len(study.get_trials()))
            return super().evaluate(study, params, target=target)

    monkeypatch.setattr("optuna.importance.FanovaImportanceEvaluator", Evaluator)
    kinds = {
        "a": FloatDistribution(0, 1),
        "b": CategoricalDistribution([str(i) for i in range(20)]),
    }
    made = []
    for n in range(130):
        each = create_trial(
            params={"a": n / 129, "b": str(n % 20)}, distributions=dict(kinds), value=0.0
        )
        each.number = n
        made.append(each)
    found = importance.data(made, {n: n / 129 for n in range(130)})
    assert asked == {"n_trees": 16, "seed": 0, "params": ["a"], "trials": 120}
    table = found.rows.set_index("name")
    assert table["fanova"]["a"] == 1.0
    assert math.isnan(table["fanova"]["b"])
    assert not math.isnan(table["ped_anova"]["b"])  # which costs nothing
    assert found.n == 130
    told = "with 13 choices at most. It is of 120 of these trials, drawn at random."
    assert found.about.endswith(told)
    fewer = importance.data(made[:120], {n: n / 129 for n in range(120)})
    assert fewer.about.endswith("with 13 choices at most.")


def test_trials_of_a_sample_may_all_be_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_TRIALS", 6)
    made = [trial(n, a=n / 59) for n in range(60)]
    chosen = random.Random(0).sample(range(60), 6)
    other = next(n for n in range(60) if n not in chosen)
    found = importance.data(made, {n: 0.9 if n == other else 0.3 for n in range(60)})
    assert found.rows["fanova"].isna().all()
    assert found.n == 60


def test_fanova_leaves_out_a_range_that_hangs_on_another_choice() -> None:
    """Of 0.1 and 0.01 as its end the forest would have no one box; PED-ANOVA takes both."""
    made = []
    for n in range(6):
        kind = "uv"[n % 2]
        kinds = {
            "b": CategoricalDistribution(["u", "v"]),
            "rate": FloatDistribution(0.001, 0.1 if kind == "u" else 0.01, log=True),
        }
        values = {"b": kind, "rate": 0.001 * (n + 1)}
        each = create_trial(params=values, distributions=kinds, value=0.0)
        each.number = n
        made.append(each)
    table = importance.data(made, {n: n / 9 for n in range(6)}).rows.set_index("name")
    assert table["fanova"]["b"] == 1.0  # it alone is left
    assert math.isnan(table["fanova"]["rate"])
    assert not table["ped_anova"].isna().any()


def test_what_a_sample_has_in_common_may_be_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no tree divides anything: c, which half of them have, was all that differed."""
    monkeypatch.setattr(importance, "_TRIALS", 6)
    chosen = random.Random(0).sample(range(60), 6)
    other = next(n for n in range(60) if n not in chosen)
    made = [
        trial(n, a=0.5 if n == other else 0.1, **({"c": n / 99} if n % 2 else {}))
        for n in range(60)
    ]
    found = importance.data(made, {n: n / 59 for n in range(60)})
    assert found.rows["name"].tolist() == ["c", "a"]
    assert found.rows["fanova"].isna().all()


def test_a_forest_that_finds_nothing_leaves_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Evaluator(FanovaImportanceEvaluator):
        def evaluate(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("Encountered zero total variance in all trees.")

    monkeypatch.setattr("optuna.importance.FanovaImportanceEvaluator", Evaluator)
    made = [trial(n, a=n / 9) for n in range(6)]
    assert importance.data(made, {n: n / 9 for n in range(6)}).rows["fanova"].isna().all()


@pytest.mark.parametrize(
    ("count", "accuracy", "a", "note"),
    [
        (0, 0.5, 0.5, "0 completed trials: at least 5 are needed"),
        (1, 0.5, 0.5, "1 completed trial: at least 5"),
        (6, 0.5, None, "all 6 completed trials have the same accuracy"),
        (6, None, 0.5, "all 6 completed trials have the same configuration"),
    ],
)
def test_importance_says_why_there_is_none(
    count: int, accuracy: float | None, a: float | None, note: str
) -> None:
    made = [trial(n, a=n / 9 if a is None else a) for n in range(count)]
    found = importance.data(
        made, {n: n / 9 if accuracy is None else accuracy for n in range(count)}
    )
    assert found.rows.empty
    assert found.note.startswith(note)


def test_parallel_coordinates(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    found = parallel.data(trials, SPACE)
    assert found.trials == (1, 3, 0, 2)  # the best is drawn last
    assert [each.name for each in found.coordinates] == [
        "kernel_size",
        "rate",
        "filters",
        "accuracy",
    ]
    kernel, rate, filters, accuracy = found.coordinates
    assert kernel.places.tolist() == [0, 0, 1, 0]
    # log10 of 0.01, none, 0.001, 0.1: none lies 0.15 x 2 below -3.
    assert rate.places.tolist() == pytest.approx([-2, -3.3, -3, -1])
    assert rate.ticks[0][1] == "none"
    assert [name for _, name in rate.ticks[1:]] == ["0.001", "0.0032", "0.01", "0.032", "0.1"]
    assert filters.ticks == ((0.0, "3/8"), (1.0, "12/32"))
    assert accuracy.places.tolist() == [0.5, 0.6, 0.7, 0.8]


def test_whole_numbers_have_their_own_ticks() -> None:
    rows = pd.DataFrame({"trial": range(4), "place": [5.0, 20.0, 10.0, 10.0]})
    axis = axes.ParameterAxis("head_epochs", "linear", rows)
    found = parallel._coordinate(axis, [0, 1, 2, 3])
    assert found.ticks == ((5.0, "5"), (10.0, "10"), (20.0, "20"))


@pytest.mark.parametrize(
    ("scale", "values", "names"),
    [
        # From 1000 to 1400 by hundreds: with two digits twice 1.2e+03, and 1.4e+03.
        ("linear", range(1000, 1401, 25), ["1000", "1100", "1200", "1300", "1400"]),
        # 1, 5.66 (6), 32, 181.02 (181), 1024: ticks lie at the whole numbers.
        ("log", [1, 2, 4, 8, 16, 64, 256, 512, 1024], ["1", "6", "32", "181", "1024"]),
        ("linear", [0.99901, 0.99905], ["0.99901", "0.99902", "0.99903", "0.99904", "0.99905"]),
        ("linear", [0.0, 0.5], ["0", "0.12", "0.25", "0.38", "0.5"]),
    ],
)
def test_ticks_read_as_the_numbers_that_they_are(
    scale: str, values: list[float], names: list[str]
) -> None:
    rows = pd.DataFrame({"trial": range(len(values)), "place": [float(v) for v in values]})
    ticks = parallel._coordinate(axes.ParameterAxis("width", scale, rows), list(rows.trial)).ticks
    assert [name for _, name in ticks] == names
    if names[1] == "6":
        assert ticks[1][0] == pytest.approx(math.log10(6))


def test_ticks_of_accuracies_that_differ_late_are_told_apart() -> None:
    trials = pd.DataFrame(
        {"trial": [0, 1], "status": "completed", "val_accuracy": [0.989, 0.9894], "config.a": 1}
    )
    ticks = parallel.data(trials, {}).coordinates[-1].ticks
    assert [name for _, name in ticks] == ["98.90%", "98.91%", "98.92%", "98.93%", "98.94%"]


def test_a_choice_named_none_is_not_that_of_trials_without_one() -> None:
    rows = pd.DataFrame({"trial": [0, 1], "place": [0.0, 1.0]})
    axis = axes.ParameterAxis("kind", "choices", rows, ("none", "l1"))
    ticks = parallel._coordinate(axis, [0, 1, 2]).ticks
    assert [name for _, name in ticks] == ["none", "none\u20262", "l1"]


def test_names_of_ticks_are_plain_text() -> None:
    """Plotly reads HTML in an axis's label, and none in its ticks."""
    trials = pd.DataFrame({"trial": [0, 1], "status": "completed", "val_accuracy": [0.5, 0.6]})
    trials["config.a&b"] = ["c&d", "e<f"]
    (chart,) = parallel.charts(parallel.data(trials, {}))
    first = chart["data"][0]["dimensions"][0]
    assert (first["label"], first["ticktext"]) == ("a&amp;b", ["c&d", "e<f"])


def test_long_names_stay_different() -> None:
    names = ["flip+transpose+rotation", "flip+transpose+zoom", "crop"]
    assert style.distinct(names, 12) == ["flip+transp\u2026", "flip+trans\u20262", "crop"]
    assert style.distinct(["bl\udce4tter"]) == [r"bl\udce4tter"]
    assert style.shorten("a\nb") == r"a\nb"


def test_costs(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    rows = costs.data(trials).set_index("trial")
    assert rows.index.tolist() == [0, 1, 2, 3, 4, 5]  # the running one has not ended
    assert rows.loc[2, ["minutes", "seconds_per_epoch", "memory_gib"]].tolist() == [
        1.0,
        15.0,
        0.75,
    ]
    assert math.isnan(rows["seconds_per_epoch"][5])  # no epoch
    assert math.isnan(rows["memory_gib"][5])


def test_one_seed_has_wilsons_interval(tmp_path: Path) -> None:
    trials, _ = frames(tmp_path)
    rows = intervals.searched(trials, 100, 2)
    assert rows["trial"].tolist() == [2, 0]
    # Wilson for 80 of 100 by hand: (p + z2/2n -+ z sqrt(pq/n + z2/4n2)) / (1 + z2/n), z 1.959964.
    assert rows["low"][0] == pytest.approx(0.71117, abs=1e-5)
    assert rows["high"][0] == pytest.approx(0.86663, abs=1e-5)
    assert intervals.title(rows) == "validation accuracy, one seed"
    assert intervals.searched(trials, None, 1)["low"].isna().all()


def test_seeds_of_one_configuration_are_put_together() -> None:
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2, 3, 4],
            "status": ["completed"] * 4 + ["failed"],
            "val_accuracy": [0.7, 0.8, 0.9, 0.85, float("nan")],
            "config.a": [1, 1, 1, 2, 2],
            "config.b": [float("nan")] * 5,
        }
    )
    rows = intervals.seeded(trials, 5)
    assert rows["label"].tolist() == ["trials 0-2", "trial 3 (1 of 3 seeds)"]
    assert rows["n"].tolist() == [3, 1]
    # 0.8 -+ t(0.975, 2) x 0.1 / sqrt 3, t = 4.302653
    assert rows["low"][0] == pytest.approx(0.8 - 4.302653 * 0.1 / math.sqrt(3))
    assert math.isnan(rows["low"][1])


def test_numbers_in_a_row_become_ranges() -> None:
    assert intervals.ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"


def test_confirmed_configurations_by_test_accuracy() -> None:
    nothing = {"sd": None, "low": None, "high": None}
    given = [
        {"configuration": 1, "trials": [4], "test_accuracy": {"mean": 0.7, "n": 1, **nothing}},
        {"configuration": 2, "trials": [5, 6], "published": True, "group": "ab",
         "test_accuracy": {"mean": 0.8, "sd": 0.1, "low": 0.75, "high": 0.85, "n": 2}},
    ]  # fmt: skip
    rows = intervals.confirmed(given)
    assert rows["label"].tolist() == ["configuration 2 (published)", "configuration 1"]
    assert rows["group"].tolist() == ["ab", ""]
    assert rows[["low", "high"]].to_numpy()[0].tolist() == [0.75, 0.85]
    assert math.isnan(rows["high"][1])
    assert intervals.title(rows) == "test accuracy"


def test_no_interval_passes_what_an_accuracy_can_be() -> None:
    """0.5 and 1.0: the mean 0.75 -+ 12.706 x 0.35355 / sqrt 2 is -2.43 to 3.93."""
    test = {"mean": 0.75, "sd": 0.35355, "low": -2.4266, "high": 3.9266, "n": 2}
    told = intervals.confirmed([{"configuration": 1, "test_accuracy": test}])
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "status": ["completed"] * 3,
            "val_accuracy": [0.5, 1.0, 0.25],
            "config.a": [1, 1, 2],
        }
    )
    for rows in (told, intervals.seeded(trials, 1)):
        assert rows[["accuracy", "low", "high"]].to_numpy().tolist() == [[0.75, 0.0, 1.0]]
        (trace,) = intervals.charts(rows)[0]["data"]
        assert (trace["error_x"]["array"], trace["error_x"]["arrayminus"]) == ([0.25], [0.75])
        assert trace["text"] == ["0.00% to 100.00%"]
        (axes,) = intervals.draw(rows).axes
        (segment,) = axes.collections[0].get_segments()
        assert segment[:, 0].tolist() == [0.0, 1.0]
    (trace,) = intervals.charts(intervals.seeded(trials, 2))[0]["data"]
    assert trace["text"] == ["0.00% to 100.00%", "no interval"]  # of the one seed of a = 2
    assert trace["error_x"]["array"] == [0.25, "none"]


def test_what_has_no_interval_has_no_whisker(tmp_path: Path) -> None:
    rows = intervals.searched(frames(tmp_path)[0], None, 2)
    (trace,) = intervals.charts(rows)[0]["data"]
    assert trace["error_x"]["arrayminus"] == ["none", "none"]
    (axes,) = intervals.draw(rows).axes
    assert not any(part.size for part in axes.collections[0].get_segments())
    ends = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "|"]
    assert np.isnan(ends).all()
    low, high = axes.get_xlim()  # of the points alone: 0.7 and 0.8
    assert 0.69 < low < 0.7 < 0.8 < high < 0.81


def test_the_gap_at_the_best_epoch(tmp_path: Path) -> None:
    told = [
        (2, 1, "train", 0.60, 0.55, 1.0),
        (2, 2, "train", 0.90, 0.80, 1.0),
        (2, 3, "train", 0.99, 0.80, 1.0),
        (0, 1, "train", 0.10, 0.99, 1.0),
    ]
    found = gap.data(frames(tmp_path, told)[1], 2)
    assert found is not None
    assert found.rows["gap"].tolist() == pytest.approx([0.05, 0.1, 0.19])
    assert found.best_epoch == 2  # the earliest of equals
    assert found.at_best == pytest.approx(0.1)
    assert gap.data(found.rows.assign(trial=2), 7) is None


def test_one_epoch_of_the_gap_is_two_points(tmp_path: Path) -> None:
    given = [(2, 1, "train", 0.60, 0.55, 1.0)]
    found = gap.data(frames(tmp_path, given)[1], 2)
    assert found is not None
    (drawn,) = gap.draw(found).axes
    assert [line.get_marker() for line in drawn.lines[:2]] == ["o", "o"]


def test_confusion_leaves_out_classes_that_are_not_there() -> None:
    labels, predicted = np.array([0, 0, 0, 3]), np.array([0, 0, 3, 3])
    found = confusion.data(labels, predicted, ["a", "b", "c", "d"])
    assert found.classes == ("a", "d")
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert found.shares.ravel().tolist() == pytest.approx([2 / 3, 1 / 3, 0, 1])
    assert found.accuracy == 0.75


def test_the_worst_pairs_of_classes() -> None:
    rows = [[8, 2, 0], [3, 0, 1], [2, 0, 18]]
    found = confusion.worst_pairs(confusion.from_counts(rows, ["a", "b", "c"]), 3)
    # Of two images each, those of a are 2 of its 10, those of c 2 of its 20.
    assert found == [("b", "a", 3, 0.75), ("a", "b", 2, 0.2), ("c", "a", 2, 0.1)]
    assert confusion.worst_pairs(confusion.from_counts([[3, 0], [0, 4]], ["a", "b"]), 9) == []


@pytest.mark.parametrize(("count", "named"), [(50, range(50)), (51, range(0, 51, 3))])
def test_of_many_classes_some_are_named(count: int, named: range) -> None:
    classes = [f"c{number}" for number in range(count)]
    labels = np.arange(count)
    with style.style():
        cell = confusion.draw(confusion.data(labels, labels, classes)).axes[0]
    assert [text.get_text() for text in cell.get_yticklabels()] == [f"c{at}" for at in named]
    assert cell.get_yticks().tolist() == list(named)


def test_mistakes_by_confidence() -> None:
    probabilities = np.array(
        [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], dtype=np.float32
    )
    rows = mistakes.data(probabilities, np.array([0, 0, 0, 1, 0]), ["x", "y"], most=2)
    # 0 and 3 are right; 1 and 4 are equally wrong, the lower index first; 2 is less sure.
    assert rows["image"].tolist() == [1, 4]
    assert rows["predicted"].tolist() == ["y", "y"]
    assert rows["truth"].tolist() == ["x", "x"]
    assert rows["confidence"].tolist() == pytest.approx([0.8, 0.8])
    assert rows["truth_probability"].tolist() == pytest.approx([0.2, 0.2])


def test_stopping_saves_what_was_planned(tmp_path: Path) -> None:
    told = [
        (1, 1, "head", 0.5, 0.5, 2.0),
        (1, 2, "finetune", 0.5, 0.5, 10.0),
        (3, 1, "head", 0.5, 0.5, 4.0),
    ]
    trials, curves = frames(tmp_path, told)
    planned = {0: 4, 1: 5, 2: 6, 3: 3}
    found = savings.data(trials, curves, planned, "finetune")
    assert found.rows["trial"].tolist() == [0, 1, 2, 3]
    # Trial 2 was completed: what it did not do was no stopping. 1 did 2 of 5, 3 did 1 of 3.
    assert found.rows["saved"].tolist() == [0, 3, 0, 2]
    # At 10 s, the pace of its last stage, and at 4 s, the only one that trial 3 has.
    assert found.rows["saved_s"].tolist() == [0, 30, 0, 8]
    assert (found.epochs, found.saved, found.saved_s) == (11, 5, 38)
    plain = savings.data(trials, curves, planned)
    assert plain.rows["saved_s"].tolist() == [0, 18, 0, 8]


def test_bars_of_many_trials_are_one_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"trial": [0, 2], "epochs": [3, 1], "saved": [0, 4], "saved_s": 0.0})
    with style.style():
        few = savings.draw(savings.Savings(rows)).axes[0]
        monkeypatch.setattr(style, "MANY", 1)
        many = savings.draw(savings.Savings(rows)).axes[0]
    assert (len(few.patches), len(few.collections)) == (4, 0)
    assert (len(many.patches), len(many.collections)) == (0, 2)
    boxes = [path.get_extents().extents for each in many.collections for path in each.get_paths()]
    # Left, bottom, right, top: trained ones from 0, the others on top of those.
    by_hand = [
        [-0.425, 0, 0.425, 3], [1.575, 0, 2.425, 1],
        [-0.425, 3, 0.425, 3], [1.575, 1, 2.425, 5],
    ]  # fmt: skip
    assert np.array(boxes) == pytest.approx(np.array(by_hand))
    same = [patch.get_bbox().extents for patch in few.patches]
    assert np.array(same) == pytest.approx(np.array(by_hand))
    assert few.get_xlim() == many.get_xlim()
    assert many.get_ylim()[0] == 0


@pytest.mark.parametrize("many", [False, True])
def test_marks_of_many_trials_are_a_picture(
    many: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        monkeypatch.setattr(style, "MANY", 1)
    told = [(n, e, "train", 0.5, 0.5, 2.0) for n in range(4) for e in (1, 2)]
    trials, curves = frames(tmp_path, told)
    with style.style():
        drawn = [
            best_so_far.draw(best_so_far.data(trials, {})),
            costs.draw(costs.data(trials)),
            parameters.draw(parameters.data(trials, SPACE)),
            learning_curves.draw(learning_curves.data(trials, curves, [1], None)),
        ]
        assert [("<image" in style.svg_of(each)) for each in drawn] == [many] * 4


def test_stored_activations_save_passes() -> None:
    found = savings.Activations(images=200, epochs=10, images_per_epoch=100, seconds=20.0)
    assert found.plain_images == 1000
    assert found.saved_epochs == 8.0
    assert found.saved_s == 80.0  # 0.1 s an image, 800 images
    assert savings.Activations(0, 10, 100, None).saved_s is None


def test_the_drawing_shortens_names_of_choices_and_no_numbers() -> None:
    trials = pd.DataFrame({"trial": [0, 1], "status": "completed", "val_accuracy": [0.5, 0.6]})
    trials["config.units"] = [1_000_000_001, 1_000_000_009]
    trials["config.kind"] = ["flip+transpose", "crop"]
    drawn = parallel.draw(parallel.data(trials, {}))
    texts = {text.get_text() for text in drawn.axes[0].texts}
    assert {"1000000001", "1000000009", "flip+tra\u2026", "crop"} <= texts
