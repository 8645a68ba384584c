"""Quick dropout: what torch's own promises, with other draws."""

import pytest
import torch
from torch import Tensor, nn

from trainables.nets.dropout import QuickDropout, drawn
from trainables.nets.parts import taken_for_cpu


def dropped(x: Tensor, rate: float, seed: int = 1) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found: Tensor = QuickDropout(rate)(x)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.75])
def test_as_many_are_dropped_as_asked_and_the_others_make_up_for_it(
    rate: float, dtype: torch.dtype
) -> None:
    found = dropped(torch.ones((400, 1001), dtype=dtype), rate)
    # 400,400 coins: five standard deviations are 0.004 at most.
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=0.004)
    larger = (torch.ones(1, dtype=dtype) / (1 - rate)).item()
    assert found.unique().tolist() == [0, larger]


def test_neighbours_of_any_distance_are_independent() -> None:
    kept = (dropped(torch.ones(400_000), 0.5) > 0).float()
    for distance in (1, 2, 3, 4, 5, 8, 624):  # four coins share a word of 64 bits
        both = (kept[distance:] * kept[:-distance]).mean().item()
        assert both == pytest.approx(0.25, abs=0.005), distance  # five standard deviations


def test_the_gradient_goes_where_the_value_went() -> None:
    x = torch.full((6, 7), 3.0, requires_grad=True)
    found = dropped(x, 0.5)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert 0 < (gradient == 0).sum() < 42
    assert torch.equal(gradient * 3, found)


def test_the_ends_of_the_rate() -> None:
    x = torch.randn(5, 3)
    state = torch.get_rng_state()
    assert torch.equal(QuickDropout(0.0)(x), x)
    assert torch.equal(QuickDropout(0.5).eval()(x), x)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn
    assert torch.equal(dropped(x, 1.0), torch.zeros(5, 3))
    assert dropped(torch.ones(100_000), 1e-6).min() > 0
    assert dropped(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_draws_follow_from_the_seed_alone() -> None:
    x = torch.ones(10, 9)
    assert torch.equal(dropped(x, 0.5), dropped(x, 0.5))
    assert not torch.equal(dropped(x, 0.5), dropped(x, 0.5, seed=2))
    alone = drawn(QuickDropout(0.5), x, torch.Generator().manual_seed(1))
    assert torch.equal(dropped(x, 0.5), alone)


def test_other_devices_and_layers_draw_as_torch_does() -> None:
    x = torch.ones(50, 20)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        wanted = nn.Dropout(0.3)(x)
    assert torch.equal(drawn(nn.Dropout(0.3), x, torch.Generator().manual_seed(1)), wanted)
    elsewhere = torch.empty(4, 5, device="meta", dtype=torch.bfloat16)
    for taken in (False, True):
        with taken_for_cpu(taken):
            assert QuickDropout(0.5)(elsewhere).shape == (4, 5)
