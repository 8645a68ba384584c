"""Against torch's own loops over one tensor at a time, whatever order anything lies in."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import profile

from trainables.optimizers import SGD, Adam

LAST = torch.channels_last
LIKE_ITS_INDEX = torch.contiguous_format
RATE = 0.1
Kind = tuple[Callable[..., torch.optim.Optimizer], Callable[..., torch.optim.Optimizer]]
KINDS: dict[str, Kind] = {
    "adam": (
        lambda weights: Adam(weights, lr=RATE),
        lambda weights: torch.optim.Adam(weights, lr=RATE, foreach=False),
    ),
    "adam of another epsilon": (
        lambda weights: Adam(weights, lr=RATE, eps=1e-2),
        lambda weights: torch.optim.Adam(weights, lr=RATE, eps=1e-2, foreach=False),
    ),
    "sgd": (
        lambda weights: SGD(weights, lr=RATE, momentum=0.0),
        lambda weights: torch.optim.SGD(weights, lr=RATE, foreach=False),
    ),
    "sgd with momentum": (
        lambda weights: SGD(weights, lr=RATE, momentum=0.9),
        lambda weights: torch.optim.SGD(weights, lr=RATE, momentum=0.9, foreach=False),
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_order = pytest.mark.parametrize("order", [LIKE_ITS_INDEX, LAST])


def drawn(number: int, order: torch.memory_format = LIKE_ITS_INDEX) -> list[Tensor]:
    """Return the numbers of a kernel, a matrix and a bias."""
    draws = torch.Generator().manual_seed(number)
    kernel = torch.randn((8, 4, 3, 3), generator=draws).contiguous(memory_format=order)
    return [kernel, torch.randn((5, 7), generator=draws), torch.randn(5, generator=draws)]


def weights(order: torch.memory_format = LIKE_ITS_INDEX) -> list[Tensor]:
    return [each.requires_grad_() for each in drawn(0, order)]


def stepped(
    optimizer: torch.optim.Optimizer,
    held: list[Tensor],
    steps: range = range(1, 4),
    order: torch.memory_format = LIKE_ITS_INDEX,
) -> list[Tensor]:
    """Return the weights after steps whose gradients lie in `order`."""
    for number in steps:
        for each, gradient in zip(held, drawn(number, order), strict=True):
            each.grad = gradient
        optimizer.step()
    return [each.detach() for each in held]


def reference(kind: str, steps: range = range(1, 4)) -> list[Tensor]:
    held = weights()
    return stepped(KINDS[kind][1](held), held, steps)


def same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@each_kind
@each_order
@pytest.mark.parametrize("gradients", [LIKE_ITS_INDEX, LAST])
def test_equals_torch_in_every_order(
    kind: str, order: torch.memory_format, gradients: torch.memory_format
) -> None:
    held = weights(order)
    same(stepped(KINDS[kind][0](held), held, order=gradients), reference(kind))
    assert held[0].is_contiguous(memory_format=order)


def test_adam_by_hand() -> None:
    held = torch.tensor([1.0, 1.0], requires_grad=True)
    optimizer = Adam([held], lr=0.5, eps=1.0)
    held.grad = torch.tensor([3.0, -1.0])
    optimizer.step()
    # Both moments are unbiased: g and g**2, so a step is 0.5 g / (|g| + 1).
    torch.testing.assert_close(held.detach(), torch.tensor([1 - 0.5 * 0.75, 1 + 0.5 * 0.5]))


def test_momentum_by_hand() -> None:
    held = torch.tensor([1.0], requires_grad=True)
    optimizer = SGD([held], lr=0.5, momentum=0.5)
    for _ in range(2):
        held.grad = torch.tensor([1.0])
        optimizer.step()
    assert held.item() == 1 - 0.5 * 1 - 0.5 * 1.5


@each_kind
@each_order
@pytest.mark.parametrize("saved", [LIKE_ITS_INDEX, LAST])
@pytest.mark.parametrize("ours", [True, False])
def test_a_state_goes_on_whoever_saved_it(
    kind: str, order: torch.memory_format, saved: torch.memory_format, ours: bool
) -> None:
    begun = weights(saved)
    first = KINDS[kind][0 if ours else 1](begun)
    stepped(first, begun, range(1, 3), order=saved)
    held = weights(order)
    with torch.no_grad():
        for each, other in zip(held, begun, strict=True):
            each.copy_(other)
    second = KINDS[kind][0](held)
    second.load_state_dict(first.state_dict())
    same(stepped(second, held, range(3, 5)), reference(kind, range(1, 5)))


@each_kind
def test_torch_goes_on_with_our_state(kind: str) -> None:
    held = weights(LAST)
    first = KINDS[kind][0](held)
    stepped(first, held, range(1, 3))
    second = KINDS[kind][1](held)
    state = first.state_dict()
    for group in state["param_groups"]:
        group["fused"] = False
    second.load_state_dict(state)
    same(stepped(second, held, range(3, 5)), reference(kind, range(1, 5)))


@each_kind
def test_weights_may_be_laid_out_anew_between_two_steps(kind: str) -> None:
    held = weights()
    optimizer = KINDS[kind][0](held)
    stepped(optimizer, held, range(1, 3))
    with torch.no_grad():
        held[0].data = held[0].contiguous(memory_format=LAST)
    same(stepped(optimizer, held, range(3, 5)), reference(kind, range(1, 5)))


@each_kind
def test_weights_without_a_gradient_stay(kind: str) -> None:
    held = weights()
    optimizer = KINDS[kind][0](held)
    held[0].grad = drawn(1)[0]
    optimizer.step()
    assert not torch.equal(held[0], drawn(0)[0])
    assert torch.equal(held[1], drawn(0)[1])
    assert torch.equal(held[2], drawn(0)[2])
    assert set(optimizer.state) <= {held[0]}


def copied(optimizer: torch.optim.Optimizer) -> list[list[int]]:
    """Return the shapes of what a step copies, single numbers aside."""
    with profile(record_shapes=True) as seen:
        optimizer.step()
    events = [(event.name, event.input_shapes) for event in seen.events()]
    assert any(name.startswith("aten::_fused_") for name, _ in events)
    return [shapes[0] for name, shapes in events if name == "aten::copy_" and shapes[0]]


@each_kind
def test_nothing_is_copied(kind: str) -> None:
    held = weights(LAST)
    optimizer = KINDS[kind][0](held)
    stepped(optimizer, held, order=LAST)
    assert copied(optimizer) == []


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="told of torch 2.13")
def test_torch_itself_copies_gradients_of_channels_last() -> None:
    """What the module is for: a version of torch that has mended it would do without."""
    held = weights(LAST)
    optimizer = torch.optim.SGD(held, lr=RATE, fused=True)
    stepped(optimizer, held, order=LAST)
    assert copied(optimizer) == [[8, 4, 3, 3]]


def test_weights_with_gaps_are_refused() -> None:
    held = torch.zeros((4, 6))[:, ::2].requires_grad_()
    held.grad = torch.zeros((4, 3))
    with pytest.raises(ValueError, match=r"strides \(6, 2\) do not lie in one piece"):
        Adam([held], lr=RATE).step()


@pytest.mark.parametrize("rate", [-1.0])
def test_a_bad_rate_is_refused(rate: float) -> None:
    made: list[Callable[[Any], object]] = [
        lambda held: Adam(held, lr=rate),
        lambda held: SGD(held, lr=rate, momentum=0.9),
    ]
    for make in made:
        with pytest.raises(ValueError, match="learning rate"):
            make(weights())
