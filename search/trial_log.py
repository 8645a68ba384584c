"""What happened in a trial: lines in its folder, written by the worker as they happen.

For `tail -f` on a running trial; it stays where a trial failed, whatever killed it.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainables.budget import EpochResult

NAME = "log.txt"


class TrialLog:
    """Appends to a trial's log; what happened before a kill stays above."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`, which is made with the first line."""
        self._folder = folder

    def begins(self, config: Mapping[str, Any], seed: int, epochs: int) -> None:
        """Note who trains what."""
        settings = " ".join(f"{name}={value}" for name, value in config.items())
        who = f"process {os.getpid()} on {socket.gethostname()}"
        self.add(f"{who} trains for {epochs} epochs: {settings} seed={seed}")

    def epoch(self, result: EpochResult) -> None:
        """Note an epoch."""
        self.add(
            f"epoch {result.epoch} ({result.stage}): "
            f"train loss {result.train_loss:.4f}, accuracy {result.train_accuracy:.4f}; "
            f"validation loss {result.val_loss:.4f}, accuracy {result.val_accuracy:.4f}; "
            f"{result.epoch_s:.1f} s, {result.peak_memory_mb:,.0f} MiB"
        )

    def add(self, text: str) -> None:
        """Append lines, each with the time (UTC)."""
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        with contextlib.suppress(OSError):  # a full disk is told by what matters, not by this
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / NAME).open("a", encoding="utf-8") as file:
                file.writelines(f"{now} {line}\n" for line in text.splitlines())
