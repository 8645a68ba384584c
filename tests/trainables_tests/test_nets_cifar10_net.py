"""The CIFAR-10 network against counts by hand and a plain network in NCHW order."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainables_tests.test_lenet import convolve, counts
from trainables.nets import products
from trainables.nets.cifar10_net import Cifar10Net, pooled_side
from trainables.nets.lenet import keras_init
from trainables.nets.parts import torch_init
from trainables.seeds import generator

FILTERS = [(32, 64, 128), (64, 128, 256), (128, 256, 512)]


def net(
    kernel_size: int = 3,
    filters: tuple[int, int, int] = (64, 128, 256),
    size: tuple[int, int] = (32, 32),
    channels: int = 3,
    dropouts: tuple[float, float, float] = (0.2, 0.2, 0.1),
) -> Cifar10Net:
    return Cifar10Net(
        size=size,
        channels=channels,
        classes=10,
        kernel_size=kernel_size,
        filters=filters,
        dropouts=dropouts,
    )


def test_parameter_counts_by_hand() -> None:
    with torch.device("meta"):
        model = net()
    # 9 3 64 + 64, 9 64 128 + 128, 9 128 256 + 256,
    # 2 2 256 = 1024: 1024 128 + 128, 128 256 + 256, 256 10 + 10
    assert counts(model) == [1792, 73856, 295168, 131200, 33024, 2570]
    assert model.dense1.in_features == 1024
    assert sum(p.numel() for p in model.parameters()) == 537610


@pytest.mark.parametrize(("kernel", "filters"), list(itertools.product([3, 5, 7], FILTERS)))
def test_larger_kernels_keep_every_published_shape(
    kernel: int, filters: tuple[int, int, int]
) -> None:
    one, two, three = filters
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"):
        model = net(kernel, filters, channels=1)
        for layer in (model.conv1, model.conv2, model.conv3):
            layer.register_forward_hook(lambda _, given, out: shapes.append(out.shape[1:]))
        assert model(torch.empty(2, 1, 32, 32)).shape == (2, 10)
    assert shapes == [(one, 30, 30), (two, 13, 13), (three, 4, 4)]
    area = kernel * kernel
    assert counts(model) == [
        area * one + one,
        area * one * two + two,
        area * two * three + three,
        4 * three * 128 + 128,
        33024,
        2570,
    ]


def plain(model: Cifar10Net, images: Tensor) -> Tensor:
    """As published: activation before pooling, flattened in NCHW order."""
    x = (images - 0.5) / 0.5
    for layer in (model.conv1, model.conv2, model.conv3):
        x = functional.pad(x, [(layer.kernel_size[0] - 3) // 2] * 4)
        x = functional.max_pool2d(functional.relu(convolve(layer, x)), 2)
    _, channels, height, width = x.shape
    weight = model.dense1.weight.reshape(128, height, width, channels)
    weight = weight.permute(0, 3, 1, 2).reshape(128, -1)
    x = functional.relu(functional.linear(x.flatten(1), weight, model.dense1.bias))
    x = functional.relu(functional.linear(x, model.dense2.weight, model.dense2.bias))
    return functional.linear(x, model.output.weight, model.output.bias)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("channels", "size"), [(3, (32, 32)), (1, (22, 45))])
def test_it_is_the_published_function(kernel: int, channels: int, size: tuple[int, int]) -> None:
    model = net(kernel, (4, 5, 6), size, channels).eval()
    torch_init(model, generator(1, "weights"))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand((4, channels, *size), generator=generator(2, "images"))
    with torch.no_grad():
        expected = plain(model, images)
        found = model(images.contiguous(memory_format=torch.channels_last))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_products_of_matrices_change_nothing_but_rounding(
    kernel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = net(kernel, dropouts=(0.0, 0.0, 0.0)).train()
    keras_init(model, generator(1, "weights"))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand((4, 3, 32, 32), generator=generator(2, "images"))
    images = images.contiguous(memory_format=torch.channels_last)
    made: list[int] = []
    patches = products._patches
    monkeypatch.setattr(products, "_patches", lambda *given: made.append(1) or patches(*given))

    def gradients() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(images).float(), torch.arange(4))
        return list(torch.autograd.grad(loss, list(model.parameters())))

    ours = gradients()
    assert len(made) == 2  # of the last convolution alone, forwards and back
    model.conv3.__class__ = nn.Conv2d
    for one, other in zip(ours, gradients(), strict=True):
        assert (one - other).norm() < 0.05 * other.norm()
    assert len(made) == 2


def test_three_dropouts_stand_before_the_three_dense_layers() -> None:
    model = net(3, (2, 3, 4), (22, 22), dropouts=(0.5, 0.75, 0.875)).train()
    model.dense1.bias.data.fill_(1)  # so that few features are zero before they are dropped
    seen: dict[str, list[Tensor]] = {"in": [], "out": [], "dense": []}
    for drop in (model.dropout1, model.dropout2, model.dropout3):
        drop.register_forward_hook(lambda _, given, out: seen["in"].append(given[0]))
        drop.register_forward_hook(lambda _, given, out: seen["out"].append(out))
    for dense in (model.dense1, model.dense2, model.output):
        dense.register_forward_hook(lambda _, given, out: seen["dense"].append(given[0]))
    images = torch.rand((64, 3, 22, 22), generator=generator(2, "images"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model(images)
    assert [each.shape[1] for each in seen["in"]] == [4, 128, 256]
    assert all(a is b for a, b in zip(seen["out"], seen["dense"], strict=True))
    for before, after, scale in zip(seen["in"], seen["out"], (2, 4, 8), strict=True):
        assert torch.equal(after[after != 0], scale * before[after != 0])
        assert 0.5 / scale < (after != 0).sum() / (before != 0).sum() < 1.5 / scale


# 22: 20, 10; 8, 4; 2, 1. 32: 30, 15; 13, 6; 4, 2. 45: 43, 21; 19, 9; 7, 3.
@pytest.mark.parametrize(("side", "left"), [(22, 1), (32, 2), (45, 3)])
def test_pooled_side_by_hand(side: int, left: int) -> None:
    assert pooled_side(side) == left


def test_small_kernels_and_images_are_refused() -> None:
    for kernel in (1, 2, 4):
        with pytest.raises(ValueError, match=rf"^kernel_size must be odd .* but got {kernel}$"):
            net(kernel)
    with pytest.raises(ValueError, match=r"^images must have at least 22x22 pixels; got 21$"):
        net(size=(32, 21))
