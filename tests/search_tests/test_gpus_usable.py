"""GPUs of this machine that trials can use, and why some are not used."""

import sys
from pathlib import Path

import pytest
import torch

from search import gpus
from search.gpus import precision_of_this_gpu, unused, usable_gpus
from search.resources import this_machine
from trainables import cuda


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder instead of /dev; torch computes on any of nine GPUs."""
    monkeypatch.setattr(gpus, "Path", lambda _: tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 9)
    monkeypatch.setattr(cuda, "can_compute", lambda _=0: True)
    monkeypatch.setattr(gpus, "refuses_to_share", lambda: False)
    return tmp_path


def add(dev: Path, *names: str) -> None:
    for name in names:
        (dev / name).touch()


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3),
        ("", 0),
        ("0", 1),
        ("0,2", 2),
        ("0,1,2,3,4", 3),
        ("-1", 0),
        ("1,-1,2", 1),
        (" 0 , 1 ", 2),
        ("GPU-8a1b,GPU-77aa", 2),
    ],
)
def test_gpus_that_may_be_seen(
    visible: str | None, count: int, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dev, "nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert usable_gpus() == count


@pytest.mark.parametrize("seen", [0, 1, 2])  # 0: a CPU build of torch, or no driver
def test_gpus_that_torch_sees(seen: int, dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dev, "nvidia0", "nvidia1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    assert usable_gpus() == seen


@pytest.mark.parametrize(("visible", "count"), [(None, 2), ("1", 1), ("", 0)])
def test_on_windows_gpus_have_one_device_file_together(
    visible: str | None, count: int, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dev, "dxg")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert usable_gpus() == count


@pytest.mark.parametrize("broken", [0, 1])
def test_none_is_used_where_torch_cannot_compute_on_one(
    broken: int, dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dev, "nvidia0", "nvidia1")
    monkeypatch.setattr(cuda, "can_compute", lambda number: number != broken)
    assert usable_gpus() == 0


def test_of_parted_gpus_one_part_is_seen_once_cuda_has_started(
    dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dev, *(f"nvidia{number}" for number in range(8)))
    started: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1 if started else 8)

    def computes(number: int) -> bool:
        started.append(number)
        return number == 0  # any other is an invalid device then

    monkeypatch.setattr(cuda, "can_compute", computes)
    assert usable_gpus() == 1


def test_torch_is_not_asked_where_there_is_no_gpu(
    dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it raises
    assert this_machine().gpus == 0
    assert unused() is None


# --- why they are not used


def test_gpus_that_are_used_have_no_reason_not_to_be(dev: Path) -> None:
    add(dev, "nvidia0")
    assert unused() is None


def test_none_is_used_that_one_program_has_alone(
    dev: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(dev, "nvidia0")
    monkeypatch.setattr(gpus, "refuses_to_share", lambda: True)
    computed: list[int] = []
    monkeypatch.setattr(cuda, "can_compute", computed.append)
    assert usable_gpus() == 0
    assert computed == []  # a context of the driver would shut out every trial
    assert unused() == (
        "the compute mode of one lets one program use it at most; nvidia-smi -c 0 (as root) ends "
        "that, and CUDA_VISIBLE_DEVICES can leave it out"
    )


def test_a_build_of_torch_for_cpus(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dev, "nvidia0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert unused() == f"torch {torch.__version__} is a CPU build"


def test_a_driver_that_is_too_old(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dev, "nvidia0")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda, "can_compute", lambda _: False)
    torch_is = f"of torch {torch.__version__}"
    assert unused() == f"its driver does not do for CUDA 13.0, {torch_is}"


def test_a_gpu_for_which_torch_has_no_code(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dev, "nvidia0", "nvidia1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: ["NVIDIA L4", "Tesla K80"][n])
    monkeypatch.setattr(cuda, "can_compute", lambda number: number == 0)
    assert unused() == (
        f"torch {torch.__version__} has no code for one of NVIDIA L4, Tesla K80; "
        "CUDA_VISIBLE_DEVICES can leave it out"
    )


def test_a_gpu_that_does_not_start_is_told(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch asks every GPU at its first use, and has an error of its own for what they answer."""
    add(dev, "nvidia0", "nvidia1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "can_compute", lambda number: number == 0)

    def name(_: int) -> str:
        raise torch.cuda.DeferredCudaCallError("unspecified launch failure\nCUDA call was ...")

    monkeypatch.setattr(torch.cuda, "get_device_name", name)
    assert unused() == (
        "CUDA does not start (unspecified launch failure); if one GPU is at fault, "
        "CUDA_VISIBLE_DEVICES can leave it out"
    )


# --- what auto stands for


@pytest.mark.parametrize(
    ("computes", "capabilities", "precision"),
    [
        (True, [(8, 0)], "bfloat16"),
        (True, [(12, 0), (8, 9)], "bfloat16"),
        (True, [(7, 5)], "float32"),  # T4, RTX 20
        (True, [(9, 0), (7, 5)], "float32"),  # a trial may get either
        (False, [(9, 0)], "auto"),
    ],
)
def test_the_precision_that_is_kept(
    computes: bool,
    capabilities: list[tuple[int, int]],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "can_compute", lambda: computes)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capabilities[number])
    assert precision_of_this_gpu() == precision
