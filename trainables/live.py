"""Bytes of the tensors that live during a pass on the meta device, as a real pass would have them.

Autograd runs there as anywhere: what it keeps for the way back is what it would keep.
"""

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.heap import Block, Heap

# What autocast lowers on CPU and GPU, as far as our networks use it.
_LOWERED = (torch.conv2d, functional.linear)
# Bytes that a CPU's operator takes while it runs, from its arguments: MKL draws dropout's coins as
# int32, oneDNN packs a convolution's weights, and on the way back has float32 ones twice.
_SCRATCH: dict[Any, Callable[..., int]] = {
    torch.ops.aten.bernoulli_.float: lambda coins, *_: 4 * coins.numel(),
    torch.ops.aten.convolution.default: lambda _, weight, *__: weight.numel() * weight.itemsize,
    torch.ops.aten.convolution_backward.default: lambda *given: 8 * given[2].numel(),
}


class _Held(NamedTuple):
    number: int
    size: int
    block: Block


def address(tensor: Tensor) -> int:
    """Return where the memory of a tensor is: the same for its views, and for later tensors."""
    return int(tensor.untyped_storage()._cdata)


def tensors(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors among what an operator was given, or gave."""
    return (each for each in tree_leaves(tree) if isinstance(each, Tensor))


class Live(TorchDispatchMode):
    """Counts every tensor made inside it as long as anything holds it.

    `at_peak` has the bytes, by `number`, of all that lived when that was most; `heap` places it.
    """

    def __init__(
        self,
        made_before: Iterable[Tensor] = (),
        ignored: Iterable[Tensor] = (),
        on_cpu: bool = False,
        mapped_from: float = math.inf,
    ) -> None:
        """Begin with some tensors that are there already; others, and their views, count not.

        `on_cpu` counts what its operators take for themselves, too; `mapped_from` is the heap's.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.heap = Heap(mapped_from)
        self.at_peak: Mapping[int, int] = {}
        self.peak = 0
        self._now = 0
        self._ignored = {address(tensor) for tensor in ignored}
        self._count = 0
        self._scratch = _SCRATCH if on_cpu else {}
        self._held: dict[int, _Held] = {}
        self._watches: dict[int, weakref.ref[Any]] = {}
        for tensor in made_before:
            self.hold(tensor)
        self._look()

    def hold(self, tensor: Tensor) -> None:
        """Count the memory of a tensor until it is freed."""
        memory, name = tensor.untyped_storage(), address(tensor)
        if name in self._held or name in self._ignored:
            return
        size = memory.nbytes()
        self._held[name] = _Held(self._count, size, self.heap.take(size))
        self._count += 1
        self._now += size
        self._watches[name] = weakref.ref(memory, lambda _: self._free(name))

    def number(self, tensor: Tensor) -> int:
        """Return the number of a tensor's memory: no two have the same, ever; -1 if ignored."""
        held = self._held.get(address(tensor))
        return held.number if held else -1

    def _free(self, name: int) -> None:
        _, size, block = self._held.pop(name)
        del self._watches[name]
        self._now -= size
        self.heap.give_back(block)

    def _look(self) -> None:
        if self._now > self.peak:
            self.peak = self._now
            self.at_peak = {held.number: held.size for held in self._held.values()}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count what it gave."""
        found = func(*args, **(kwargs or {}))
        made = list(tensors(found))
        if func in self._scratch:  # gone when this function ends
            size = self._scratch[func](*args)
            made.append(torch.empty(size, dtype=torch.uint8, device="meta"))
        for each in made:
            self.hold(each)
        self._look()
        return found


class Lowered(TorchFunctionMode):
    """Does on the meta device, which has no autocast, what autocast to bfloat16 does.

    Inputs of convolutions and dense layers become bfloat16; so do weights, once per pass.
    """

    def __init__(self) -> None:
        """Begin without copies."""
        super().__init__()
        self._copies: dict[Tensor, Tensor] = {}

    def __exit__(self, *error: Any) -> None:
        """Let go of the copies of the weights, as far as autograd does not keep them."""
        self._copies.clear()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function, with lower precision where autocast would."""
        if func not in _LOWERED:
            return func(*args, **(kwargs or {}))
        named = {name: self._lower(value) for name, value in (kwargs or {}).items()}
        return func(*(self._lower(value) for value in args), **named)

    def _lower(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(torch.bfloat16)
        if value not in self._copies:
            self._copies[value] = value.to(torch.bfloat16)
        return self._copies[value]
