"""State dicts of Inception-v3 whose files are small: every tensor repeats a single number."""

from pathlib import Path

import torch
from torch import Tensor

from trainables.backbone import backbone_shapes


def fake_state(value: float = 0.5, top: bool = False) -> dict[str, Tensor]:
    """Return tensors of the right names and shapes; with `top` the classifiers', too."""
    state = {
        name: torch.tensor(3 if name.endswith("_tracked") else value).expand(shape)
        for name, shape in backbone_shapes().items()
    }
    if top:
        state |= {"fc.bias": torch.zeros(1000), "AuxLogits.fc.bias": torch.zeros(1000)}
    return state


def write_state(path: Path, state: dict[str, Tensor] | None = None, new: bool = True) -> Path:
    """Write a state dict; expanded tensors take the room of one number each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = fake_state() if state is None else state
    torch.save(state, path, _use_new_zipfile_serialization=new)
    return path
