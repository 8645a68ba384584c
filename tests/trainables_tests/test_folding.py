"""Two columns at a time: against the layer itself, and by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.nets.folding import convolved
from trainables.nets.parts import taken_for_cpu

LAST = torch.channels_last


def layer(**options: Any) -> nn.Conv2d:
    given = {"in_channels": 3, "out_channels": 6, "kernel_size": 5} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Conv2d(**given).to(memory_format=LAST)  # type: ignore[call-overload, no-any-return]


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    return drawn.to(dtype, memory_format=LAST).requires_grad_()


def takes_two_columns(of: nn.Conv2d, x: Tensor) -> bool:
    calls: list[int] = []
    handle = of.register_forward_hook(lambda *_: calls.append(1))
    convolved(of, x)
    handle.remove()
    return not calls


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("channels", "out", "width"), [(3, 6, 20), (3, 3, 19), (1, 8, 9)])
def test_equals_the_layer_but_for_an_odd_last_column(
    kernel: int, channels: int, out: int, width: int
) -> None:
    of = layer(in_channels=channels, out_channels=out, kernel_size=kernel)
    x = images(2, channels, 11, width)
    assert takes_two_columns(of, x)
    found, wanted = convolved(of, x), of(x)
    columns = (width - kernel + 1) // 2 * 2
    assert found.shape == (2, out, 12 - kernel, columns)
    assert found.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(found, wanted[..., :columns], rtol=1e-5, atol=1e-6)
    given = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    inputs = [x, *of.parameters()]
    assert len(inputs) == 3
    ours = torch.autograd.grad(found, inputs, given)
    theirs = torch.autograd.grad(wanted[..., :columns], inputs, given)
    for one, other in zip(ours, theirs, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_lower_precision_rounds_the_same_results() -> None:
    of, x = layer(), images(2, 3, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = convolved(of, x), of(x)
    assert found.dtype == wanted.dtype == torch.bfloat16
    # 8 bits of mantissa: sums in another order end at most one step apart.
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=2**-8)


def test_a_step_by_hand() -> None:
    of = layer(in_channels=1, out_channels=1, kernel_size=3, bias=False)
    kernel = torch.tensor([[0.0, 0, 0], [1, 10, 100], [0, 0, 0]])
    with torch.no_grad():
        of.weight.copy_(kernel)
    x = torch.zeros((1, 1, 3, 6)).contiguous(memory_format=LAST)
    x[0, 0, 1] = torch.tensor([1.0, 2, 3, 4, 5, 6])
    assert convolved(of, x).flatten().tolist() == [321, 432, 543, 654]


@pytest.mark.parametrize(
    "options",
    [
        {"out_channels": 9},
        {"kernel_size": 4},
        {"stride": 2},
        {"padding": 1},
        {"dilation": 2},
        {"groups": 3},
    ],
)
def test_other_layers_are_left_alone(options: dict[str, Any]) -> None:
    of, x = layer(**options), images(1, 3, 12, 12)
    assert not takes_two_columns(of, x)
    assert torch.equal(convolved(of, x), of(x))


def test_other_images_are_left_alone() -> None:
    x = images(1, 3, 12, 12)
    assert takes_two_columns(layer(), x)
    assert not takes_two_columns(layer(), x.contiguous())
    assert not takes_two_columns(layer().double(), x.double())
    assert not takes_two_columns(layer(), images(1, 3, 12, 5))
    with torch.device("meta"):
        of, elsewhere = layer(), torch.empty((1, 3, 12, 12), memory_format=LAST)
    assert not takes_two_columns(of, elsewhere)
    with taken_for_cpu(True):
        assert takes_two_columns(of, elsewhere)
