"""LeNet against the published counts, a formula by hand and a plain network in NCHW order."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.nets.lenet import LeNet, keras_init, spatial_size
from trainables.seeds import generator

# 299 -> valid convolution -> halved, rounded down -> ... -> valid convolution:
# 3: 297, 148, 146, 73, 71; 5: 295, 147, 143, 71, 67; 7: 293, 146, 140, 70, 64.
SIDES_AT_299 = {3: 71, 5: 67, 7: 64}
FILTERS = [(3, 8, 60), (6, 16, 120), (12, 32, 240)]


def lenet(
    kernel_size: int = 5,
    filters: tuple[int, int, int] = (6, 16, 120),
    image_size: int = 299,
    dropout: float = 0.0,
) -> LeNet:
    return LeNet(
        image_size=image_size,
        channels=3,
        classes=3,
        kernel_size=kernel_size,
        filters=filters,
        dropout=dropout,
    )


def counts(model: nn.Module) -> list[int]:
    """Weights and bias of every layer that has any, in order."""
    layers = [layer for layer in model.children() if list(layer.parameters())]
    return [sum(p.numel() for p in layer.parameters()) for layer in layers]


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        model = lenet()
    assert counts(model) == [456, 2416, 48120, 26934050, 153]
    assert sum(p.numel() for p in model.parameters()) == 26985195


@pytest.mark.parametrize(("kernel", "filters"), list(itertools.product(SIDES_AT_299, FILTERS)))
def test_parameter_counts_of_the_other_configurations(
    kernel: int, filters: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        model = lenet(kernel, filters)
    one, two, three = filters
    side = SIDES_AT_299[kernel]
    assert counts(model) == [
        kernel * kernel * 3 * one + one,
        kernel * kernel * one * two + two,
        kernel * kernel * two * three + three,
        side * side * three * 50 + 50,
        50 * 3 + 3,
    ]


@pytest.mark.parametrize(("kernel", "side"), SIDES_AT_299.items())
def test_spatial_size(kernel: int, side: int) -> None:
    assert spatial_size(299, kernel) == side


# 5: 32 -> 28, 14 -> 10, 5 -> 1; 31 -> 27, 13 -> 9, 4 -> 0. The smallest that works, by kernel.
@pytest.mark.parametrize(("kernel", "smallest"), [(3, 18), (5, 32), (7, 46)])
def test_an_image_too_small_is_refused(kernel: int, smallest: int) -> None:
    assert spatial_size(smallest, kernel) == 1
    wanted = f"^image_size must leave at least 1 pixel .*{kernel}x{kernel}.*={smallest - 1}$"
    with pytest.raises(ValueError, match=wanted):
        lenet(kernel, image_size=smallest - 1)
    with pytest.raises(ValueError, match=r"image_size=1$"):
        spatial_size(1, kernel)


def plain(model: LeNet, images: Tensor) -> Tensor:
    """Activation before pooling, flattened in NCHW order, as the published network is written."""
    x = functional.max_pool2d(functional.relu(convolve(model.conv1, images)), 2)
    x = functional.max_pool2d(functional.relu(convolve(model.conv2, x)), 2)
    x = functional.relu(convolve(model.conv3, x))
    _, channels, height, width = x.shape
    # The layer expects its inputs height first, then width, then channel.
    weight = model.dense.weight.reshape(50, height, width, channels)
    weight = weight.permute(0, 3, 1, 2).reshape(50, -1)
    x = functional.relu(functional.linear(x.flatten(1), weight, model.dense.bias))
    return functional.linear(x, model.output.weight, model.output.bias)


def convolve(layer: nn.Conv2d, images: Tensor) -> Tensor:
    return functional.conv2d(images.contiguous(), layer.weight.contiguous(), layer.bias)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_pooling_first_is_the_published_function(kernel: int, memory: torch.memory_format) -> None:
    model = lenet(kernel, (3, 4, 5), image_size=53).eval()
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # biases too: they decide what the ReLU cuts
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draws))
        model = model.to(memory_format=memory)  # type: ignore[call-overload]
        images = torch.rand((4, 3, 53, 53), generator=draws)
        expected = plain(model, images)
        found = model(images.contiguous(memory_format=memory))
    assert expected.std() > 0.1  # not all cut off
    assert (found.argmax(1) == expected.argmax(1)).all()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_dropout_stands_on_the_flattened_features_in_training_only() -> None:
    images = torch.rand((2, 3, 22, 22), generator=torch.Generator().manual_seed(1))
    seen: list[tuple[Tensor, Tensor]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of other weights all of so few features may be 0
        model = lenet(3, (2, 3, 4), image_size=22, dropout=0.5)  # 22 -> 20, 10 -> 8, 4 -> 2
        model.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
        model.train()(images)
        model.eval()(images)
    (features, dropped), (kept, same) = seen
    assert features.shape == (2, 4 * 2 * 2)
    assert (dropped == 0).sum() > (features == 0).sum()
    assert torch.equal(dropped[dropped != 0], 2 * features[dropped != 0])
    assert torch.equal(kept, same)


def test_keras_init_is_glorot_uniform_with_zero_biases() -> None:
    model = lenet(5, (6, 16, 120), image_size=36)  # 36 -> 32, 16 -> 12, 6 -> 2
    keras_init(model, generator(3, "weights"))
    # Glorot and Bengio (2010): limit sqrt(6 / (fan in + fan out)), fans times the kernel's area.
    limits = {
        "conv1": math.sqrt(6 / (25 * 3 + 25 * 6)),
        "conv2": math.sqrt(6 / (25 * 6 + 25 * 16)),
        "conv3": math.sqrt(6 / (25 * 16 + 25 * 120)),
        "dense": math.sqrt(6 / (120 * 2 * 2 + 50)),
        "output": math.sqrt(6 / (50 + 3)),
    }
    for name, limit in limits.items():
        weight = model.get_parameter(f"{name}.weight")
        assert 0.95 * limit < weight.abs().max().item() <= limit, name
        assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1), name
        assert abs(weight.mean().item()) < 0.1 * limit, name
        assert not model.get_parameter(f"{name}.bias").any(), name


def test_keras_init_depends_on_its_generator_alone() -> None:
    models = [lenet(3, (2, 3, 4), image_size=18) for _ in range(3)]  # each from other weights
    before = torch.get_rng_state()
    for model, seed in zip(models, (3, 3, 4), strict=True):
        keras_init(model, generator(seed, "weights"))
    assert torch.equal(before, torch.get_rng_state())
    first, second, third = (model.get_parameter("dense.weight") for model in models)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
