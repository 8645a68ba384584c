"""What NVIDIA's driver tells of this machine's GPUs, by its program nvidia-smi.

Asked so that no process needs a context of its own on a GPU, which would take memory there, or the
whole GPU where only one program may use it.
"""

import functools
import os
import subprocess
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

_PATIENCE_S = 20
# Of the compute modes that `nvidia-smi --help-query-gpu` names; the other one is Default.
_NOT_SHARED = ("Exclusive_Thread", "Exclusive_Process", "Prohibited")
# Where NVIDIA's Multi-Process Service listens, unless CUDA_MPS_PIPE_DIRECTORY says otherwise.
_MPS = "/tmp/nvidia-mps"


def held_mb() -> dict[str, float]:
    """Return the MiB in use of every GPU that the driver tells of, by UUID.

    What it does not tell, such as of a part of a GPU (MIG), is taken for free.
    """
    pairs = (row for row in _told("uuid", "memory.used") if len(row) == 2)
    return {name: float(mb) for name, mb in pairs if mb.isdecimal()}


@functools.cache
def refuses_to_share() -> bool:
    """Tell whether a GPU that may be seen is in a mode in which at most one program may use it.

    Trellis is several there: its driver, and a process for each trial. NVIDIA's Multi-Process
    Service, where it runs, is that one program, and lets others share the GPU. Asked once.
    """
    rows = [(row[0], row[1]) for row in _told("uuid", "compute_mode") if len(row) == 2]
    alone = any(mode in _NOT_SHARED for mode in _seen(rows))
    return alone and not Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", _MPS)).exists()


def _seen(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return the modes of those GPUs, (UUID, mode), that CUDA_VISIBLE_DEVICES names.

    By a beginning of the UUID, or by the number that the driver has for it: CUDA's own may be
    another where kinds differ and CUDA_DEVICE_ORDER is not PCI_BUS_ID.
    """
    names = visible_devices()
    if names is None:
        return [mode for _, mode in rows]
    return [
        mode
        for number, (uuid, mode) in enumerate(rows)
        if any(name == str(number) or uuid.startswith(name) for name in names)
    ]


def visible_devices() -> list[str] | None:
    """Return what CUDA_VISIBLE_DEVICES names, as CUDA reads it; None where it is not set.

    What follows the first name that is none counts no more.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    return list(takewhile(lambda name: name and name != "-1", map(str.strip, visible.split(","))))


def _told(*what: str) -> list[list[str]]:
    """Return a row for each GPU; none where there is no such program, or it fails."""
    words = ["nvidia-smi", f"--query-gpu={','.join(what)}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(
            words, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in told.splitlines() if line]
