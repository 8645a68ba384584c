"""What a forest answers for configurations between recorded ones, and how its noise is made."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import replay_best
from benchmarks.curve_files import Run, write_curves
from benchmarks.record_curves import FOLDER, configurations
from benchmarks.replay import main
from benchmarks.replay_answers import load
from benchmarks.replay_best import highest
from benchmarks.replay_forest import Forest
from benchmarks.replay_spread import Apart, Noise
from benchmarks.replay_table import best_accuracy
from benchmarks.replay_trees import Trees, features
from search.book import Assignment
from search.catalog import find
from search.domains import Domain
from search.errors import UsageError

from .test_replay import BASE, DOMAINS, FIXED, SPACE
from .test_replay import curve as run

EPOCHS = 5
FLAT = np.array([0.41, 0.5, 0.6, 0.6, 0.6])


def grown(config: dict[str, Any]) -> float:
    """The accuracy of a configuration: only the kernel size matters."""
    return {3: 0.3, 5: 0.5, 7: 0.1}[config["kernel_size"]]


@functools.cache
def forest(repeats: int = 2, count: int = 60) -> Forest:
    """Curves whose repeats lie 0.1 above and below; float32 takes three times the seconds."""
    runs = []
    for number, config in enumerate(configurations(find("lenet_beans"), FIXED, count)):
        for repeat in range(repeats):
            curve = FLAT + grown(config) - 0.2 + (0.1 if repeat else -0.1)
            slow = 3.0 if repeat else 1.0
            runs.append(run(number, repeat, config, curve, slow, ["bfloat16", "float32"][repeat]))
    return Forest(runs, DOMAINS, SPACE, "cpu_s")


def test_features_by_hand() -> None:
    known = {
        "word": Domain("word", ("a", "b", "a+c")),
        "size": Domain("size", (8, 2, 4)),
        "rate": Domain("rate", (), 1e-4, 1e-2, log=True),
        "drop": Domain("drop", (), 0.0, 0.5),
    }
    assert features(known, {"word": "a+c", "size": 4, "rate": 1e-3, "drop": 0.1}) == pytest.approx(
        [1, 0, 1, 1, 0.5, 0.2]
    )
    # Not in force is below every value.
    assert features(known, {"word": "b"}) == [0, 1, 0, -1, -1, -1]


@pytest.mark.parametrize("outputs", [1, 4])
def test_one_point_is_answered_as_sklearn_answers_it(outputs: int) -> None:
    rng = np.random.default_rng(0)
    points, targets = rng.random((80, 5)), rng.random((80, outputs))
    trees = Trees(points.tolist(), targets)
    asked = rng.random((30, 5))
    wanted = np.asarray(trees.predict(asked)).reshape(30, outputs)
    assert np.array([trees.at(point) for point in asked]) == pytest.approx(wanted, abs=1e-12)


def test_the_truth_is_the_mean_over_seeds_of_the_best_epoch() -> None:
    made = forest()
    # 0.6 + 0.5 - 0.2 with kernel 5; 0.1 above and below it are as likely.
    assert made.best == pytest.approx(0.9, abs=0.01)
    regrets = {k: made.regret({**BASE, "strength": 1e-3, "kernel_size": k}) for k in (3, 5, 7)}
    assert regrets == pytest.approx({3: 0.2, 5: 0.0, 7: 0.4}, abs=0.03)


def test_noise_is_as_wide_as_the_repeats_differ_and_the_seed_chooses_it() -> None:
    made = forest()
    config = {**BASE, "strength": 1e-3, "kernel_size": 3}
    found = [best_accuracy(made.run(Assignment(1, config, seed, -1.0))) for seed in range(200)]
    assert np.std(found) == pytest.approx(0.1, abs=0.01)  # two values 0.1 from their mean
    assert np.mean(found) == pytest.approx(0.7, abs=0.05)
    again = made.run(Assignment(1, config, 3, -1.0))
    assert best_accuracy(again) == found[3]


def test_each_seed_counts_at_a_best_epoch_of_its_own() -> None:
    config = {**BASE, "strength": 1e-3}
    # The mean curve is 0.5 throughout, but every seed is once at 0.7.
    first, second = [0.7, 0.3, 0.5], [0.3, 0.7, 0.5]
    made = Forest([run(0, 0, config, first), run(0, 1, config, second)], DOMAINS, SPACE, "cpu_s")
    assert made.best - made.regret(config) == pytest.approx(0.7)


def test_a_recorded_configuration_has_its_own_mean_and_others_are_apart_from_the_forest() -> None:
    configs = configurations(find("lenet_beans"), FIXED, 80)
    own = np.random.default_rng(0).choice([-0.09, 0.097], 80)  # which nothing of it tells
    means = [0.5 + each for each in own[:60]]  # thousandths: accuracies of 1,000 images
    runs = [run(n, r, configs[n], [means[n]] * 3) for n in range(60) for r in (0, 1)]
    made = Forest(runs, DOMAINS, SPACE, "cpu_s")
    truths = [made.best - made.regret(config) for config in configs]
    assert truths[:60] == pytest.approx(means, abs=0.0006)
    # A forest of the others would say about 0.5 of all, give or take 0.03; what it does not know
    # of one is about 0.1.
    assert np.std(truths[60:]) > 0.07
    assert [made.best - made.regret(config) for config in configs] == truths


def test_what_is_but_noise_of_few_seeds_does_not_set_configurations_apart() -> None:
    # Two seeds, of which the better one in accuracy has the lower loss; one epoch.
    noise = Noise([np.array([[[0.4], [2.0]], [[0.6], [1.0]]])] * 2)
    # 0.02 and 0.5 by n - 1, of a mean of two half of it.
    assert noise.of_a_mean.tolist() == pytest.approx([0.01, 0.25])
    predicted = np.array([[[0.5], [1.0]], [[0.5], [1.0]]])
    means = np.array([[[0.3], [2.0]], [[0.7], [0.0]]])
    apart = Apart(predicted, means, np.array([0.01, 0.75]))
    found = {tuple(apart.of(bytes([n]), 0.5)[:, 0].tolist()) for n in range(20)}
    # A quarter of 0.04, the mean square of what they differ, is noise; of 1.0 three quarters.
    (low, high) = sorted(found)
    assert low == pytest.approx((-0.2 * 0.75**0.5, 0.5))
    assert high == pytest.approx((0.2 * 0.75**0.5, -0.5))
    noisy = Apart(predicted, means, np.array([0.05, 2.0]))
    assert noisy.of(b"x", 0.5).tolist() == [[0.0], [0.0]]


def test_a_seed_is_not_lucky_for_all_configurations() -> None:
    noise = Noise([np.array([[[0.4], [2.0]], [[0.6], [1.0]]])])
    drawn = {key: [noise.draw(key, 0.5, seed)[:, 0] for seed in range(40)] for key in (b"a", b"b")}
    lucky = [[float(each[0]) > 0 for each in of_one] for of_one in drawn.values()]
    # What is drawn of the loss is of the same seed.
    assert all((each[0] > 0) == (each[1] < 0) for of_one in drawn.values() for each in of_one)
    assert lucky[0] != lucky[1]
    assert all(0 < sum(each) < 40 for each in lucky)
    assert noise.all(0.5)[:, 0].tolist() == pytest.approx(np.array([[-0.1], [0.1]]))


def test_accuracies_are_counts_of_images() -> None:
    found = forest().run(Assignment(1, {**BASE, "strength": 1e-3}, 5, -1.0))
    # All recorded ones are hundredths: the forest's means are rounded to hundredths, too.
    assert [row[3] for row in found.rows] == pytest.approx([round(r[3], 2) for r in found.rows])
    assert len({row[3] for row in found.rows}) > 1


def test_seconds_are_those_of_the_first_precision() -> None:
    made = forest()
    found = made.run(Assignment(1, {**BASE, "strength": 1e-3}, 0, -1.0))
    assert made.seconds(found) == pytest.approx([1.0] * EPOCHS, rel=0.02)
    assert made.run_s == pytest.approx(EPOCHS, rel=0.02)


def test_a_run_that_diverged_has_no_accuracy_from_there_on() -> None:
    configs = configurations(find("lenet_beans"), FIXED, 2)
    nothing = (float("nan"),) * 4 + (1.0, 1.0)
    short = Run(1, 0, configs[1], 10, (run(1, 0, configs[1], FLAT).rows[0], nothing))
    runs = [run(0, r, configs[0], FLAT) for r in (0, 1)]
    made = Forest([*runs, short], DOMAINS, SPACE, "cpu_s")
    low = made.run(Assignment(1, configs[1], 0, -1.0))
    high = made.run(Assignment(1, configs[0], 0, -1.0))
    assert low.rows[-1][3] < 0.35 < high.rows[-1][3]


def test_without_repeats_nothing_tells_how_seeds_differ() -> None:
    with pytest.raises(UsageError, match="recorded with two seeds"):
        forest(repeats=1)


def test_the_highest_of_a_sum_is_climbed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def truths(points: Any) -> Any:
        return 1.0 - np.abs(np.asarray(points) - 0.31).sum(axis=1)

    known = {name: Domain(name, (), 0.0, 1.0) for name in "abcdef"}

    def space(trial: Any) -> dict[str, Any]:
        return {name: trial.suggest_float(name, 0.0, 1.0) for name in known}

    monkeypatch.setattr(replay_best, "_DRAWN", 200)
    found = highest(space, known, truths, [[0.0] * 6])
    # The values tried are k / 39: 12 / 39 is nearest to 0.31.
    assert found == pytest.approx(1 - 6 * (0.31 - 12 / 39))


def test_the_command_answers_by_a_forest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay_best, "_DRAWN", 200)
    path = tmp_path / "curves.parquet"
    configs = configurations(find("lenet_beans"), FIXED, 8)
    runs = [run(i, r, c, FLAT + i / 20) for i, c in enumerate(configs) for r in (0, 1)]
    write_curves(path, runs, {"image_size": 64, "threads": 1})
    words = ["--samplers", "additive", "--stoppers", "asha", "--workers", "2", "--seeds", "2"]
    assert main([*words, "--curves", str(path)]) == 0
    assert "| additive | asha by accuracy and loss | 2 | " in capsys.readouterr().out
    answers, fixed = load(path, "forest")
    assert (answers.epochs, fixed) == (EPOCHS, {"image_size": 64})


def test_the_committed_recording_is_whole() -> None:
    made, _ = load(FOLDER / "lenet_beans.parquet", "forest")
    assert made.epochs == 20
    published = {n: v for n, v in {**BASE, "regularizer": "none"}.items() if n != "strength"}
    assert 0.0 < made.regret(published) < 0.2
    rows = made.run(Assignment(0, published, 0, -1.0)).rows
    assert all(round(row[3] * 133, 3) == round(row[3] * 133) for row in rows)  # of 133 images
