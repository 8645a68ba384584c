"""What experiments are put together from: filters, weights, optimizers, stages."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.trainables_tests.tiny_data import tiny_data
from tests.trainables_tests.tiny_stages import equal
from trainables.assembly import (
    augmentation,
    descent,
    initialised,
    only_stage,
    parse_filters,
    torch_stage,
)
from trainables.budget import Budget
from trainables.losses import mean_squared_error
from trainables.nets.parts import torch_init

CPU = torch.device("cpu")


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 3))


def test_parse_filters() -> None:
    assert parse_filters("6/16/120", like="1/1/1") == (6, 16, 120)
    assert parse_filters("32/64", like="1/1") == (32, 64)


@pytest.mark.parametrize(
    "text", ["6/16", "6/16/120/1", "0/16/120", "6/-1/120", "a/b/c", "", "6//1", "6/1.5/2"]
)
def test_filters_that_are_not_as_many_positive_numbers(text: str) -> None:
    wanted = f"^filters must be 3 positive numbers as in 6/16/120, but got {text}$"
    with pytest.raises(ValueError, match=wanted):
        parse_filters(text, like="6/16/120")


def test_weights_follow_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    models = [initialised(net, torch_init, seed, CPU) for seed in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    first, second, third = ([p.detach() for p in model.parameters()] for model in models)
    assert equal(first, second)
    assert not equal(first, third)
    assert all(p.device == CPU and torch.isfinite(p).all() for p in first)
    assert first[0].is_contiguous(memory_format=torch.channels_last)
    assert not first[0].is_contiguous()


def with_others() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Flatten(), nn.LSTM(16, 5)
    )


def test_layers_other_than_convolutions_and_dense_ones_begin_as_torch_has_them() -> None:
    one, two, other = (initialised(with_others, torch_init, seed, CPU) for seed in (3, 3, 4))
    state = one.state_dict()
    assert state["1.running_var"].tolist() == state["1.weight"].tolist() == [1.0] * 4
    assert state["1.running_mean"].tolist() == state["1.bias"].tolist() == [0.0] * 4
    assert state["1.num_batches_tracked"] == 0
    assert state["2.weight"].tolist() == [0.25]
    drawn = state["4.weight_ih_l0"]
    assert drawn.abs().max() <= 5**-0.5  # within 1 / sqrt(hidden size)
    assert drawn.std() > 0.1
    assert all(torch.equal(state[name], two.state_dict()[name]) for name in state)
    assert not torch.equal(drawn, other.state_dict()["4.weight_ih_l0"])


def test_drawing_weights_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    initialised(with_others, torch_init, 3, CPU)
    assert torch.equal(torch.rand(1), expected)


def test_weights_that_nothing_fills_are_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.empty(3))

    with pytest.raises(ValueError, match="Scaled has weights or buffers, and no reset_param"):
        initialised(Scaled, torch_init, 3, CPU)


def test_sgd_with_momentum_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    model = nn.Module()
    model.weight = weight
    optimizer = descent({"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5}, model)
    for _ in range(2):
        optimizer.zero_grad()
        weight.sum().backward()  # gradient 1
        optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.1 * 1 - 0.1 * 1.5)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["nesterov"] is False
    assert optimizer.defaults["weight_decay"] == 0


def test_sgd_is_what_stands_for_nothing_said() -> None:
    optimizer = descent({"learning_rate": 0.1, "momentum": 0.0}, net())
    assert isinstance(optimizer, torch.optim.SGD)


def test_adam_needs_no_momentum() -> None:
    optimizer = descent({"optimizer": "adam", "learning_rate": 0.02}, net())
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["lr"] == 0.02
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    assert optimizer.defaults["eps"] == 1e-8


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^optimizer must be sgd or adam, but got 'lion'$"):
        descent({"optimizer": "lion", "learning_rate": 0.1}, net())


def test_augmentation_by_name() -> None:
    assert augmentation("none") is None
    augment = augmentation("mirror")
    assert augment is not None
    image = torch.tensor([[[[0.0, 1.0]]]]).expand(16, 1, 1, 2)
    shown = augment(image, torch.Generator().manual_seed(1))
    assert {tuple(row) for row in shown[:, 0, 0].tolist()} == {(0, 1), (1, 0)}
    with pytest.raises(ValueError, match="unknown augmentation 'spin'"):
        augmentation("spin")


def test_a_stage_without_extras() -> None:
    data, model = tiny_data((3, 3, 3)), net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    splits = data.split("train", None), data.split("validation", None)
    plain = only_stage({"batch_size": 5}, 7, model, optimizer, splits)
    assert (plain.name, plain.epochs, plain.batch_size) == ("train", 7, 5)
    assert (len(plain.train.labels), len(plain.validation.labels)) == (24, 9)
    assert (plain.augment, plain.penalty) == (None, None)
    assert plain.loss is torch.nn.functional.cross_entropy
    config = {"batch_size": 5, "loss": "mean_squared_error", "augmentation": "mirror"}
    full = only_stage(config, 7, model, optimizer, splits, lambda: torch.ones(()))
    assert full.loss is mean_squared_error
    assert full.augment is not None
    assert full.penalty is not None
    with pytest.raises(ValueError, match="loss must be one of"):
        only_stage({"batch_size": 5, "loss": "l1"}, 7, model, optimizer, splits)


def test_a_network_is_built_for_the_images_as_they_are() -> None:
    seen: list[Any] = []

    def build(config: Any, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
        seen.append((classes, channels, size))
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))

    data = tiny_data((4, 6, 1), classes=5)
    config = {"batch_size": 4, "learning_rate": 0.1, "momentum": 0.9}
    stage = torch_stage(build, config, data, Budget(3, seed=2), CPU)
    assert seen == [(5, 1, (4, 6))]
    assert data.asked == [("train", None), ("validation", None)]
    assert stage.train.inputs.shape == (24, 4, 6, 1)
    assert stage.epochs == 3
    # The catalog's size, and the configuration's before that.
    for own, side in (({}, 128), ({"image_size": 64}, 64)):
        data.asked.clear()
        torch_stage(build, config | own, data, Budget(3, seed=2), CPU, image_size=128)
        assert data.asked == [("train", side), ("validation", side)]
