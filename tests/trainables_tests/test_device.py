"""Device, precision, threads, peak memory, and what counts as running out of it."""

import mmap
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainables import device as machine
from trainables.budget import Budget
from trainables.errors import TrellisError

CPU = torch.device("cpu")
MIB = 2**20


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Threads and flags are the process's: give them back."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags


# --- device and precision


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(machine, "can_compute", lambda found=found: found)
        assert machine.choose_device(Budget(1)).type == expected
    monkeypatch.setattr(machine, "can_compute", lambda: True)
    assert machine.choose_device(Budget(1, device="cuda")).type == "cuda"


def test_a_trial_on_the_cpu_does_not_touch_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("was asked"))
    assert machine.choose_device(Budget(1, device="cpu")) == CPU


def test_a_gpu_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "can_compute", lambda: False)
    message = r"^device cuda: .* sees no GPU here that it can use; use auto or cpu$"
    with pytest.raises(TrellisError, match=message):
        machine.set_up(Budget(1, device="cuda"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd i8mm bf16 dgh", True),  # ARM
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_bfloat16_where_the_instructions_are(
    flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _, **__: f"processor\t: 0\n{flags}\n")
    assert machine.has_bfloat16(CPU) is expected


def test_no_bfloat16_where_the_machine_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert machine.has_bfloat16(CPU) is False


@pytest.mark.parametrize(
    ("precision", "hardware", "expected"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_autocast(
    precision: str, hardware: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_bfloat16", lambda _: hardware)
    square = torch.ones(2, 2)
    lower = machine.autocast(Budget(1, precision=precision), CPU)
    for _ in range(2):  # one context serves every step of an epoch
        with lower:
            assert (square @ square).dtype == expected
        assert (square @ square).dtype == torch.float32


@pytest.mark.parametrize(
    ("capability", "asked", "found"),
    [
        ((7, 5), "auto", "float32"),
        ((7, 5), "bfloat16", "float32"),  # as a study of another machine may ask
        ((7, 5), "float32", "float32"),
        ((8, 0), "auto", "bfloat16"),
        ((8, 0), "bfloat16", "bfloat16"),
    ],
)
def test_a_gpu_without_bfloat16_trains_in_float32_and_says_so(
    capability: tuple[int, int],
    asked: str,
    found: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(machine, "can_compute", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    for name in ("put_up_wall", "reset_peak_memory"):
        monkeypatch.setattr(machine, name, lambda *_: None)
    budget = Budget(1, device="cuda", precision=asked)
    assert machine.precision(budget, machine.set_up(budget)) == found
    told = [record.getMessage() for record in caplog.records]
    differs = asked not in ("auto", found)
    assert told == ["this GPU does not multiply bfloat16: training in float32"] * differs


def test_amd_s_gpus_have_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: pytest.fail("was asked"))
    assert machine.has_bfloat16(torch.device("cuda"))


def test_where_no_gpu_is_at_hand_it_is_planned_for_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "can_compute", lambda: False)
    budget = Budget(1, device="cuda", precision="bfloat16")
    assert machine.precision(budget, torch.device("cuda")) == "bfloat16"


# --- what a reused process starts from


def test_set_up_resets_what_an_earlier_trial_left() -> None:
    torch.set_num_threads(2)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    assert machine.set_up(Budget(1, threads=1, device="cpu")) == CPU
    assert torch.get_num_threads() == 1
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == (False, True)
    machine.set_up(Budget(1, threads=2, device="cpu"))
    assert torch.get_num_threads() == 2
    machine.set_up(Budget(1, device="cpu"))
    assert torch.get_num_threads() == 2


def test_float32_on_a_gpu_is_not_tensor_float_32() -> None:
    for precision, allowed in (("float32", False), ("auto", True), ("float32", False)):
        machine.set_up(Budget(1, device="cpu", precision=precision))
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cuda.matmul.allow_tf32 is False


# --- freed memory


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library, with rules of its own"
)
@pytest.mark.parametrize(
    ("calls", "kept"),
    [
        (["keep_freed_memory"], True),
        (["keep_freed_memory", "map_large_blocks"], False),
        (["map_large_blocks", "keep_freed_memory"], True),  # the next trial of a process
    ],
)
def test_freed_memory_is_kept_unless_large_blocks_are_mapped(calls: list[str], kept: bool) -> None:
    code = f"""if True:
        import torch
        from trainables import device
        for name in {calls}:
            getattr(device, name)()
        small = torch.ones(device.LARGE_BLOCK - 2**20, dtype=torch.uint8)
        large = torch.ones(200 * 2**20, dtype=torch.uint8)
        beyond = torch.ones(2**20, dtype=torch.uint8)  # so that the heap does not end there
        before = device.resident_bytes()
        del large, small
        print((before - device.resident_bytes()) // 2**20)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) in (range(-10, 10) if kept else range(190, 210))


# --- peak memory


def occupy(mib: int) -> None:
    """Hold so much for a moment; a map of its own goes back to the system at once."""
    with mmap.mmap(-1, mib * MIB) as block:
        block.write(b"\1" * (mib * MIB))


def test_peak_memory_counts_what_was_held_and_given_back() -> None:
    machine.reset_peak_memory(CPU)
    before = machine.peak_memory_mb(CPU)
    assert before > 20  # a process with torch in it
    occupy(200)  # the map, and the bytes written into it
    assert machine.peak_memory_mb(CPU) > before + 190


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can start the measurement again")
def test_peak_memory_can_start_again() -> None:
    occupy(200)
    high = machine.peak_memory_mb(CPU)
    try:
        Path("/proc/self/clear_refs").write_text("1")  # which resets no peak
    except OSError:
        pytest.skip("this system does not let a process reset its peak")
    machine.reset_peak_memory(CPU)
    assert machine.peak_memory_mb(CPU) < high - 190


def test_peak_memory_without_proc_is_that_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    for status in (None, "Name:\tpython\nVmRSS:\t  1024 kB\n"):  # absent, or without a peak
        monkeypatch.setattr(machine, "_STATUS", tmp_path / "status")
        if status is not None:
            (tmp_path / "status").write_text(status)
        machine.reset_peak_memory(CPU)  # raises nothing
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        monkeypatch.setattr(sys, "platform", "linux")
        assert machine.peak_memory_mb(CPU) == pytest.approx(kib / 1024, rel=0.01)
        monkeypatch.setattr(sys, "platform", "darwin")  # which counts bytes
        assert machine.peak_memory_mb(CPU) == pytest.approx(kib / MIB, rel=0.01)


def test_peak_memory_reads_the_peak_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text("VmSize:\t 999999 kB\nVmHWM:\t  3072 kB\nVmRSS:\t 1 kB\n")
    monkeypatch.setattr(machine, "_STATUS", tmp_path / "status")
    assert machine.peak_memory_mb(CPU) == 3.0


# --- out of memory


def test_the_cpu_allocator_s_error_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert machine.is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_out_of_memory(error: BaseException) -> None:
    assert machine.is_out_of_memory(error)


def test_other_errors_are_not_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="overflowed") as overflow:
        torch.empty(2**62, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=re.escape("shapes cannot be multiplied")) as shapes:
        torch.ones(2, 3) @ torch.ones(2, 3)
    others = [
        overflow.value,
        shapes.value,
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("DefaultCPUAllocator: can't allocate memory"),  # another kind of error
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
    ]
    assert [machine.is_out_of_memory(error) for error in others] == [False] * 6


MIB, GIB = 2**20, 2**30


@pytest.fixture
def ten_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of that size, as far as it is asked about."""
    gpu = SimpleNamespace(total_memory=10 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)


@pytest.mark.usefixtures("ten_gib")
@pytest.mark.parametrize(
    ("asked", "reserved", "memory_mb", "others"),
    [
        # 5 GiB are its own, 4 and a quarter of that; "2.00 GiB" may be 2.005, 5.12 MiB more.
        ("2.00 GiB", 3 * GIB - 6 * MIB, 4096.0, True),
        ("2.00 GiB", 3 * GIB - 5 * MIB, 4096.0, False),
        ("19.99 MiB", 0, 16.0, True),
        ("20.00 MiB", 0, 16.0, False),
        ("512 bytes", 5 * GIB - 512, 4096.0, True),  # not rounded
        ("512 bytes", 5 * GIB - 511, 4096.0, False),
        ("2.00 GiB", 7 * GIB - 6 * MIB, None, True),  # 9 of 10: one is CUDA's own
        ("2.00 GiB", 7 * GIB, None, False),
        ("2.00 GiB", 7 * GIB, 20_480.0, False),  # more than there is was asked for
    ],
)
def test_memory_that_was_the_trial_s_own_others_have_taken(
    asked: str,
    reserved: int,
    memory_mb: float | None,
    others: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: reserved)
    text = f"CUDA out of memory. Tried to allocate {asked}. GPU 0 has a total capacity of 10 GiB"
    assert machine.taken_by_others(torch.OutOfMemoryError(text), memory_mb) is others


@pytest.mark.usefixtures("ten_gib")
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError("Tried to allocate 1.00 MiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_where_it_is_not_said_how_much_was_asked_for_the_trial_is_too_large(
    error: BaseException,
) -> None:
    assert not machine.taken_by_others(error, 4096.0)


@pytest.mark.usefixtures("ten_gib")
@pytest.mark.parametrize(
    ("reserved", "others"), [(0, True), (5 * GIB, True), (5 * GIB + 1, False)]
)
def test_where_the_driver_refuses_what_the_allocator_holds_counts(
    reserved: int, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: reserved)
    for text in ("CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"):
        assert machine.taken_by_others(RuntimeError(text), 4096.0) is others


def test_without_a_gpu_nobody_else_fills_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = "CUDA out of memory. Tried to allocate 3.00 GiB."
    assert not machine.taken_by_others(torch.OutOfMemoryError(text), None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_real_gpu_runs_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert machine.is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    ("memory_mb", "share"),
    [(4_096.0, 0.3125), (16_000.0, 1.0), (None, 1.0)],  # 1.25 times 4 of 16 GiB; never above 1
)
def test_the_wall_of_a_gpu_has_room_for_the_allocator_s_gaps(
    memory_mb: float | None, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_one = SimpleNamespace(total_memory=16 * 2**30)
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: of_one)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    machine.put_up_wall(Budget(1, memory_mb=memory_mb), torch.device("cuda"))
    assert told == [share]
    machine.put_up_wall(Budget(1, memory_mb=memory_mb), CPU)
    assert told == [share]
