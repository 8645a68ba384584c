"""Trials trained in one batch: each one's numbers are those of the plain loop."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainables_tests import tiny_stages
from tests.trainables_tests.tiny_data import TinyData, tiny_data
from trainables.batched import Outcome, run_batched
from trainables.budget import Budget, Diverged, EpochResult
from trainables.data import Data
from trainables.errors import TrellisError
from trainables.nets import stacked
from trainables.training import Stage

pytestmark = pytest.mark.usefixtures("one_thread")

Config = dict[str, Any]
LENET: Config = {
    "regularizer": "none",
    "dropout": 0.0,
    "kernel_size": 3,
    "filters": "3/4/6",
    "learning_rate": 0.003,
    "batch_size": 9,
    "augmentation": "none",
    "image_size": 20,
}
MNIST: Config = {
    "learning_rate": 0.05,
    "momentum": 0.5,
    "batch_size": 9,
    "kernel_size": 3,
    "filters": "3/4",
    "dropout": 0.0,
}
CIFAR10: Config = {
    "optimizer": "adam",
    "learning_rate": 0.003,
    "batch_size": 9,
    "kernel_size": 3,
    "filters": "4/5/6",
    "dropout_1": 0.0,
    "dropout_2": 0.0,
    "dropout_3": 0.0,
    "loss": "cross_entropy",
    "augmentation": "none",
}
SHAPES = {"lenet_beans": (20, 20, 3), "mnist_cnn": (12, 12, 1), "cifar10_net": (24, 24, 3)}
NUMBERS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
SEEDS = (11, 12, 13)
# What may differ within one batch, with the first configuration as it is.
SCALARS: dict[str, tuple[str, Config, list[Config]]] = {
    "lenet": ("lenet_beans", LENET, [{}, {"learning_rate": 0.001}, {"learning_rate": 0.006}]),
    "lenet penalties": (
        "lenet_beans",
        LENET,
        [{}, {"regularizer": "l1", "strength": 0.01}, {"regularizer": "l2", "strength": 0.1}],
    ),
    "mnist": ("mnist_cnn", MNIST, [{}, {"learning_rate": 0.01}, {"momentum": 0.9}]),
    "cifar10 adam": ("cifar10_net", CIFAR10, [{}, {"learning_rate": 0.001}, {}]),
    "cifar10 sgd": (
        "cifar10_net",
        CIFAR10 | {"optimizer": "sgd", "momentum": 0.9, "loss": "mean_squared_error"},
        [{"learning_rate": 0.1}, {"momentum": 0.5}, {"optimizer": "adam"}],
    ),
    # On a CPU dropout and augmentation draw the same numbers, too.
    "lenet draws": (
        "lenet_beans",
        LENET | {"dropout": 0.4},
        [{"augmentation": "flip+brightness"}, {"dropout": 0.0}, {"augmentation": "crop"}],
    ),
    "mnist draws": ("mnist_cnn", MNIST, [{"dropout": 0.2}, {"dropout": 0.6}, {}]),
    "cifar10 draws": (
        "cifar10_net",
        CIFAR10 | {"augmentation": "mirror+crop"},
        [{"dropout_1": 0.3}, {"dropout_2": 0.5, "dropout_3": 0.1}, {}],
    ),
}


class Trials:
    """Configurations of an experiment on the same images, whose models stay at hand."""

    def __init__(self, experiment: str, configs: list[Config], **options: Any) -> None:
        self.data: TinyData = tiny_data(SHAPES[experiment])
        self.budget = tiny_stages.budget(3, **{"precision": "float32"} | options)
        self.module = importlib.import_module(f"trainables.{experiment}")
        self.configs = configs
        self.models: list[nn.Module] = []

    def budget_of(self, seed: int) -> Budget:
        return replace(self.budget, seed=seed)

    def alone(self) -> list[list[EpochResult]]:
        """Every trial by the plain loop."""
        pairs = zip(self.configs, SEEDS, strict=False)
        return [list(self.module.epochs(c, self.data, self.budget_of(s))) for c, s in pairs]

    def builder(self, number: int) -> Callable[[torch.device], Stage]:
        def build(device: torch.device) -> Stage:
            data: Data = self.data
            given = self.configs[number], data, self.budget_of(SEEDS[number])
            (stage,) = self.module.stages(*given)
            built: Stage = stage(device)
            self.models.append(built.model)
            return built

        return build

    def together(self, one_by_one: bool = False) -> list[list[Outcome]]:
        """Every trial's outcomes by epoch."""
        builders = [self.builder(number) for number in range(len(self.configs))]
        seeds = SEEDS[: len(builders)]
        epochs = list(run_batched(builders, seeds, self.budget, one_by_one))
        return [list(each) for each in zip(*epochs, strict=True)]


def assert_equal(found: list[Outcome], wanted: list[EpochResult], rel: float = 1e-4) -> None:
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert isinstance(one, EpochResult)
        for name in NUMBERS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=rel), name
        for name in ("epoch", "stage", "learning_rate", "parameters", "trainable_parameters"):
            assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("case", SCALARS)
def test_numbers_are_those_of_the_plain_loop(case: str) -> None:
    experiment, base, changes = SCALARS[case]
    trials = Trials(experiment, [base | each for each in changes])
    wanted = trials.alone()
    found = trials.together(one_by_one=case == "lenet penalties")
    assert len(found) == 3
    assert wanted[0][-1].train_loss != wanted[0][0].train_loss
    assert len({each[-1].val_loss for each in wanted}) == 3, "three different trials"
    for one, other in zip(found, wanted, strict=True):
        assert_equal(one, other)


def test_convolutions_one_by_one_give_the_same_numbers() -> None:
    trials = Trials("cifar10_net", [CIFAR10, CIFAR10 | {"learning_rate": 0.001}])
    for one, other in zip(trials.together(one_by_one=True), trials.together(), strict=True):
        assert_equal(one, [each for each in other if isinstance(each, EpochResult)])


def test_bfloat16_is_autocast_as_in_the_plain_loop() -> None:
    trials = Trials("mnist_cnn", [MNIST, MNIST | {"dropout": 0.5}], precision="bfloat16")
    exact = Trials("mnist_cnn", trials.configs).alone()
    wanted, found = trials.alone(), trials.together()
    for one, other in zip(found, wanted, strict=True):
        assert_equal(one, other, rel=0.01)
    assert wanted[0][-1].train_loss != exact[0][-1].train_loss, "it made a difference"


def test_weights_end_as_in_the_plain_loop() -> None:
    trials = Trials("lenet_beans", [LENET, LENET | {"learning_rate": 0.001}])
    trials.together()
    together, trials.models = trials.models, []
    assert len(together) == 2
    for number, ours in enumerate(together):
        stage = trials.builder(number)(torch.device("cpu"))
        plain = tiny_stages.Trial(lambda _, stage=stage: stage)
        list(plain.run(trials.budget_of(SEEDS[number])))
        weights = list(ours.state_dict().values())
        assert len(weights) == 10
        for mine, other in zip(weights, plain.weights(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_one_trial_is_a_batch_too() -> None:
    trials = Trials("mnist_cnn", [MNIST])
    assert_equal(trials.together()[0], trials.alone()[0])


def diverging() -> Trials:
    configs = [MNIST, MNIST | {"learning_rate": 1e30}, MNIST | {"learning_rate": 0.01}]
    return Trials("mnist_cnn", configs)


def calm() -> list[list[EpochResult]]:
    return Trials("mnist_cnn", [MNIST, MNIST, MNIST | {"learning_rate": 0.01}]).alone()


def assert_only_the_second_diverged(trials: Trials, calm: list[list[EpochResult]]) -> None:
    first, second, third = trials.together()
    assert all(isinstance(each, Diverged) for each in second)
    assert str(second[0]).startswith("epoch 1: loss nan")
    assert second[2] is second[0], "what it said, it says ever after"
    assert_equal(first, calm[0])
    assert_equal(third, calm[2])


def test_a_trial_that_diverges_leaves_the_others_as_they_were() -> None:
    assert_only_the_second_diverged(diverging(), calm())


def test_a_kernel_that_mixes_trials_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # A grouped convolution as a dense one with zeros between the groups: 0 * nan is nan.
    wanted = calm()
    plain, mixed = functional.conv2d, []

    def convolve(x: Tensor, weight: Tensor, bias: Any, groups: int = 1, **options: Any) -> Tensor:
        if groups == 1:
            return plain(x, weight, bias, **options)
        mixed.append(groups)
        width = weight.shape[0] // groups
        dense = weight.repeat(1, groups, 1, 1)
        own = torch.arange(len(dense)) // width
        of_input = torch.arange(dense.shape[1]) // weight.shape[1]
        belongs = own[:, None] == of_input[None]
        return plain(x, dense * belongs[:, :, None, None], bias, **options)

    monkeypatch.setattr(stacked.functional, "conv2d", convolve)
    assert_only_the_second_diverged(diverging(), wanted)
    assert set(mixed) == {3, 2}, "tried once with all, once with those that were left"


def test_an_infinite_penalty_is_its_own_trial_s() -> None:
    configs = [LENET, LENET | {"regularizer": "l1", "strength": float("inf")}]
    first, second = Trials("lenet_beans", configs).together()
    assert isinstance(second[0], Diverged)
    assert_equal(first, Trials("lenet_beans", [LENET]).alone()[0])


def test_all_diverged_is_the_end() -> None:
    found = Trials("mnist_cnn", [MNIST | {"learning_rate": 1e30}] * 2).together()
    assert [[type(each) for each in trial] for trial in found] == [[Diverged]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, "batch_size 4 there, 9 in trial 0"),
        ({"loss": "mean_squared_error"}, "loss mean_squared_error there, cross_entropy in"),
        ({"filters": "4/5/7"}, r"weights \{.*\(7, 5, 3, 3, True\).* in trial 0"),
    ],
)
def test_other_shapes_are_refused(change: Config, message: str) -> None:
    trials = Trials("cifar10_net", [CIFAR10, CIFAR10, CIFAR10 | change])
    text = "^trial 2 cannot be trained in one batch with trial 0: " + message
    with pytest.raises(TrellisError, match=text):
        trials.together()


def refused(**change: Any) -> None:
    def build(device: torch.device) -> Stage:
        return tiny_stages.stage(tiny_stages.Net())

    def other(device: torch.device) -> Stage:
        return replace(build(device), **change)

    list(run_batched([build, other], SEEDS[:2], tiny_stages.budget(1)))


def test_other_images_are_refused() -> None:
    one = tiny_stages.Examples.of(tiny_stages.split(tiny_stages.TRAIN, 7), tiny_stages.CPU)
    with pytest.raises(TrellisError, match=r"with trial 0: other train images$"):
        refused(train=one)
    with pytest.raises(TrellisError, match=r"inputs \[9, 8, 8, 3\] there, \[22, 8, 8, 3\] in"):
        refused(train=tiny_stages.stage(tiny_stages.Net()).validation)
    with pytest.raises(TrellisError, match="trial 1 has augmented copies: train it alone"):
        refused(copies=(one,))


def test_another_network_is_refused() -> None:
    with pytest.raises(TrellisError, match="network Sequential there, Net in trial 0"):
        refused(model=nn.Sequential(nn.Linear(3, 3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_a_gpu_gives_the_numbers_of_a_cpu() -> None:
    trials = diverging()
    wanted = Trials("mnist_cnn", [trials.configs[0]]).alone()[0]
    trials.budget = replace(trials.budget, device="cuda")
    first, second, _ = trials.together()
    assert isinstance(second[0], Diverged)
    assert_equal(first, wanted, rel=1e-3)
