import os
from pathlib import Path

import pytest

from trainables import cpu
from trainables.cpu import has_bfloat16, resolve_precision, usable_cpus


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


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),  # not in a control group
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),  # half a CPU
        ({"cpu.max": "9900000 100000\n"}, 64),  # more than there are
        ({"cpu.max": ""}, 64),
        ({"cpu.max": "100 0\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "5000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 64),
    ],
)
def test_a_quota_of_cpus(
    files: dict[str, str], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("counted", "cpus"), [(10, 10), (None, 1)])
def test_cpus_without_affinity(
    counted: int | None, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert usable_cpus(tmp_path) == cpus
