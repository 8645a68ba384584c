"""Convolutions as matrix products: of small whole numbers, which bfloat16 holds exactly."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.live import Live
from trainables.nets import products
from trainables.nets.parts import taken_for_cpu
from trainables.nets.products import ProductConv2d
from trainables.trace import trace

LAST = torch.channels_last


def whole(number: int, *shape: int) -> Tensor:
    """Draw -1, 0 and 1, mostly 0: sums of some thousand products stay below 256."""
    draws = torch.Generator().manual_seed(number)
    signs = torch.randint(0, 2, shape, generator=draws) * 2.0 - 1
    return (signs * (torch.rand(shape, generator=draws) < 0.1)).contiguous(memory_format=LAST)


def layer(**options: Any) -> ProductConv2d:
    given = {"in_channels": 128, "out_channels": 24, "kernel_size": 3} | options
    with torch.random.fork_rng(devices=[]):
        made = ProductConv2d(**given)
    with torch.no_grad():
        made.weight.copy_(whole(1, *made.weight.shape))
        if made.bias is not None:
            made.bias.copy_(torch.arange(len(made.bias)) % 5 - 2)
    return made.to(memory_format=LAST)  # type: ignore[call-overload, no-any-return]


def images(*shape: int) -> Tensor:
    return whole(2, *shape).bfloat16().requires_grad_()


def by_products(of: ProductConv2d, x: Tensor) -> bool:
    """Tell whether the layer takes its own way, by the node that autograd made."""
    found = of(x).grad_fn
    return type(found).__name__ == "_ConvolvedBackward"


SHAPES = [  # kernel, padding, side, channels: results of 1 to 36 pixels
    (3, 1, 6, 128),
    (3, 0, 6, 128),
    (3, 0, 6, 256),
    (5, 1, 6, 256),
    (7, 2, 6, 256),
    (1, 0, 4, 256),
    (1, 1, 2, 256),
    ((1, 3), (0, 1), 4, 256),
    ((3, 1), (1, 0), 8, 128),
    (4, 0, 4, 256),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "padding", "side", "channels"), SHAPES)
def test_equals_the_convolution(
    kernel: Any, padding: Any, side: int, channels: int, bias: bool
) -> None:
    of = layer(in_channels=channels, kernel_size=kernel, padding=padding, bias=bias)
    x = images(3, channels, side, side)
    assert by_products(of, x)
    found = of(x)
    inputs = [x, *of.parameters()]
    exact = [each.detach().double().requires_grad_() for each in inputs]
    wanted = functional.conv2d(*exact, padding=padding)
    assert wanted.abs().max() <= 256
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.double(), wanted)
    assert found.is_contiguous(memory_format=LAST)
    given = whole(3, *wanted.shape)
    ours = torch.autograd.grad(found, inputs, given.bfloat16())
    theirs = torch.autograd.grad(wanted, exact, given.double())
    for one, other, of_what in zip(ours, theirs, inputs, strict=True):
        assert other.any()
        assert other.abs().max() <= 256
        assert one.dtype == of_what.dtype
        assert torch.equal(one.double(), other)


def test_gradients_lie_as_the_weights_do() -> None:
    of, x = layer(), images(2, 128, 6, 6)
    of(x).sum().backward()
    assert of.weight.grad is not None
    assert of.weight.grad.stride() == of.weight.stride()


def test_autocast_takes_float32_weights_there() -> None:
    of, x = layer(), images(2, 128, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert by_products(of, x)
        found = of(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, of(x))


@pytest.mark.parametrize("frozen", ["images", "kernel"])
def test_what_learns_nothing_gets_no_gradient(frozen: str) -> None:
    of, x = layer(in_channels=256), images(2, 256, 6, 6)
    (x if frozen == "images" else of.weight).requires_grad_(False)
    of(x).sum().backward()
    assert of.bias is not None
    assert of.bias.grad is not None
    assert (x.grad is None) == (frozen == "images")
    assert (of.weight.grad is None) == (frozen == "kernel")


def test_a_gradient_in_another_order_of_memory() -> None:
    of, x = layer(in_channels=256), images(2, 256, 6, 6)
    found = of(x)
    given = whole(3, *found.shape).bfloat16()
    inputs = [x, *of.parameters()]
    wanted = torch.autograd.grad(found, inputs, given, retain_graph=True)
    other = given.contiguous(memory_format=torch.contiguous_format)
    for one, two in zip(torch.autograd.grad(found, inputs, other), wanted, strict=True):
        assert torch.equal(one, two)


def test_evaluation() -> None:
    of, x = layer(), images(2, 128, 6, 6)
    with torch.inference_mode():
        assert torch.equal(of(x), of(x.detach()))
        assert not of(x).requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {"in_channels": 127},
        {"stride": 2},
        {"dilation": 2},
        {"groups": 2},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same"},
    ],
    ids=str,
)
def test_other_layers_are_torchs(options: dict[str, Any]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert by_products(layer(), images(2, 128, 6, 6))
        x = images(2, options.get("in_channels", 128), 6, 6)
        assert not by_products(layer(**options), x)


def test_other_images_are_torchs() -> None:
    x = images(2, 128, 6, 6).detach()
    like_their_index = x.contiguous(memory_format=torch.contiguous_format)
    for other in (x.float(), like_their_index):
        with torch.autocast("cpu", torch.bfloat16):
            assert not by_products(layer(), other.requires_grad_())


@pytest.mark.parametrize("channels", [128, 256])
@pytest.mark.parametrize("images_at_once", [1, 2, 3])
def test_parts_of_a_batch_give_what_the_whole_gives(
    channels: int, images_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, x = layer(in_channels=channels, kernel_size=5, padding=1), images(3, channels, 6, 6)
    given = whole(3, 3, 24, 4, 4).bfloat16()
    wanted = of(x)
    gradients = torch.autograd.grad(wanted, [x, *of.parameters()], given)
    # 16 pixels of as many channels of 5 x 5 numbers of 2 bytes, and half of one more.
    monkeypatch.setattr(products, "_AT_ONCE", int(16 * channels * 25 * 2 * (images_at_once + 0.5)))
    made: list[int] = []
    patches = products._patches

    def counted(some: Tensor, *others: Any) -> Tensor:
        made.append(len(some))
        return patches(some, *others)

    monkeypatch.setattr(products, "_patches", counted)
    found = of(x)
    assert torch.equal(found, wanted)
    again = torch.autograd.grad(found, [x, *of.parameters()], given)
    for one, other in zip(again, gradients, strict=True):
        assert torch.equal(one, other)
    assert made == 2 * {1: [1, 1, 1], 2: [2, 1], 3: [3]}[images_at_once]


def test_patches_of_one_image_are_made_whatever_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of, x = layer(), images(2, 128, 6, 6)
    wanted = of(x)
    monkeypatch.setattr(products, "_AT_ONCE", 1)
    assert torch.equal(of(x), wanted)


@pytest.mark.parametrize(("side", "kernels"), [(6, 0), (7, 1)])
def test_more_than_16_pixels_are_convolved_forwards(
    side: int, kernels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    plain = functional.conv2d

    def counted(*given: Any, **options: Any) -> Tensor:
        calls.append(1)
        return plain(*given, **options)

    monkeypatch.setattr(products.functional, "conv2d", counted)
    layer()(images(2, 128, side, side))
    assert len(calls) == kernels


@pytest.mark.parametrize("order", [LAST, torch.contiguous_format])
def test_memory_is_counted_on_the_meta_device_as_on_a_cpu(order: torch.memory_format) -> None:
    """Whatever order images seem to have: convolutions of that device forget theirs."""
    of = layer().to("meta")
    x = torch.empty((2, 128, 6, 6), dtype=torch.bfloat16, device="meta", memory_format=order)
    with taken_for_cpu(True):
        assert by_products(of, x)
        with Live(of.parameters(), [x], True) as live:
            of(x).sum().backward()
    assert of.weight.grad is not None
    # Patches, by hand, are the most of it: 2 images, 16 pixels, 128 x 3 x 3 numbers of 2 bytes.
    patches, kernel = 2 * 16 * 128 * 9 * 2, 24 * 128 * 9
    weights = of.weight.numel() * 4 + 24 * 4
    # On the way back: those, the lowered kernel, its gradient; results and biases are little.
    assert 0 <= live.peak - weights - patches - 2 * kernel - 2 * kernel < 8192
    with taken_for_cpu(False), pytest.raises(RuntimeError, match="same"):
        of(x)  # torch's own, which wants both in one precision


def test_tables_of_layers_name_it_as_torch_does() -> None:
    found = trace(nn.Sequential(layer(), nn.ReLU()), (128, 6, 6))
    assert [each.kind for each in found] == ["Conv2d", "ReLU"]


def test_tables_of_layers_name_others_as_they_are() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    assert [each.kind for each in trace(nn.Sequential(Own()), (1, 2, 2))] == ["Own"]
