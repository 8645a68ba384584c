"""What several networks share: torch's initialisation from a given generator, input scaling."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn


def torch_init(model: nn.Module, generator: torch.Generator) -> None:
    """Initialise as torch does by default, but from `generator` and not from the global one.

    Weights and biases of convolutions and dense layers are uniform within 1 / sqrt(fan in):
    for weights this is `kaiming_uniform_(a=sqrt(5))`, as in `reset_parameters` of torch's layers.
    Drawn in the order in which torch draws them.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def reset_others(model: nn.Module, generator: torch.Generator) -> None:
    """Initialise what is neither a convolution nor a dense layer, as its layers do by default.

    Batch norm, for one, whose weights and running statistics are not drawn; layers that draw get
    a seed from `generator`.

    Raises:
        ValueError: a layer has weights of its own, or buffers, and no way to reset them.
    """
    for module in model.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if not own or isinstance(module, nn.Conv2d | nn.Linear):
            continue
        reset = getattr(module, "reset_parameters", None)
        if reset is None:
            kind = type(module).__name__
            raise ValueError(
                f"{kind} has weights or buffers, and no reset_parameters to fill them"
            )
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            reset()


def empty_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict of a network of the meta device: memory on the CPU, nothing in it."""
    return {
        name: torch.empty_strided(held.shape, held.stride(), dtype=held.dtype)
        for name, held in model.state_dict().items()
    }


def give_memory(model: nn.Module) -> None:
    """Give a network of the meta device memory on the CPU, with nothing in it.

    As `model.to_empty(device="cpu")`, which asks the meta device, and so imports sympy for 0.5 s.
    """
    model.load_state_dict(empty_state(model), assign=True)


def to_signed(images: Tensor) -> Tensor:
    """Scale images from [0, 1] to [-1, 1]: (x - 0.5) / 0.5.

    In the network, not before it: augmentation works in [0, 1], where black moves in at the edge.
    """
    return images * 2 - 1


def flatten(features: Tensor) -> Tensor:
    """[n, channels, height, width] -> [n, features] in the memory's own order, channels last.

    For the dense layer behind it the same up to the order of its inputs, without a transposed
    copy of every batch forwards and backwards.
    """
    return features.permute(0, 2, 3, 1).flatten(1)


def is_plain(layer: nn.Conv2d) -> bool:
    """Tell whether a kernel stops at every pixel, sees neighbours and has all channels."""
    return layer.stride == layer.dilation == (1, 1) and layer.groups == 1


_as_on_cpu: ContextVar[bool] = ContextVar("_as_on_cpu", default=False)


@contextmanager
def taken_for_cpu(taken: bool) -> Iterator[None]:
    """Let passes on the meta device take the ways of a CPU, to count the memory of one."""
    token = _as_on_cpu.set(taken)
    try:
        yield
    finally:
        _as_on_cpu.reset(token)


def on_cpu(x: Tensor) -> bool:
    """Tell whether to take a way made for CPUs; an exported graph keeps torch's own layers."""
    here = x.device.type == "cpu" or (x.device.type == "meta" and _as_on_cpu.get())
    return here and not torch.compiler.is_exporting()
