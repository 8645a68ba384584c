"""Randomness as a pure function: a seed for every purpose, derived from the words that name it.

No generator lives longer than one epoch, so nothing random has to be saved for a resume.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # seeds alone need no torch, and the command line starts without it
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**31) that depends on `seed` and on every word of `purpose`.

    SHA-256 of the words; seeds of different purposes are therefore unrelated.
    """
    text = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator(
    seed: int, *purpose: str | int, device: "torch.device | str" = "cpu"
) -> "torch.Generator":
    """Return a fresh torch generator on `device` for one purpose (see `derive`)."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
