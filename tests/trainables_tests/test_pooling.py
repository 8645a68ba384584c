"""Pooling with ReLU in one step: against torch's two layers, and gradients by hand."""

import pytest
import torch
from torch import Tensor, nn

from trainables.nets.parts import on_cpu, taken_for_cpu
from trainables.nets.pooling import pooled

LAST = torch.channels_last


class Block(nn.Module):
    """As the networks use it; `left_alone` says that torch's own pooling was not called."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.activation = nn.MaxPool2d(2), nn.ReLU()
        self.left_alone = True
        self.pool.register_forward_hook(self._note)

    def _note(self, *_: object) -> None:
        self.left_alone = False

    def forward(self, x: Tensor) -> Tensor:
        return pooled(x, self.pool, self.activation)


def by_torch(x: Tensor) -> Tensor:
    return torch.relu(torch.max_pool2d(x, 2))


def distinct(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Whole numbers of both signs that bfloat16 holds; no two of one window are equal."""
    draws = torch.Generator().manual_seed(1)
    n, channels, height, width = shape
    places = [torch.randperm(256, generator=draws) for _ in range(-(-height * width // 256))]
    plane = torch.cat(places)[: height * width].reshape(1, 1, height, width)
    shifted = torch.arange(n * channels).reshape(n, channels, 1, 1)
    return ((plane + shifted) % 256 - 192).to(dtype).contiguous(memory_format=LAST)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape", [(3, 6, 8, 10), (2, 3, 9, 7), (2, 1, 4, 5), (1, 15, 2, 2), (2, 6, 5, 4)]
)
def test_equals_torch(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    block = Block()
    x = distinct(shape, dtype).requires_grad_()
    found, wanted = block(x), by_torch(x)
    assert block.left_alone
    assert 0 < (found == 0).sum() < found.numel()
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=LAST)
    given = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    (ours,), (theirs,) = (torch.autograd.grad(each, x, given) for each in (found, wanted))
    assert torch.equal(ours, theirs)
    assert ours.any()
    with torch.no_grad():
        assert torch.equal(block(x), wanted)


def test_the_gradient_goes_to_the_largest_if_it_is_positive() -> None:
    rows = [[1.0, 2, 9, 3, 7], [0, -1, 4, 5, 7], [-1, -2, 3, 1, 7], [-5, -3, 6, 8, 7]]
    x = torch.tensor(rows)[None, None].requires_grad_()
    (found,) = torch.autograd.grad(
        pooled(x, nn.MaxPool2d(2), nn.ReLU()), x, torch.tensor([[[[10.0, 20], [30, 40]]]])
    )
    wanted = [[0, 10.0, 20, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 40, 0]]
    assert found[0, 0].tolist() == wanted


def test_one_of_equals_gets_the_gradient() -> None:
    x = torch.ones((2, 6, 4, 4)).contiguous(memory_format=LAST).requires_grad_()
    (found,) = torch.autograd.grad(pooled(x, nn.MaxPool2d(2), nn.ReLU()).sum(), x)
    windows = found.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.equal(windows.sort().values, torch.tensor([0.0, 0, 0, 1]).expand(2, 6, 2, 2, 4))


@pytest.mark.parametrize("bad", [float("nan"), -float("nan"), float("inf")])
def test_what_diverged_is_not_hidden(bad: float) -> None:
    for place in range(4):
        x = torch.full((1, 6, 2, 2), -1.0).contiguous(memory_format=LAST)
        x[0, 2, place // 2, place % 2] = bad
        assert torch.equal(Block()(x).isfinite().flatten(), torch.arange(6) != 2)


def test_torch_pools_what_it_is_fast_at_or_what_fits_nothing_else() -> None:
    wide = torch.randn((2, 16, 4, 4)).contiguous(memory_format=LAST)
    for x in (wide, wide[:, :6].contiguous(), wide[:, :6].double()):
        block = Block()
        assert torch.equal(block(x), by_torch(x))
        assert not block.left_alone
    assert not on_cpu(torch.empty(1, device="meta"))
    with pytest.raises(RuntimeError, match="too small"):
        Block()(torch.randn((1, 6, 1, 4)))


def test_an_exported_graph_has_torchs_own_layers() -> None:
    x = torch.randn((2, 6, 4, 4)).contiguous(memory_format=LAST)
    graph = torch.export.export(Block().eval(), (x,))
    names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert [name.split(".")[1] for name in names] == ["max_pool2d", "relu"]


def test_what_is_kept_by_hand() -> None:
    """Of 6 x 8 x 8: a choice of rows for 6 x 4 x 8, of columns for 6 x 4 x 4, and the results."""
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() * tensor.itemsize)
        return tensor

    x = torch.empty((1, 6, 8, 8), device="meta", memory_format=LAST, requires_grad=True)
    with taken_for_cpu(True), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        Block()(x)
    assert sorted(kept) == [4 * 6 * 16, 4 * 6 * 16, 4 * 6 * 32]
    assert not on_cpu(x)
