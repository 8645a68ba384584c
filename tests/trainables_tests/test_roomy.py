"""A trial that fits by far is known to, at less than a prediction costs, and never wrongly."""

import importlib
import subprocess
import sys
from dataclasses import replace
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from search.catalog import EXPERIMENTS
from spaces import inception_beans
from tests.trainables_tests.test_eager import HEAD, ROOT, TRAIN
from tests.trainables_tests.test_micro_batches import CPU, FLOAT32, META, built, chosen, need
from tests.trainables_tests.tiny_stages import TRAIN as TRAINED
from tests.trainables_tests.tiny_stages import VALIDATION, split, stage
from trainables import memory, passes, roomy
from trainables.budget import Budget, TooLarge
from trainables.evaluation import Examples
from trainables.memory import peak, stages_of
from trainables.shapes import published
from trainables.training import Stage

DATASETS = {"lenet_beans": "beans", "mnist_cnn": "mnist", "cifar10_net": "cifar10"}


def drawn(experiment: str, count: int) -> list[dict[str, Any]]:
    """Return random configurations of the experiment's space."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = importlib.import_module(f"spaces.{experiment}").space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    return [space(study.ask()) for _ in range(count)]


def stages(
    experiment: str, config: dict[str, Any], data: str, budget: Budget = FLOAT32
) -> list[Stage]:
    module = importlib.import_module(f"trainables.{experiment}")
    return [build(META) for build in stages_of(module)(config, published(data), budget)]


def predicted(of: Stage) -> int:
    """Return what a stage takes beside the process and the data."""
    found = peak(of, CPU, FLOAT32)
    return found.total - found.base - found.data


@pytest.mark.parametrize(("experiment", "data"), DATASETS.items())
def test_no_stage_takes_more_than_at_most(experiment: str, data: str) -> None:
    made = [stages(experiment, config, data) for config in drawn(experiment, 5)]
    assert len(made) == 5
    for (of,) in made:
        assert predicted(of) < roomy.at_most(of)


def test_nor_do_those_of_inception() -> None:
    config = inception_beans.DEFAULTS | {"unfreeze_blocks": 2}
    made = stages("inception_beans", config, "beans")
    assert [of.name for of in made] == ["head", "finetune"]
    for of in made:
        assert predicted(of) < roomy.at_most(of)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_the_same_bound_in_both_precisions(name: str) -> None:
    experiment = EXPERIMENTS[name]
    bounds = [
        [
            roomy.at_most(of)
            for of in stages(name, experiment.defaults(), experiment.dataset, budget)
        ]
        for budget in (FLOAT32, replace(FLOAT32, precision="bfloat16"))
    ]
    assert bounds[0] == bounds[1]
    assert len(bounds[0]) == max(1, len(experiment.stage_epochs))


def test_what_operators_make_is_counted_and_views_are_not() -> None:
    x = torch.zeros(4, 3)
    with roomy._Made() as made:
        y = torch.relu(x)  # 12 numbers of 4 bytes
        z = y.reshape(3, 4).t()[1:]  # views
        z.add_(1)  # in place
        torch.stack([x, y]).sum()  # 24 numbers, then one
    assert made.bytes == 48 + 96 + 4


def normalising(device: torch.device, batch_size: int, *layers: nn.Module) -> Stage:
    """A stage on `device`, whose `layers` see six features of each of 22 images."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6), *layers, nn.Linear(6, 3))
    train, validation = (Examples.of(split(n, n), device) for n in (TRAINED, VALIDATION))
    of = stage(model.to(device), batch_size=batch_size)
    return replace(of, train=train, validation=validation)


def test_batch_norm_over_one_value_for_each_image_is_no_obstacle() -> None:
    """Of one image it would have one value for each feature, and refuse that."""
    of = normalising(META, 8, nn.BatchNorm1d(6))
    assert predicted(of) < roomy.at_most(of)
    assert roomy.fits_by_far(of, 8e9)


def test_batch_norm_that_learns_gets_two_images_at_least() -> None:
    # Of 9 images parts of 9, 5, 3; of parts of 2 one image would be left over.
    asked: list[int | None] = []
    plain = passes.memory.peak

    def noted(of: Stage, *more: Any) -> Any:
        asked.append(of.micro_batch)
        return plain(of, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes.memory, "peak", noted)
        builders = [lambda device: normalising(device, 9, nn.BatchNorm1d(6))]
        with pytest.raises(TooLarge, match="MiB with 3 images at a time in stage train"):
            passes.micro_batches(builders, replace(FLOAT32, memory_mb=0.001), CPU)
    assert asked[-1] == 3
    # A batch of one is not divided, whatever its network makes of it.
    alone = [lambda device: normalising(device, 1)]
    with pytest.raises(TooLarge, match="MiB with one image at a time in stage train"):
        passes.micro_batches(alone, replace(FLOAT32, memory_mb=0.001), CPU)
    assert passes._least(normalising(META, 9, nn.BatchNorm1d(6))) == 2
    assert passes._least(normalising(META, 9)) == 1


def test_weights_that_are_too_large_are_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with META:
        model = nn.Linear(10**6, 10**6, bias=False)  # 4 TB
    of = stage(model)
    monkeypatch.setattr(roomy, "_pass_bytes", lambda _: pytest.fail("was tried"))
    assert roomy.weights_at_most(of) == 1.5 * 6 * 4e12
    assert not roomy.fits_by_far(of, 1e12)


def test_what_fits_by_far_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.random.get_rng_state()
    with monkeypatch.context() as changed:
        changed.setattr(memory, "peak", lambda *_: pytest.fail("was predicted"))
        assert chosen(8000.0) is None
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_fits_but_not_by_far_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Stage] = []

    def noted(*given: Any) -> Any:
        asked.append(given[0])
        return peak(*given)

    assert not roomy.fits_by_far(built()[0](META), 1.01 * predicted(built()[0](META)))
    close = 1.21 * need(None)
    monkeypatch.setattr(memory, "peak", noted)
    assert chosen(close) is None
    assert len(asked) == 1


def test_on_a_gpu_the_wall_needs_a_prediction() -> None:
    assert not passes._is_roomy(built()[0](META), 8000.0, torch.device("cuda"))


def test_a_trial_imports_no_sympy() -> None:
    told = HEAD + TRAIN + 'print("sympy" in sys.modules)\n'
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
