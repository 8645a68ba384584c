"""Losses by hand and against torch's own modules."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainables.losses import LOSSES, loss_of, mean_squared_error

# Softmax (1/4, 3/4) and (1/2, 1/2).
LOGITS = torch.tensor([[0.0, math.log(3.0)], [2.0, 2.0]])
LABELS = torch.tensor([1, 0])
# Squares of (1/4, -1/4) and of (-1/2, 1/2), their mean over two classes.
FIRST, SECOND = 1 / 16, 1 / 4


def test_mean_squared_error_by_hand() -> None:
    mean = mean_squared_error(LOGITS, LABELS)
    assert mean.shape == ()
    assert mean.item() == pytest.approx((FIRST + SECOND) / 2)
    total = mean_squared_error(LOGITS, LABELS, reduction="sum")
    assert total.item() == pytest.approx(FIRST + SECOND)


def test_mean_squared_error_is_torch_s_on_softmax_and_one_hot() -> None:
    draws = torch.Generator().manual_seed(1)
    logits = torch.randn((7, 10), generator=draws, requires_grad=True)
    labels = torch.randint(0, 10, (7,), generator=draws)
    one_hot = torch.eye(10)[labels]
    expected = nn.MSELoss()(torch.softmax(logits, 1), one_hot)
    found = mean_squared_error(logits, labels)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    (ours,) = torch.autograd.grad(found, logits)
    (theirs,) = torch.autograd.grad(expected, logits)
    assert theirs.abs().max() > 1e-4
    torch.testing.assert_close(ours, theirs)


def test_mean_squared_error_stays_within_its_bounds() -> None:
    sure = torch.eye(10)[:3] * 1e4
    assert mean_squared_error(sure, torch.tensor([0, 1, 2])).item() == 0
    assert mean_squared_error(sure, torch.tensor([1, 2, 3])).item() == pytest.approx(0.2)


@pytest.mark.parametrize("name", LOSSES)
def test_each_image_s_own_loss_adds_up(name: str) -> None:
    logits, labels = torch.eye(3), torch.tensor([0, 2, 1])
    each = loss_of(name)(logits, labels, reduction="none")
    assert each.shape == (3,)
    assert each[0] < each[1]
    assert each.sum().item() == pytest.approx(
        loss_of(name)(logits, labels, reduction="sum").item()
    )


def test_losses_by_name() -> None:
    assert LOSSES == ("cross_entropy", "mean_squared_error")
    assert loss_of("cross_entropy") is functional.cross_entropy
    assert loss_of("mean_squared_error") is mean_squared_error


@pytest.mark.parametrize("name", ["mse", "", "Cross_entropy"])
def test_an_unknown_loss_is_refused(name: str) -> None:
    wanted = f"^loss must be one of cross_entropy, mean_squared_error, but got '{name}'$"
    with pytest.raises(ValueError, match=wanted):
        loss_of(name)
