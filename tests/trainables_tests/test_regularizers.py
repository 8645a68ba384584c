"""L1 and L2 against sums written out by hand."""

import pytest
import torch
from torch import nn

from trainables.regularizers import convolution_penalty


class Small(nn.Module):
    """Kernels 1, -2, 3, -4 and, nested, 0.5, -0.5; biases and dense weights that would show."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, 2)
        self.block = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 1))
        self.dense = nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(1000.0)
            self.first.weight.copy_(torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]]))
            self.kernel.copy_(torch.tensor([0.5, -0.5]).reshape(2, 1, 1, 1))

    @property
    def kernel(self) -> torch.Tensor:
        return self.block.get_parameter("1.weight")


# |w|: 1 + 2 + 3 + 4 + 0.5 + 0.5 = 11; w**2: 1 + 4 + 9 + 16 + 0.25 + 0.25 = 30.5
@pytest.mark.parametrize(("kind", "value"), [("l1", 0.11), ("l2", 0.305)])
def test_strength_times_the_sum_over_all_kernels(kind: str, value: float) -> None:
    penalty = convolution_penalty(Small(), kind, 0.01)
    assert penalty.shape == ()
    assert penalty.dtype == torch.float32
    assert penalty.item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_strength_nought_costs_nothing(kind: str) -> None:
    assert convolution_penalty(Small(), kind, 0.0).item() == 0.0


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    # l1: strength * sign(w); l2: 2 * strength * w
    [
        ("l1", [0.5, -0.5, 0.5, -0.5], [0.5, -0.5]),
        ("l2", [1.0, -2.0, 3.0, -4.0], [0.5, -0.5]),
    ],
)
def test_the_gradient_reaches_the_kernels_alone(
    kind: str, first: list[float], second: list[float]
) -> None:
    model = Small()
    convolution_penalty(model, kind, 0.5).backward()
    assert model.first.weight.grad is not None
    assert model.first.weight.grad.flatten().tolist() == first
    assert model.kernel.grad is not None
    assert model.kernel.grad.flatten().tolist() == second
    biases = [p for name, p in model.named_parameters() if "bias" in name or "dense" in name]
    assert len(biases) == 4
    assert all(parameter.grad is None for parameter in biases)


@pytest.mark.parametrize("kind", ["none", "L1", "l3", ""])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^regularizer must be one of l1, l2, but got '{kind}'$"):
        convolution_penalty(Small(), kind, 0.01)
