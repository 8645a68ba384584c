"""What each configuration gets: of a GPU by its predicted memory, else the same for all."""

import importlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from search import shares
from search.catalog import find
from search.resources import Machine, Resources, allot
from search.room import Memory, gpu_room_mb
from search.runner import _drawn_ahead
from search.shares import Share, Shares
from spaces import inception_beans, lenet_beans
from trainables import memory
from trainables.budget import Budget
from trainables.shapes import published

GPU_MB = 16_384.0
AUTO = Resources(1, 1.0, 8, None, GPU_MB)


def job(experiment: str) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "data": published("beans"),
        "max_epochs": 2,
        "device": "cuda",
        "precision": "bfloat16",
        "weights": None,
    }


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        (Resources(1, 0.0, 2, 900.0), Share(0.0, 900.0)),
        (Resources(1, 0.0, 2), Share(0.0, None)),
        (Resources(1, 0.25, 4, 3000.0), Share(0.25, 3000.0)),
    ],
)
def test_without_a_gpu_to_divide_all_get_the_same(resources: Resources, share: Share) -> None:
    assert Shares(resources, {}).of({"any": "thing"}) == share


def test_the_share_follows_the_configuration() -> None:
    of_lenet, of_inception = (Shares(AUTO, job(n)) for n in ("lenet_beans", "inception_beans"))
    small = of_lenet.of({**lenet_beans.DEFAULTS, "image_size": 64})
    largest = of_lenet.of({**lenet_beans.DEFAULTS, "filters": "12/32/240", "batch_size": 128})
    deep = of_inception.of({**inception_beans.DEFAULTS, "unfreeze_blocks": 6, "batch_size": 64})
    assert small == Share(0.125, gpu_room_mb(GPU_MB, 0.125))  # eight of them on one GPU
    assert small.gpus < largest.gpus
    assert small.gpus < deep.gpus
    budget = Budget(2, device="cuda", precision="bfloat16")
    config = {**lenet_beans.DEFAULTS, "filters": "12/32/240", "batch_size": 128}
    module = importlib.import_module("trainables.lenet_beans")
    need = memory.predict(module, config, published("beans"), budget).mb
    assert largest.memory_mb is not None
    assert largest.memory_mb >= need


def test_a_configuration_that_cannot_be_predicted_gets_a_whole_gpu_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An experiment of one's own may refuse it; the trial tells so, and the study goes on."""

    def refuse(*_: object) -> None:
        raise ValueError("no such width")

    monkeypatch.setattr(memory, "predict", refuse)
    of = Shares(AUTO, job("lenet_beans")).of
    assert [of({"width": 3}), of({"width": 3})] == [Share(1.0, None)] * 2
    told = "memory not predicted, so a whole GPU for {'width': 3}: ValueError('no such width')"
    assert capsys.readouterr().err.count(told) == 1


@pytest.mark.parametrize(
    ("concurrent", "gpus", "need", "share"),
    [
        # 24 GiB are 23,552 MiB for trials: a share of that, less 600, on 1.25.
        (4, 4, 500.0, Share(1.0, 18_361.6)),
        (32, 4, 500.0, Share(0.125, 1_875.2)),
        (32, 4, 5000.0, Share(0.3333, 5_799.9)),  # which needs more than an eighth
        (4, 1, 500.0, Share(0.0833, 1_089.5)),  # one GPU is filled: a twelfth, whatever runs
    ],
)
def test_several_gpus_share_the_trials(
    concurrent: int, gpus: int, need: float, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "predict", lambda *_: SimpleNamespace(mb=need))
    given = Shares(Resources(1, 1.0, concurrent, None, 24_576.0, gpus=gpus), job("lenet_beans"))
    assert tuple(given.of({})) == pytest.approx(tuple(share), abs=0.1)


def test_a_few_trials_are_spread_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 could run at once, but there are 12, three for each of 4 GPUs."""
    monkeypatch.setattr(memory, "predict", lambda *_: SimpleNamespace(mb=500.0))
    machine = Machine(64, 4, gpu_mb=24_576.0)
    few, many = (allot(machine, None, None, None, trials=n) for n in (12, 64))
    assert Shares(few, job("lenet_beans")).of({}).gpus == 0.3333
    assert Shares(many, job("lenet_beans")).of({}).gpus == 0.0833  # as memory has it


def test_a_configuration_is_predicted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = memory.predict

    def counting(*given: Any) -> Any:
        seen.append(given)
        return real(*given)

    monkeypatch.setattr(memory, "predict", counting)
    given = Shares(AUTO, job("lenet_beans"))
    small = {**lenet_beans.DEFAULTS, "image_size": 64}
    assert given.of(small) == given.of(dict(reversed(small.items())))
    assert len(seen) == 1
    given.of({**small, "batch_size": 16})
    assert len(seen) == 2


def test_fractions_are_told_from_none_and_not_from_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, Any]] = []

    def counting(_module: Any, config: dict[str, Any], *_: Any) -> Any:
        seen.append(config)
        return SimpleNamespace(mb=500.0)

    monkeypatch.setattr(memory, "predict", counting)
    given = Shares(AUTO, job("lenet_beans"))
    rate, dropped = {"rate": 1e-3, "dropout": 0.0}, {"rate": 2e-3, "dropout": 0.1}
    for config in (rate, {**rate, "rate": 2e-3}, dropped, {**dropped, "dropout": 0.6}):
        given.of(config)
    assert seen == [rate, dropped]
    given.of({**dropped, "dropout": 1.0})  # a whole number is one of its own, as a width is
    given.of({**dropped, "width": 2})
    given.of({**dropped, "width": 3})
    assert len(seen) == 5
    # An experiment that says nothing of its fractions may have a width among them.
    other = replace(find("lenet_beans"), fractions_take_memory=True)
    monkeypatch.setattr(shares, "find", lambda _: other)
    given = Shares(AUTO, job("lenet_beans"))
    for config in (rate, {**rate, "rate": 2e-3}, rate):
        given.of(config)
    assert len(seen) == 7


@pytest.mark.parametrize(("concurrent", "ahead"), [(1, 2), (47, 2), (48, 3), (500, 31)])
def test_of_many_workers_more_start_side_by_side(concurrent: int, ahead: int) -> None:
    assert _drawn_ahead(concurrent) == ahead


def test_what_is_asked_for_is_not_exceeded() -> None:
    config = {**lenet_beans.DEFAULTS, "filters": "12/32/240", "batch_size": 128}
    free = Shares(AUTO, job("lenet_beans")).of(config)
    held = Shares(Resources(1, 1.0, 8, 700.0, GPU_MB), job("lenet_beans")).of(config)
    assert held == Share(0.125, 700.0)
    assert held.gpus < free.gpus


def test_an_experiment_that_cannot_be_predicted_gets_a_whole_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Formula:
        fractions_take_memory = True

        def module(self) -> Any:
            return importlib.import_module("trainables.seeds")  # without stages

    monkeypatch.setattr(shares, "find", lambda _: Formula())
    assert Shares(AUTO, job("x")).of({}) == Share(1.0, None)


# --- what a study's trials get

EIGHT_GIB = Memory(8192, 6144)  # room for 6144 - 409.6 - 1200 = 4534 MiB


@pytest.mark.parametrize(
    ("cpus", "asked", "expected"),
    [
        (2, {}, Resources(1, 0.0, 2, 2267.0)),
        (16, {}, Resources(1, 0.0, 4, 1133.0)),  # 1,024 for each at least
        (16, {"concurrent": 3}, Resources(1, 0.0, 3, 1511.0)),
        (16, {"memory_per_trial": 2000.0}, Resources(1, 0.0, 3, 2000.0)),  # of 6,582 in all
        (16, {"trials": 1}, Resources(1, 0.0, 1, 4534.0)),  # no other will ever run
        (16, {"trials": 3, "concurrent": 8}, Resources(1, 0.0, 3, 1511.0)),
        (16, {"trials": 9}, Resources(1, 0.0, 4, 1133.0)),
        (2, {"memory_per_trial": 300.0}, Resources(1, 0.0, 2, 300.0)),
        (2, {"memory_per_trial": 9999.0}, Resources(1, 0.0, 1, 9999.0)),  # the user's own risk
    ],
)
def test_the_memory_of_a_machine_is_divided(
    cpus: int, asked: dict[str, Any], expected: Resources
) -> None:
    machine = Machine(cpus, 0, memory=EIGHT_GIB)
    words = {"cpus_per_trial": None, "gpus_per_trial": None, "concurrent": None} | asked
    assert allot(machine, **words) == expected


@pytest.mark.parametrize(
    ("free_gb", "at_once", "concurrent"),
    [
        (6, None, 8),  # 16,384 - 819 - 1,200 = 14,364: thirteen of 1,031, on 8 CPUs
        (6, 4, 4),  # 6,144 - 819 - 1,200 = 4,125 are free: four, as when the study began
        (2, 4, 4),  # what a killed run still holds is free in a moment
        (9, 4, 6),  # 7,196 are free
        (16, 4, 8),
    ],
)
def test_a_resumed_study_takes_no_more_memory_than_there_is(
    free_gb: float, at_once: int | None, concurrent: int
) -> None:
    machine = Machine(8, 0, memory=Memory(16 * 1024, free_gb * 1024))
    found = allot(machine, None, None, None, 1031.0, at_once)
    assert found == Resources(1, 0.0, concurrent, 1031.0)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # 8,192 - 409.6 - 1,200 MiB of the machine's own hold three of 2,048.
        ({}, Resources(1, 1.0, 3, None, GPU_MB, gpus=2)),
        ({"gpus_per_trial": 0.5}, Resources(1, 0.5, 3, 5664.0)),  # (15,360 / 2 - 600) / 1.25
        ({"gpus_per_trial": 0.0}, Resources(1, 0.0, 4, 1133.0)),
        ({"memory_per_trial": 700.0}, Resources(1, 1.0, 3, 700.0, GPU_MB, gpus=2)),
        # The user's own risk; CPUs end first: 16 would fit on the GPUs.
        ({"concurrent": 16}, Resources(1, 1.0, 12, None, GPU_MB, gpus=2)),
        ({"concurrent": 16, "gpus_per_trial": 0.5}, Resources(1, 0.5, 4, 5664.0)),
    ],
)
def test_the_memory_of_gpus_is_that_of_the_device(
    asked: dict[str, Any], expected: Resources
) -> None:
    machine = Machine(12, 2, memory=EIGHT_GIB, gpu_mb=GPU_MB)
    words = {"cpus_per_trial": None, "gpus_per_trial": None, "concurrent": None} | asked
    assert allot(machine, **words) == expected
