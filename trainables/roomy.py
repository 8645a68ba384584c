"""Whether a trial needs so little memory that nobody has to work out how much.

Half of what passed between two short trials on a warm worker was the prediction of
`trainables.memory`: two steps and an evaluation on the meta device. Most trials need a small part
of what they may use, and a pass of two images tells that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.evaluation import evaluation_batch_size
from trainables.live import address, tensors
from trainables.nets.parts import empty_state
from trainables.training import Stage

# Of what a pass forward makes, whether it is kept or not: that, and a gradient of each.
_OF_A_PASS = 2
# Weights, gradients, two moments of Adam, a lowered copy, and one more while a layer is at work.
_OF_WEIGHTS = 6
# What is freed and cannot be used: the heap of `trainables.heap` had a half of the rest at most.
_GAPS = 1.5


class _Made(TorchDispatchMode):
    """Adds up the bytes of all that operators make; views of what they were given are nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        given = {address(each) for each in tensors((args, kwargs))}
        made = {address(each): each.untyped_storage().nbytes() for each in tensors(found)}
        self.bytes += sum(size for name, size in made.items() if name not in given)
        return found


def fits_by_far(stage: Stage, room: float) -> bool:
    """Tell whether a stage on a CPU takes less than `room` bytes, for sure; False: perhaps not.

    What it takes beside the process itself and the data counts. The stage is of the meta device.
    """
    # Weights alone first: to have memory for them may already be too much.
    return weights_at_most(stage) < room and at_most(stage) <= room


def weights_at_most(stage: Stage) -> float:
    """Return bytes that weights, and all that is held of their size, do not exceed."""
    held = (*stage.model.parameters(), *stage.model.buffers())
    return _GAPS * _OF_WEIGHTS * sum(each.numel() * each.itemsize for each in held)


def at_most(stage: Stage) -> float:
    """Return bytes that a stage does not exceed: several times what it takes, in float32."""
    images = min(stage.batch_size, len(stage.train.labels))
    evaluated = evaluation_batch_size(stage.validation.inputs[0].numel())
    passed = _pass_bytes(stage) * max(_OF_A_PASS * images, evaluated)
    return _GAPS * passed + weights_at_most(stage)


def _pass_bytes(stage: Stage) -> int:
    """Return what one image of two makes in a pass forward, through weights that are anything.

    Black ones; two, since batch norm wants more than one value to normalise. Not on the meta
    device: many of its operators are written in Python, and import sympy for half a second of CPU,
    in every worker of a study.
    """
    shape, dtype = stage.train.inputs.shape[1:], stage.train.inputs.dtype
    weights = empty_state(stage.model)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _Made() as made:
        # In float32, as the weights are: stored activations are bfloat16 where a trial is.
        inputs = stage.prepare(torch.zeros((2, *shape), dtype=dtype)).float()
        if stage.augment is not None:
            inputs = stage.augment(inputs, torch.Generator())
        torch.func.functional_call(stage.model.train(), weights, (inputs,))
    return int(-(-made.bytes // 2))
