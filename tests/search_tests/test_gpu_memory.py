"""What nvidia-smi tells of GPUs: a stand-in for it does, since there is no GPU here."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from search.gpus import smallest_gpu_mb
from search.nvidia_smi import refuses_to_share

MIB = 2**20


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [
        SimpleNamespace(total_memory=24_000 * MIB, uuid="aa-1"),
        SimpleNamespace(total_memory=40_000 * MIB, uuid="bb-2"),
    ]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: sizes[number])


def says(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nvidia-smi be a shell script."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("script", "free"),
    [
        ("echo 'GPU-aa-1, 10'; echo 'GPU-bb-2, 0'", 23_990.0),
        ("echo 'GPU-aa-1, 0'; echo 'GPU-bb-2, 39000'", 1_000.0),
        ("echo 'GPU-cc-3, 20000'", 24_000.0),  # one that this study does not see
        ("echo 'GPU-aa-1, [N/A]'", 24_000.0),  # parts of a GPU are not told
        ("echo 'GPU-aa-1, 24000'", 1.0),  # full: no trial fits, and none is told to have less
        ("echo 'No devices were found'; exit 6", 24_000.0),
    ],
)
def test_what_others_hold_is_not_free(
    script: str, free: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(script, tmp_path, monkeypatch)
    assert smallest_gpu_mb(2) == free
    assert smallest_gpu_mb(2, less_held=False) == 24_000.0


@pytest.mark.usefixtures("two_gpus")
def test_without_nvidia_smi_all_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert smallest_gpu_mb(2) == 24_000.0
    assert smallest_gpu_mb(0) is None


_ONE, _OTHER = "echo GPU-8a1b, ", "; echo GPU-77aa, "


@pytest.mark.parametrize(
    ("script", "visible", "refuses"),
    [
        (f"{_ONE}Exclusive_Process", None, True),
        (f"{_ONE}Exclusive_Process{_OTHER}Prohibited", None, True),
        (f"{_ONE}Exclusive_Thread", None, True),
        (f"{_ONE}Default", None, False),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", None, True),  # a trial may get either
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "0", False),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "0, 1", True),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "0,-1,1", False),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "1", True),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "GPU-8", False),
        (f"{_ONE}Default{_OTHER}Exclusive_Process", "GPU-77aa", True),
        (f"{_ONE}Exclusive_Process", "", False),
        (f"{_ONE}'[N/A]'", None, False),
        ("echo 'No devices were found'; exit 6", None, False),
        ("true", None, False),
    ],
)
def test_gpus_that_one_program_has_alone(
    script: str,
    visible: str | None,
    refuses: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    asked = tmp_path / "asked"
    says(f'echo "$*" >> {asked}\n{script}', tmp_path, monkeypatch)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path / "mps"))
    refuses_to_share.cache_clear()
    assert [refuses_to_share(), refuses_to_share()] == [refuses] * 2
    assert asked.read_text() == "--query-gpu=uuid,compute_mode --format=csv,noheader,nounits\n"
    (tmp_path / "mps").mkdir()  # a service shares it out
    refuses_to_share.cache_clear()
    assert not refuses_to_share()
    refuses_to_share.cache_clear()
