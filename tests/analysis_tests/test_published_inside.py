"""Whether a published number, of one run, lies where single runs of ours would: by hand."""

from pathlib import Path

import pytest

from .studies import confirm, study
from .test_published import compared, last, of, three_seeds

PUBLISHED = 0.6953  # of lenet_beans as published, on the test split


@pytest.mark.parametrize(
    ("mean", "inside"), [(0.62, True), (0.605, True), (0.59, False), (0.785, True), (0.80, False)]
)
def test_inside_is_where_single_runs_would_lie(mean: float, inside: bool, tmp_path: Path) -> None:
    """sd 0.02, t(0.975, 2) = 4.303: the mean -+ 0.0497, single runs -+ 0.0994, twice as far."""
    folder = three_seeds(tmp_path)
    values = (mean - 0.02, mean, mean + 0.02)
    rows = [{"seed": 100 + n, "last_test_accuracy": value} for n, value in enumerate(values)]
    confirm(folder, "lenet_beans", rows)
    line = of(compared(folder), "lenet_beans", "baseline", "test_accuracy")
    assert line.published == PUBLISHED
    assert (line.low, line.high) == (
        pytest.approx(mean - 0.0497, abs=1e-4),
        pytest.approx(mean + 0.0497, abs=1e-4),
    )
    assert not mean - 0.0497 < PUBLISHED < mean + 0.0497  # and so never in that of the mean
    assert line.inside is inside


@pytest.mark.parametrize("value", [PUBLISHED, 0.7, 98 / 133])
def test_runs_that_gave_one_number_tell_nothing_of_others(value: float, tmp_path: Path) -> None:
    """Six have an interval of the mean, without a width: no other run would lie in it."""
    trials = [{"trial": n, "seed": n} for n in range(6)]
    folder = study(tmp_path / "s", trials=trials, curves=[last(n) for n in range(6)])
    rows = [{"trial": n, "seed": n, "last_test_accuracy": value} for n in range(6)]
    confirm(folder, "lenet_beans", rows)
    line = of(compared(folder), "lenet_beans", "baseline", "test_accuracy")
    assert (line.n, line.inside) == (6, None)
    assert line.low == pytest.approx(value)


def test_one_run_tells_nothing_of_others(tmp_path: Path) -> None:
    folder = three_seeds(tmp_path)
    confirm(folder, "lenet_beans", [{"seed": 100, "last_test_accuracy": PUBLISHED}])
    line = of(compared(folder), "lenet_beans", "baseline", "test_accuracy")
    assert (line.n, line.low, line.inside) == (1, None, None)


@pytest.mark.parametrize("metric", ["f1_weighted", "precision_weighted", "recall_weighted"])
def test_no_interval_of_a_share_passes_one(metric: str, tmp_path: Path) -> None:
    """0.98, 0.94, 0.99: mean 0.97, sd 0.026458, 0.97 -+ 4.303 x 0.026458 / sqrt(3)."""
    folder = study(tmp_path / "s", "mnist_cnn", [{"epochs": 15}], [last(0, epoch=15)])
    values = enumerate((0.98, 0.94, 0.99))
    confirm(folder, "mnist_cnn", [{"seed": n, metric: v, "epochs": 15} for n, v in values])
    line = of(compared(folder), "mnist_cnn", "baseline", metric)
    assert line.low == pytest.approx(0.97 - 0.06573, abs=1e-4)
    assert line.high == 1.0  # not 1.036
    assert line.inside is True  # 0.975
