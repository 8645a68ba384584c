"""What holds for every experiment of the catalog: its space builds, trains, saves and loads."""

import functools
import importlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from search.catalog import EXPERIMENTS
from search.domains import Domain, domains
from search.experiment import Experiment
from tests.trainables_tests.tiny_data import TinyData
from tests.trainables_tests.tiny_stages import budget
from trainables.budget import Budget, drive
from trainables.checkpoint import load_weights
from trainables.data import DataSpec, Split, open_data, prepare
from trainables.memory import predict
from trainables.nets.inception import published_count
from trainables.shapes import published
from trainables.weights import RANDOM

NAMES = sorted(EXPERIMENTS)
DRAWN = 50
# Of the 50: all of them where time does not count.
TRAINED = [pytest.param(3, id="3"), pytest.param(DRAWN, id="all", marks=pytest.mark.slow)]
# Height, width and channels as the data sets have them, and their classes.
IMAGES = {"beans": ((500, 500, 3), 3), "mnist": ((28, 28, 1), 10), "cifar10": ((32, 32, 3), 10)}
TRAIN, VALIDATION = 16, 8
# What makes a step take long and adds nothing to the contract; built at every size all the same.
# Rates near the lower end: at the upper one a step may well diverge, which is another outcome.
CHEAP: dict[str, dict[str, Any]] = {
    "lenet_beans": {"image_size": 64},
    "cifar10_transfer": {"batch_size": 25, "target_learning_rate": 1e-3},
    "inception_beans": {"head_learning_rate": 1e-3},
}


pytestmark = pytest.mark.usefixtures("one_thread")


def configurations(experiment: Experiment, fixed: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """Draw at random, and check that what the space returns is what was drawn."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    drawn = []
    for _ in range(n):
        study.enqueue_trial(fixed)
        trial = study.ask()
        drawn.append(experiment.space()(trial))
        assert drawn[-1] == trial.params
    return drawn


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def build(experiment: Experiment, config: dict[str, Any]) -> torch.nn.Module:
    (height, width, channels), classes = IMAGES[experiment.dataset]
    side = config.get("image_size", experiment.image_size)
    module = importlib.import_module(f"trainables.{experiment.name}")
    size = (side or height, side or width)
    return module.build(config, classes, channels, size)  # type: ignore[no-any-return]


def test_the_five_experiments_are_visited() -> None:
    five = {"cifar10_net", "cifar10_transfer", "inception_beans", "lenet_beans", "mnist_cnn"}
    assert five <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_fifty_configurations_lie_in_the_space_and_build(name: str) -> None:
    experiment = EXPERIMENTS[name]
    known = domains(experiment.space(), experiment.defaults())
    (height, width, channels), classes = IMAGES[experiment.dataset]
    drawn = configurations(experiment, {}, DRAWN)
    assert len({json.dumps(config) for config in drawn}) == DRAWN
    for config in drawn:
        assert all(known[each].contains(value) for each, value in config.items())
        assert json.loads(json.dumps(config)) == config
        side = config.get("image_size", experiment.image_size)
        with torch.device("meta"):
            images = torch.empty(2, channels, side or height, side or width)
            assert build(experiment, config)(images).shape == (2, classes)
    # Every name was in force at least once, every choice was drawn.
    assert {each for config in drawn for each in config} == known.keys()
    for each, domain in known.items():
        seen = {config[each] for config in drawn if each in config}
        assert len(seen) == len(domain.choices) or not domain.choices or len(seen) > 5, each


@pytest.mark.parametrize("name", [n for n in NAMES if not EXPERIMENTS[n].fractions_take_memory])
def test_fractions_do_not_count_for_memory(name: str) -> None:
    """`search.shares` predicts once for all rates; whether there is any dropout may count."""
    experiment = EXPERIMENTS[name]
    known = domains(experiment.space(), experiment.defaults())
    rates = {each: fractions(domain) for each, domain in known.items() if fractions(domain)}
    ran = Budget(2, device="cuda", precision="bfloat16")
    small, seen = {"image_size": 64} if "image_size" in known else {}, set()
    for config in configurations(experiment, small, 8):
        here = rates.keys() & config.keys()
        if not here <= seen:  # what the ones before did not have
            seen |= here
            values = [{each: rates[each][end] for each in here} for end in (0, -1)]
            lowest, highest = (
                predict(experiment.module(), config | end, published(experiment.dataset), ran)
                for end in values
            )
            assert lowest == highest
    assert rates
    assert seen == rates.keys()


def fractions(domain: Domain) -> list[float]:
    """Return the values of a hyperparameter that are no whole numbers, the lowest first."""
    return [value for value in domain.sweep() if isinstance(value, float) and value % 1]


@pytest.fixture(scope="module")
def embedded() -> Callable[[str], TinyData]:
    """A few images of each class of the embedded data, by the name of the data set."""

    @functools.cache
    def few(dataset: str) -> TinyData:
        whole = open_data(DataSpec(dataset, "embedded"))
        size = 64 if dataset == "beans" else None
        prepare(whole, [size])
        kept = {"train": TRAIN, "validation": VALIDATION}
        splits = {name: spread(whole.split(name, size), n) for name, n in kept.items()}
        return TinyData(
            whole.spec, whole.classes, f"few-{dataset}", kept, whole.notes, splits=splits
        )

    return few


def spread(split: Split, count: int) -> Split:
    """Every n-th image in the order of their classes: so many of them."""
    order = np.argsort(split.labels, kind="stable")
    chosen = order[np.arange(count) * len(order) // count]
    return Split(np.ascontiguousarray(split.images[chosen]), split.labels[chosen])


def one_batch(experiment: Experiment) -> int:
    """The smallest batch of the space that takes all images: one step."""
    known = domains(experiment.space(), experiment.defaults())["batch_size"]
    return next((size for size in sorted(known.choices) if size >= TRAIN), TRAIN)


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "inception_beans")) for name in NAMES],
)
def test_they_train_one_step_and_save_what_can_be_loaded(
    name: str, trained: int, tmp_path: Path, embedded: Callable[[str], TinyData]
) -> None:
    experiment = EXPERIMENTS[name]
    data = embedded(experiment.dataset)
    data.asked.clear()
    held = {"batch_size": one_batch(experiment), "learning_rate": 1e-3} | CHEAP.get(name, {})
    chosen = configurations(experiment, held, trained)
    assert len(chosen) == trained
    for number, config in enumerate(chosen):
        assert config["batch_size"] >= len(data.splits["train"].labels)  # so one step
        folder = tmp_path / str(number)
        folder.mkdir()
        given = replace(
            budget(1, folder, memory_mb=16_000.0),
            weights=RANDOM if experiment.pretrained else None,
        )
        result = drive(experiment.trainable()(config, data, given), None)
        assert math.isfinite(result.train_loss)
        assert math.isfinite(result.val_loss)
        assert 0 <= result.val_accuracy <= 1
        saved = load_weights(folder / "best.pt")
        assert saved["val_accuracy"] == result.val_accuracy
        with torch.device("meta"):
            fresh = build(experiment, config)
        state = saved["model"]
        if experiment.pretrained:  # a trial keeps what it trains; a study completes it
            state = experiment.module().whole_state(state, RANDOM)
        fresh.load_state_dict(state, assign=True)  # no name missing, none unexpected
        count = published_count if experiment.pretrained else parameters
        assert count(fresh) == result.parameters > 0
        assert all(torch.isfinite(p).all() for p in fresh.parameters())
        shutil.rmtree(folder)  # up to 0.4 GB
    sizes = {config.get("image_size", experiment.image_size) for config in chosen}
    # At the size that later commands take: search.confirm, predict and others.
    assert set(data.asked) == {(name, size) for name in ("train", "validation") for size in sizes}
