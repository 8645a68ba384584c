"""Bytes counted by hand, and the meta device's lower precision against real autocast."""

import pytest
import torch
from torch import Tensor, nn

from trainables.live import Live, Lowered

META = torch.device("meta")
KIB = 1024


def test_what_lives_together_counts_together() -> None:
    with Live() as live:
        first = torch.empty(KIB, device=META)
        second = first + 1
        del first
        third = second * 2
        assert third.shape == (KIB,)
    assert live.peak == 2 * 4 * KIB
    assert sorted(live.at_peak.values()) == [4 * KIB, 4 * KIB]


def test_views_and_what_is_ignored_take_nothing() -> None:
    weights, data = torch.empty(KIB, device=META), torch.empty(100 * KIB, device=META)
    with Live([weights], ignored=[data]) as live:
        views = weights.view(2, -1)[0], data[:5]
    assert len(views) == 2
    assert live.peak == 4 * KIB
    assert live.number(weights) == live.number(views[0]) >= 0
    assert live.number(data) == -1


def test_numbers_are_never_used_twice() -> None:
    numbers = set()
    with Live() as live:
        for _ in range(50):
            numbers.add(live.number(torch.empty(KIB, device=META)))
    assert len(numbers) == 50
    assert live.peak == 4 * KIB


def test_a_convolution_keeps_its_input_and_weights_for_the_way_back() -> None:
    with torch.device("meta"):
        layer = nn.Conv2d(3, 5, 3, bias=False)
        images = torch.empty(2, 3, 8, 8, requires_grad=True)
    with Live([images, *layer.parameters()]) as live:
        loss = layer(images).sum()
        loss.backward()
    # In the backward pass: input, weights, output's gradient (a view of one number made 2 x 5 x
    # 6 x 6 by the convolution's input), and both gradients. The sum's own output lives, too.
    inputs, weights = 2 * 3 * 8 * 8, 5 * 3 * 3 * 3
    assert live.peak >= 4 * (2 * inputs + 2 * weights)


@pytest.mark.parametrize(("on_cpu", "scratch"), [(False, 0), (True, 4)])
def test_a_cpu_draws_the_coins_of_dropout_as_whole_numbers(on_cpu: bool, scratch: int) -> None:
    values = torch.empty(KIB, device=META)
    with Live([values], on_cpu=on_cpu) as live:
        values.bernoulli_(0.5)
    assert live.peak == (4 + scratch) * KIB


def test_a_cpu_packs_the_weights_of_a_convolution() -> None:
    with META:
        images, weights = torch.empty(1, 64, 3, 3), torch.empty(64, 64, 3, 3)
    peaks = []
    for on_cpu in (False, True):
        with Live([images, weights], on_cpu=on_cpu) as live:
            torch.conv2d(images, weights)
        peaks.append(live.peak)
    assert peaks[1] - peaks[0] == 4 * 64 * 64 * 9


class Net(nn.Module):
    """Every layer kind of our networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4).eval()
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Linear(4 * 3 * 3, 3)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.conv(images)
        pooled = self.pool(torch.relu(self.norm(maps)))
        both = torch.cat([pooled, pooled.mean((2, 3), keepdim=True).expand_as(pooled)], 1)
        return [maps, pooled, both, self.dense(pooled.flatten(1))]


def test_lower_precision_is_that_of_autocast() -> None:
    real, images = Net(), torch.zeros(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = [each.dtype for each in real(images)]
    with Lowered():
        found = [each.dtype for each in Net().to(META)(images.to(META))]
    assert len(found) == 4
    assert found == wanted
    assert torch.bfloat16 in found


def test_weights_are_lowered_once_per_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, made = nn.Linear(KIB, KIB, bias=False, device=META), []
    lowered = Lowered()
    with Live(layer.parameters()) as live, torch.no_grad():
        for _ in range(2):
            with lowered:
                one = layer(torch.empty(1, KIB, device=META))
                two = layer(one)
            made.append(two)
    # One copy of 2 bytes beside the weights of 4; vectors are small.
    assert 6 * KIB * KIB < live.peak < 6.1 * KIB * KIB
    assert {each.dtype for each in made} == {torch.bfloat16}
