from pathlib import Path

import pytest

from trainables import cpu
from trainables.cpu import has_bfloat16, resolve_precision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu sse2 avx512_bf16 avx512vl\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("Features : fp asimd bf16 i8mm\n", True),  # 64-bit Arm
        ("flags : fpu sse2 avx2\n", False),
        ("model name : Imaginary bf16 processor\nflags : fpu\n", False),
    ],
)
def test_bfloat16_is_read_off_the_flags(tmp_path: Path, text: str, expected: bool) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(text)
    assert has_bfloat16(info) is expected


def test_no_cpuinfo_means_no_bfloat16(tmp_path: Path) -> None:
    assert not has_bfloat16(tmp_path / "absent")


@pytest.mark.parametrize("able", [True, False])
def test_auto_is_settled_where_trials_run_on_this_cpu(
    monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: able)
    expected = "bfloat16" if able else "float32"
    assert resolve_precision("auto", on_this_cpu=True) == expected
    assert resolve_precision("auto", on_this_cpu=False) == "auto"
    assert resolve_precision("float32", on_this_cpu=True) == "float32"
