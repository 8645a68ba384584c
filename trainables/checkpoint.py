"""A trial's own files: the checkpoint to go on from, and the weights of its best epoch.

Tensors and plain values only, so that `torch.load(weights_only=True)` reads them.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.budget import Budget, EpochResult, best_of
from trainables.device import is_out_of_memory
from trainables.errors import TrellisError, is_of_machine
from trainables.files import check_sums, replace_file

CHECKPOINT_NAME = "checkpoint.pt"
WEIGHTS_NAME = "best.pt"
LAST_NAME = "last.pt"
# A checkpoint of the published LeNet is 0.3 GB and takes 0.2 to 0.8 s. Writing may take so much of
# the time at most, the first one included; which epochs have one changes no result, since an epoch
# done again comes out the same. A kill costs half a minute of training at most, or one epoch.
_MAX_SHARE = 0.03
# Until the first has told what one takes: the slow end of what was measured.
_BYTES_PER_S = 4e8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A trial as it stood after an epoch.

    `models` holds a state dict for each stage that had begun: those of stages that had ended as
    they ended, so that a later stage that builds on them finds what it found before. `passes` are
    the most images that the network saw at once, by stage (None: a batch), as they fit into
    `room`: memory, device and precision.
    """

    history: list[EpochResult]
    models: list[dict[str, Tensor]]
    optimizer: dict[str, Any]
    passes: list[int | None] | None = None  # an older version's has none
    room: list[Any] | None = None


def read_checkpoint(budget: Budget, identity: str) -> Checkpoint | None:
    """Return the checkpoint in the budget's folder; None if there is none to go on from.

    One that is damaged, or that another configuration wrote, is removed: the trial starts anew.
    """
    if budget.folder is None:
        return None
    path = budget.folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        checkpoint = _read(path, budget, identity)
    except Exception as error:  # a damaged file raises nearly anything
        if is_out_of_memory(error) or is_of_machine(error):
            raise
        _log.warning("%s cannot be used, the trial starts anew: %s", path, error)
        path.unlink(missing_ok=True)
        return None
    return checkpoint


def _read(path: Path, budget: Budget, identity: str) -> Checkpoint:
    check_sums(path)
    state = dict(torch.load(path, weights_only=True, map_location="cpu"))
    if state["identity"] != identity:
        raise ValueError("another configuration, seed or data set wrote it")
    history = [EpochResult(**row) for row in state["history"]]
    if len(history) > budget.epochs:
        raise ValueError(f"it has {len(history)} epochs, the budget {budget.epochs}")
    parts = state.get("passes"), state.get("room")
    return Checkpoint(history, state["models"], state["optimizer"], *parts)


class Keeper:
    """Writes the checkpoint and the best weights of one trial, within its budget."""

    def __init__(
        self,
        budget: Budget,
        identity: str,
        history: list[EpochResult],
        passes: Sequence[int | None] = (),
        room: Sequence[Any] = (),
    ) -> None:
        """Keep `history`, which the caller appends to, `passes` and `room` in every checkpoint."""
        self._budget = budget
        self._passes, self._room = list(passes), list(room)
        self._identity = identity
        self._history = history
        self._ended: list[dict[str, Tensor]] = []
        self._spent_s: float | None = None
        self._since = time.monotonic()

    def keep(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Save what the latest epoch of the history calls for. Weights come first.

        A kill between the two files then leaves the older checkpoint, and the epoch is redone.
        """
        folder, latest = self._budget.folder, self._history[-1]
        if folder is None:
            return
        if best_of(self._history) is latest and latest.val_accuracy >= self._budget.keep_above:
            save_weights(folder / WEIGHTS_NAME, model, latest)
        if self._due(model, optimizer) and latest.epoch < self._budget.epochs:
            started = time.monotonic()
            self._save(folder / CHECKPOINT_NAME, model, optimizer)
            self._since = time.monotonic()
            self._spent_s = self._since - started

    def keep_last(self, model: torch.nn.Module) -> None:
        """Save the weights of the trial's last epoch, if the budget asks for them.

        Called before that epoch is told: who has heard of it finds them.
        """
        if self._budget.folder is not None and self._budget.keep_last:
            save_weights(self._budget.folder / LAST_NAME, model, self._history[-1])

    def end_stage(self, model: torch.nn.Module) -> None:
        """Keep a copy of a stage's final weights in the checkpoints of the stages after it."""
        if self._budget.folder is not None:
            # A copy, since the next stage may train the same modules.
            weights = model.state_dict()
            self._ended.append({k: v.to("cpu", copy=True) for k, v in weights.items()})

    def _due(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        spent_s = self._spent_s
        if spent_s is None:
            spent_s = _bytes([*self._ended, model.state_dict(), optimizer.state]) / _BYTES_PER_S
        return time.monotonic() - self._since >= spent_s / _MAX_SHARE

    def _save(self, path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "identity": self._identity,
            "models": [*self._ended, model.state_dict()],
            "optimizer": optimizer.state_dict(),
            "history": [asdict(result) for result in self._history],
            "passes": self._passes,
            "room": self._room,
        }
        replace_file(path, lambda aside: torch.save(state, aside))


def _bytes(state: object) -> int:
    """Return the bytes of all tensors in lists and dicts of lists and dicts."""
    if isinstance(state, Tensor):
        return state.numel() * state.itemsize
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list) else 0


def save_weights(path: Path, model: torch.nn.Module, result: EpochResult) -> None:
    """Write the weights and the epoch they belong to."""
    state = {"model": model.state_dict(), **asdict(result)}
    replace_file(path, lambda aside: torch.save(state, aside))


def load_weights(path: Path) -> dict[str, Any]:
    """Return what `save_weights` wrote: the state dict under "model", and the epoch's numbers.

    Raises:
        OSError: the file cannot be read.
        TrellisError: it is damaged. Torch's own words are left out: they advise to read it so
            that it may run code.
    """
    try:
        check_sums(path)
        return dict(torch.load(path, weights_only=True, map_location="cpu"))
    except OSError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        if is_out_of_memory(error):
            raise
        raise TrellisError(
            f"{path} is damaged: no file of tensors that can be read safely "
            f"({type(error).__name__}); restore it, or train again"
        ) from error
