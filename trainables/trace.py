"""A network layer by layer, from a pass on the meta device: shapes and counts without memory."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainables.live import tensors

_BFLOAT16 = 2  # bytes of a value


@dataclass(frozen=True)
class Layer:
    """One layer in the order of the forward pass.

    `output` is its shape for one example as height x width x channels, or the number of units;
    `trained` of its `parameters` learn; `activation_bytes` and `multiply_adds` are per example.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    trained: int
    activation_bytes: int
    multiply_adds: int

    @property
    def trainable(self) -> bool:
        """Tell whether any of it learns."""
        return self.trained > 0


def trace(model: nn.Module, example: tuple[int, ...]) -> list[Layer]:
    """Return the layers of `model` for an example [channels, height, width].

    `model` may be on the meta device; it is moved there, so a real one must be a copy.
    A value takes the 2 bytes of bfloat16; a max pooling keeps an index of 8 bytes beside each for
    the way back.

    Raises:
        ValueError: the example does not fit the network.
    """
    layers: list[Layer] = []
    leaves = [(name, m) for name, m in model.named_modules() if name and not list(m.children())]
    handles = [module.register_forward_hook(_hook(name, layers)) for name, module in leaves]
    try:
        with torch.no_grad():
            model.to("meta").eval()(torch.empty(1, *example, device="meta"))
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        raise ValueError(f"an example {example} does not fit the network: {text}") from None
    finally:
        for handle in handles:
            handle.remove()
    return layers


def _hook(name: str, layers: list[Layer]) -> Any:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], given: Any) -> None:
        output = next(tensors(given))  # of a recurrent layer: its outputs, then its states
        shape = tuple(output.shape[1:])
        values = math.prod(shape)
        per_value = _BFLOAT16 + (8 if isinstance(module, nn.MaxPool2d) else 0)
        own = list(module.parameters())
        layers.append(
            Layer(
                name=name,
                kind=_kind(module),
                output=(*shape[1:], shape[0]) if len(shape) == 3 else shape,
                parameters=sum(p.numel() for p in own),
                trained=sum(p.numel() for p in own if p.requires_grad),
                activation_bytes=values * per_value,
                multiply_adds=multiply_adds(module, inputs[0], output),
            )
        )

    return record


def _kind(module: nn.Module) -> str:
    """Return the name of a layer's class: of torch's where ours is one of its layers, faster."""
    kinds = type(module).__mro__
    ours = type(module).__module__.startswith("trainables.nets.")
    faster = ours and kinds[1].__module__.startswith("torch.nn.modules.") and kinds[1] != nn.Module
    return kinds[int(faster)].__name__


def multiply_adds(module: nn.Module, inputs: Tensor, output: Tensor) -> int:
    """Return the multiply-adds of one example: of convolutions and dense layers, 0 for others."""
    if isinstance(module, nn.Conv2d):
        return math.prod(output.shape[1:]) * math.prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return math.prod(output.shape[1:]) * module.in_features
    return 0
