"""Initialisation against torch's own, scaling and flattening by hand."""

import math

import torch
from torch import nn

from trainables.nets.parts import flatten, to_signed, torch_init
from trainables.seeds import generator


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Linear(40, 7), nn.Linear(7, 2))


def test_torch_init_draws_what_torch_draws() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = layers()
    ours = layers()
    torch_init(ours, torch.Generator().manual_seed(3))
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert len(pairs) == 6
    assert all(torch.equal(mine, other) for mine, other in pairs)


def test_torch_init_is_uniform_within_one_over_the_root_of_the_fan_in() -> None:
    model = nn.Sequential(nn.Conv2d(16, 400, 5), nn.Linear(900, 400))
    torch_init(model, generator(1, "weights"))
    for layer, fan_in in zip(model, (16 * 5 * 5, 900), strict=True):
        bound = 1 / math.sqrt(fan_in)
        for values in (layer.get_parameter("weight"), layer.get_parameter("bias")):
            assert 0.95 * bound < values.abs().max().item() <= bound
            assert abs(values.mean().item()) < 0.15 * bound
            assert abs(values.std().item() * math.sqrt(3) / bound - 1) < 0.1


def test_torch_init_depends_on_its_generator_alone() -> None:
    models = [layers() for _ in range(3)]
    before = torch.get_rng_state()
    for model, seed in zip(models, (3, 3, 4), strict=True):
        torch_init(model, generator(seed, "weights"))
    assert torch.equal(before, torch.get_rng_state())
    first, second, third = (model[0].get_parameter("weight") for model in models)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_torch_init_takes_layers_without_bias() -> None:
    layer = nn.Linear(4, 3, bias=False)
    before = layer.weight.clone()
    torch_init(layer, generator(1, "weights"))
    assert not torch.equal(layer.weight, before)


def test_black_is_minus_one_and_white_is_one() -> None:
    images = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert to_signed(images).tolist() == [-1, -0.5, 0, 1]
    assert images.tolist() == [0, 0.25, 0.5, 1]  # not written to


def test_flatten_goes_height_width_channel() -> None:
    features = torch.arange(8.0).reshape(1, 2, 2, 2)  # channels 0..3 and 4..7
    assert flatten(features).tolist() == [[0, 4, 1, 5, 2, 6, 3, 7]]
    last = features.contiguous(memory_format=torch.channels_last)
    assert flatten(last).data_ptr() == last.data_ptr()  # a view
