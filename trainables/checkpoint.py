"""A trial's own files: the checkpoint to go on from, and the weights of its best epoch.

Tensors and plain values only, so that `torch.load(weights_only=True)` reads them.
"""

import pickle
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainables.budget import Budget, EpochResult, best_of
from trainables.files import replace_file

CHECKPOINT_NAME = "checkpoint.pt"
WEIGHTS_NAME = "best.pt"
# A checkpoint of the published LeNet is 0.3 GB. Writing may take a tenth of the time at most;
# which epochs have one changes no result, since an epoch done again comes out the same.
_MAX_SHARE = 0.1


def read_checkpoint(budget: Budget, identity: str) -> dict[str, Any] | None:
    """Return the checkpoint in the budget's folder; None if there is none to go on from.

    One that is damaged, or that another configuration wrote, is removed: the trial starts anew.
    """
    if budget.folder is None:
        return None
    path = budget.folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        usable = state["identity"] == identity
    except (RuntimeError, KeyError, TypeError, EOFError, OSError, pickle.UnpicklingError):
        usable = False
    if not usable:
        path.unlink(missing_ok=True)
        return None
    return dict(state)


class Keeper:
    """Writes the checkpoint and the best weights of one trial, within its budget."""

    def __init__(self, budget: Budget, identity: str, history: list[EpochResult]) -> None:
        """Keep `history`, which the caller appends to, in every checkpoint."""
        self._budget = budget
        self._identity = identity
        self._history = history
        self._spent_s = 0.0
        self._since = time.monotonic()

    def keep(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Save what the latest epoch of the history calls for. Weights come first.

        A kill between the two files then leaves the older checkpoint, and the epoch is redone.
        """
        folder, latest = self._budget.folder, self._history[-1]
        if folder is None:
            return
        if best_of(self._history) is latest and latest.val_accuracy > self._budget.keep_above:
            save_weights(folder / WEIGHTS_NAME, model, latest)
        if self._due() and latest.epoch < self._budget.epochs:
            started = time.monotonic()
            self._save(folder / CHECKPOINT_NAME, model, optimizer)
            self._since = time.monotonic()
            self._spent_s = self._since - started

    def _due(self) -> bool:
        return time.monotonic() - self._since >= self._spent_s / _MAX_SHARE

    def _save(self, path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "identity": self._identity,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": [asdict(result) for result in self._history],
        }
        replace_file(path, lambda aside: torch.save(state, aside))


def save_weights(path: Path, model: torch.nn.Module, result: EpochResult) -> None:
    """Write the weights and the epoch they belong to."""
    state = {"model": model.state_dict(), **asdict(result)}
    replace_file(path, lambda aside: torch.save(state, aside))


def load_weights(path: Path) -> dict[str, Any]:
    """Return what `save_weights` wrote: the state dict under "model", and the epoch's numbers."""
    return dict(torch.load(path, weights_only=True, map_location="cpu"))
