"""Layers of several trials as one: shapes, rows of weights, dropout rates and draws per trial."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from trainables.errors import TrellisError
from trainables.nets.dropout import QuickDropout
from trainables.nets.parts import flatten
from trainables.nets.stacked import Dense, Dropout, rows, side_by_side, stacked

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_side_by_side_by_hand() -> None:
    # Two trials of two images of two channels and one pixel: trial, image, channel as digits.
    images = torch.tensor([[0, 1], [10, 11], [100, 101], [110, 111]]).reshape(4, 2, 1, 1)
    found = side_by_side(images, 2)
    assert found.flatten(1).tolist() == [[0, 1, 100, 101], [10, 11, 110, 111]]
    assert side_by_side(torch.rand(6, 3, 4, 5), 2).shape == (3, 6, 4, 5)


def test_rows_undo_flatten() -> None:
    each = torch.rand(3, 2, 4, 5, 6)  # trials, images, channels, height, width
    common = each.transpose(0, 1).flatten(1, 2)
    found = rows(flatten(common), 3, 4)
    assert torch.equal(found, torch.stack([flatten(one) for one in each]))
    assert rows(found, 3, 4) is found


def dropout(
    rates: Sequence[float], seeds: Sequence[int], kind: type[nn.Dropout] = nn.Dropout
) -> Tensor:
    layer = Dropout([kind(rate) for rate in rates], channels=1)
    layer.draws = seeded(*seeds)
    return layer(torch.ones(len(rates), 50, 200))


def test_every_trial_has_its_rate() -> None:
    rates = (0.0, 0.1, 0.5, 0.8)
    found = dropout(rates, (1, 2, 3, 4))
    for rate, kept in zip(rates, found, strict=True):
        # 10,000 values: four standard deviations are 0.02 at most.
        assert (kept == 0).float().mean().item() == pytest.approx(rate, abs=0.02)
        assert kept.max().item() == pytest.approx(1 / (1 - rate))
        assert kept.unique().numel() == (1 if rate == 0 else 2)


def test_zeros_differ_by_trial_and_over_the_batch() -> None:
    found = dropout((0.5, 0.5, 0.5), (1, 2, 1))
    assert torch.equal(found[0], found[2]), "a seed decides, not the place"
    # Two independent halves agree in half of the places: 0.5 +- 0.02.
    assert (found[0] == found[1]).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (found[0, 0] == found[0, 1]).float().mean().item() == pytest.approx(0.5, abs=0.15)


def test_the_neighbours_change_no_draw() -> None:
    assert torch.equal(dropout((0.5, 0.2), (1, 2))[1], dropout((0.7, 0.0, 0.2), (5, 6, 2))[2])


def test_all_dropped_and_evaluation() -> None:
    assert dropout((1.0, 0.5), (1, 2))[0].abs().max() == 0
    layer = Dropout([nn.Dropout(0.5), nn.Dropout(0.9)], 1).eval()
    assert torch.equal(layer(torch.ones(2, 3, 4)), torch.ones(2, 3, 4))


@pytest.mark.parametrize("kind", [nn.Dropout, QuickDropout])
def test_draws_are_those_of_the_layers(kind: type[nn.Dropout]) -> None:
    torch.manual_seed(9)
    wanted = kind(0.3)(torch.ones(50, 200))
    assert torch.equal(dropout((0.6, 0.3), (8, 9), kind)[1], wanted)


class Small(nn.Module):
    """[n, 2, 5, 5] -> [n, 3]."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=bias)
        self.act = nn.ReLU()
        self.dense = nn.Linear(36, 3, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.dense(flatten(self.act(self.conv(images))))
        return result


@pytest.mark.parametrize("bias", [True, False])
def test_each_model_s_weights_are_a_row(bias: bool) -> None:
    models = [Small(bias) for _ in range(3)]
    images = torch.rand(3, 7, 2, 5, 5)
    with torch.no_grad():
        wanted = torch.stack([model(own) for model, own in zip(models, images, strict=True)])
        network = stacked(models)
        torch.testing.assert_close(network(side_by_side(images.flatten(0, 1), 3)), wanted)
        common = torch.stack([model(images[0]) for model in models])
        torch.testing.assert_close(network(images[0]), common)
        dense = network.get_submodule("dense")
        assert isinstance(dense, Dense)
        models[1].dense.weight.fill_(7)
        assert (dense.weight == 7).all(dim=2).all(dim=1).tolist() == [False, True, False]
    assert isinstance(models[0].conv, nn.Conv2d), "the models stay as they are"


def test_gradients_go_through() -> None:
    models = [Small(True) for _ in range(2)]
    images = torch.rand(2, 3, 2, 5, 5)
    for model, own in zip(models, images, strict=True):
        model(own).square().sum().backward()
    network = stacked(models)
    network(side_by_side(images.flatten(0, 1), 2)).square().sum().backward()
    found = dict(network.named_parameters())
    assert len(found) == 4
    for name, stack in found.items():
        wanted = torch.stack([model.get_parameter(name).grad for model in models])
        torch.testing.assert_close(stack.grad, wanted)


def test_a_layer_that_is_not_known_is_refused() -> None:
    models = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2)]
    with pytest.raises(TrellisError, match=r"^trials with a BatchNorm2d \(1\) cannot be trained"):
        stacked(models)
