"""The machine under a trial: device, precision, threads, peak memory."""

import contextlib
import ctypes
import errno
import gc
import logging
import math
import re
import resource
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from trainables import cpu, cuda
from trainables.budget import ALLOCATOR_MARGIN, Budget
from trainables.cuda import can_compute
from trainables.eager import spare_compiler
from trainables.errors import DeviceError

_log = logging.getLogger(__name__)
_MIB = 2**20
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_NO_GPU_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuDNN 9; of the host's memory there is a name, too, which is not of the GPU.
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
_NO_MEMORY = ("can't allocate memory", *_NO_GPU_MEMORY)
_ASKED = re.compile(r"Tried to allocate ([0-9.]+) (bytes|KiB|MiB|GiB)")
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": _MIB, "GiB": 2**30}
# Of malloc.h: no mappings of their own (M_MMAP_MAX), no trimming below 2 GiB (M_TRIM_THRESHOLD),
# grow by 64 MiB (M_TOP_PAD), one arena for all threads (M_ARENA_MAX).
_MALLOC = {-4: 0, -1: 2**31 - 1, -2: 64 * _MIB, -8: 1}
# Where memory is tight, blocks from here on, in bytes, are mapped (M_MMAP_THRESHOLD), as many as
# by default (M_MMAP_MAX). Older versions of glibc take no larger threshold: man 3 mallopt.
LARGE_BLOCK = 32 * _MIB
_MAPPED = {-3: LARGE_BLOCK, -4: 65536}


def choose_device(budget: Budget) -> torch.device:
    """Return the device that the budget names; auto takes a GPU where there is one.

    Raises:
        TrellisError: cuda where torch sees no GPU, or none that it can compute on.
    """
    if budget.device == "cpu":
        return torch.device("cpu")
    found = can_compute()
    if budget.device == "cuda" and not found:
        raise DeviceError(
            f"device cuda: torch {torch.__version__} sees no GPU here that it can use; "
            "use auto or cpu"
        )
    return torch.device("cuda" if found else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the machine multiplies bfloat16 in hardware."""
    return cuda.has_bfloat16() if device.type == "cuda" else cpu.has_bfloat16()


def autocast(budget: Budget, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes run: bfloat16 autocast, or nothing."""
    lower = precision(budget, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def precision(budget: Budget, device: torch.device) -> str:
    """Return bfloat16 or float32: what forward passes run in.

    On a GPU without bfloat16 always float32: a study of another machine may ask for it there, but
    cuDNN has no such convolutions (`set_up` tells of it). A CPU has it everywhere, if slowly.
    """
    if budget.precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return "float32" if lacks_bfloat16(budget, device) else budget.precision


def lacks_bfloat16(budget: Budget, device: torch.device) -> bool:
    """Tell whether bfloat16 was asked for, and this machine's GPU does not have it."""
    if budget.precision != "bfloat16" or device.type != "cuda":
        return False
    return can_compute() and not has_bfloat16(device)


def warn_of_precision(budget: Budget, device: torch.device) -> None:
    """Tell the user where `precision` is not what was asked for."""
    if lacks_bfloat16(budget, device):
        _log.warning("this GPU does not multiply bfloat16: training in float32")


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next batch instead of giving it back each time.

    Every step allocates the same hundreds of megabytes. By default each comes as a new mapping
    whose pages the kernel must fault in and clear; without that, LeNet at 299x299 trains 1.4
    times as fast (benchmarks/README.md). What a trial held goes back to the system when the next
    one begins.
    """
    _set_malloc(_MALLOC)
    _trim_heap()


def map_large_blocks() -> None:
    """Let glibc map blocks of `LARGE_BLOCK` and more one by one, and give them back when freed.

    For a trial whose memory is tight, until `keep_freed_memory` is called: no gaps stay where they
    lay, and a step takes more time, for pages that come anew (both in benchmarks/README.md). A
    block that fits into what an earlier trial of the process left still goes there.
    """
    _set_malloc(_MAPPED)


def give_back_memory() -> None:
    """Give freed memory back to the system and the GPU, where no trial follows here."""
    _trim_heap()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _set_malloc(parameters: Mapping[int, int]) -> None:
    with contextlib.suppress(OSError, AttributeError):  # another C library, with rules of its own
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter, value in parameters.items():
            mallopt(parameter, value)


def _trim_heap() -> None:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def set_up(budget: Budget) -> torch.device:
    """Set threads and flags for one trial, whatever an earlier trial in this process left."""
    if budget.threads:
        torch.set_num_threads(budget.threads)
    spare_compiler()
    keep_freed_memory()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # TensorFloat-32 keeps 10 bits of the mantissa: not what "float32" asks for.
    torch.backends.cudnn.allow_tf32 = budget.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = False
    # Read-only memory maps become tensors that nobody writes to.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    device = choose_device(budget)
    warn_of_precision(budget, device)
    put_up_wall(budget, device)
    reset_peak_memory(device)
    return device


def put_up_wall(budget: Budget, device: torch.device) -> None:
    """Let this process take no more of a GPU than its trial may use, allocator's gaps included.

    Beyond it torch raises OutOfMemoryError here, and trials beside it on that GPU are safe.
    """
    if device.type != "cuda":
        return
    whole = torch.cuda.get_device_properties(device).total_memory / _MIB
    used = whole if budget.memory_mb is None else budget.memory_mb * ALLOCATOR_MARGIN
    torch.cuda.set_per_process_memory_fraction(min(1.0, used / whole))  # of the current device


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of the peak, so that a reused process counts one trial only."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        # Some systems and containers have no such file or refuse: then all trials of the
        # process count.
        with contextlib.suppress(OSError):
            _CLEAR_REFS.write_text("5")  # resets VmHWM: man 5 proc


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak since `reset_peak_memory`, in MiB.

    On a GPU what the allocator held; on a CPU the resident memory of the process, data included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes, Linux KiB
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def resident_bytes() -> int:
    """Return what the process holds in memory now; its peak where the system tells no more."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return int(peak_memory_mb(torch.device("cpu")) * _MIB)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on the device or on the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):  # of a file that is to be mapped, a process to be started
        return error.errno == errno.ENOMEM
    # The CPU allocator raises a bare RuntimeError, and so do the driver and cuBLAS where another
    # process holds the rest of a shared GPU.
    return _says_one_of(error, _NO_MEMORY)


def _says_one_of(error: BaseException, texts: Iterable[str]) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def _most(asked: float, unit: str) -> float:
    """Return the most bytes that torch's text may stand for: "1.23 GiB" is up to 1.235."""
    return (asked + (0.0 if unit == "bytes" else 0.005)) * _UNITS[unit]


def taken_by_others(error: BaseException, memory_mb: float | None) -> bool:
    """Tell whether a GPU lacked memory that was this trial's to take: other programs have it.

    What torch's allocator holds and what it asked for, as the error says, fit into `memory_mb`
    (None: the GPU less 1 GiB), or the driver refuses while the allocator is within it. Else, and
    where torch does not say how much it asked for, the trial itself is too large.
    """
    if not torch.cuda.is_available():
        return False
    if isinstance(error, torch.OutOfMemoryError):
        asked = _ASKED.search(str(error))
        more = _most(float(asked[1]), asked[2]) if asked else math.inf
    elif _says_one_of(error, _NO_GPU_MEMORY):
        more = 0.0
    else:
        return False
    whole = torch.cuda.get_device_properties(0).total_memory - 2**30  # context and driver
    own = whole if memory_mb is None else min(whole, memory_mb * ALLOCATOR_MARGIN * _MIB)
    return bool(torch.cuda.memory_reserved() + more <= own)
