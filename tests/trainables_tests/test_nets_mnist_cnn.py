"""The MNIST network against counts by hand and a plain network in NCHW order."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainables_tests.test_lenet import convolve, counts
from trainables.nets.mnist_cnn import MnistCnn
from trainables.nets.parts import torch_init
from trainables.seeds import generator

FILTERS = [(16, 32), (32, 64), (64, 128)]


def net(
    kernel_size: int = 3,
    filters: tuple[int, int] = (32, 64),
    size: tuple[int, int] = (28, 28),
    channels: int = 1,
    dropout: float = 0.5,
) -> MnistCnn:
    return MnistCnn(
        size=size,
        channels=channels,
        classes=10,
        kernel_size=kernel_size,
        filters=filters,
        dropout=dropout,
    )


def test_parameter_counts_by_hand() -> None:
    with torch.device("meta"):
        model = net()
    # 9 1 32 + 32, 9 32 64 + 64, 14 14 64 = 12544: 12544 128 + 128, 128 10 + 10
    assert counts(model) == [320, 18496, 1605760, 1290]
    assert model.dense.in_features == 12544
    assert sum(p.numel() for p in model.parameters()) == 1625866


@pytest.mark.parametrize(("kernel", "filters"), list(itertools.product([3, 5, 7], FILTERS)))
def test_other_kernels_keep_the_size(kernel: int, filters: tuple[int, int]) -> None:
    one, two = filters
    with torch.device("meta"):
        model = net(kernel, filters, channels=3)
        assert model(torch.empty(2, 3, 28, 28)).shape == (2, 10)
    assert counts(model) == [
        kernel * kernel * 3 * one + one,
        kernel * kernel * one * two + two,
        14 * 14 * two * 128 + 128,
        1290,
    ]


def plain(model: MnistCnn, images: Tensor) -> Tensor:
    """As published: activation before pooling, flattened in NCHW order."""
    half = model.conv1.kernel_size[0] // 2
    x = (images - 0.5) / 0.5
    x = functional.relu(convolve(model.conv1, functional.pad(x, [half] * 4)))
    x = functional.relu(convolve(model.conv2, functional.pad(x, [half] * 4)))
    x = functional.max_pool2d(x, 2)
    _, channels, height, width = x.shape
    weight = model.dense.weight.reshape(128, height, width, channels)
    weight = weight.permute(0, 3, 1, 2).reshape(128, -1)
    x = functional.relu(functional.linear(x.flatten(1), weight, model.dense.bias))
    return functional.linear(x, model.output.weight, model.output.bias)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (9, 14))])
def test_it_is_the_published_function(kernel: int, channels: int, size: tuple[int, int]) -> None:
    model = net(kernel, (4, 5), size, channels).eval()
    torch_init(model, generator(1, "weights"))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand((4, channels, *size), generator=generator(2, "images"))
    with torch.no_grad():
        expected = plain(model, images)
        found = model(images.contiguous(memory_format=torch.channels_last))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_stands_before_the_last_layer_in_training_only() -> None:
    model = net(3, (2, 3), (6, 6))
    seen: list[tuple[Tensor, Tensor]] = []
    model.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    images = torch.rand((2, 1, 6, 6), generator=generator(2, "images"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = model.train()(images)
        model.eval()(images)
    (features, dropped), (kept, same) = seen
    assert features.shape == (2, 128)
    assert (dropped == 0).sum() > (features == 0).sum()
    assert torch.equal(dropped[dropped != 0], 2 * features[dropped != 0])
    assert torch.equal(kept, same)
    assert torch.equal(logits, model.output(dropped))


def test_an_even_kernel_or_a_tiny_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kernel_size must be odd .* but got 4$"):
        net(4)
    with pytest.raises(ValueError, match=r"^images must have at least 2x2 pixels, but got 1x28$"):
        net(size=(1, 28))
    assert isinstance(net(size=(2, 2)), nn.Module)
