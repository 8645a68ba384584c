"""What the CPU can do, read without importing torch."""

from pathlib import Path

# The instruction sets (AVX512-BF16, AMX, Arm's); without them bfloat16 is emulated, and slower.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def has_bfloat16(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the CPU multiplies bfloat16 in hardware; False where nothing tells."""
    if not info.exists():
        return False
    lines = info.read_text(errors="replace").splitlines()
    flags = [line for line in lines if line.lower().startswith(("flags", "features"))]
    return any(_BFLOAT16_FLAGS & set(line.split()) for line in flags)


def resolve_precision(asked: str, *, on_this_cpu: bool) -> str:
    """Return bfloat16 or float32 for auto where trials run on this CPU; else what is asked.

    A study keeps what it began with, so that a resume on another machine computes the same.
    """
    if asked != "auto" or not on_this_cpu:
        return asked
    return "bfloat16" if has_bfloat16() else "float32"
