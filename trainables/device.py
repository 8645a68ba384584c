"""The machine under a trial: device, precision, threads, peak memory."""

import os
import resource
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from trainables.budget import Budget

_MIB = 2**20


def choose_device(budget: Budget) -> torch.device:
    """Return the device that the budget names; auto takes a GPU where there is one."""
    if budget.device != "auto":
        return torch.device(budget.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the machine multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The instruction sets (AVX512-BF16, AMX); without them bfloat16 is emulated, and slower.
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(
        name in flags.read_text(errors="replace") for name in ("avx512_bf16", "amx_bf16", " bf16")
    )


def autocast(budget: Budget, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes run: bfloat16 autocast, or nothing."""
    lower = budget.precision == "bfloat16" or (budget.precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def set_up(budget: Budget) -> torch.device:
    """Set threads and flags for one trial, whatever an earlier trial in this process left."""
    if budget.threads:
        torch.set_num_threads(budget.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Read-only memory maps become tensors that nobody writes to.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    device = choose_device(budget)
    reset_peak_memory(device)
    return device


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of the peak, so that a reused process counts one trial only."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM: man 5 proc


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak since `reset_peak_memory`, in MiB.

    On a GPU what the allocator held; on a CPU the resident memory of the process, data included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on the device or on the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator raises a bare RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
