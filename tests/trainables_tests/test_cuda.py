"""Whether a build of torch has code for a GPU, by NVIDIA's rules, and whether CUDA starts."""

import pytest
import torch

from trainables.cuda import can_compute, covers, is_lost


@pytest.mark.parametrize(
    ("architectures", "capability", "covered"),
    [
        (["sm_86"], (8, 6), True),
        (["sm_86"], (8, 9), True),  # binary code runs on later minor versions,
        (["sm_86"], (8, 0), False),  # on no earlier one,
        (["sm_86"], (9, 0), False),  # and on no other major one
        (["sm_120"], (12, 0), True),  # the last digit alone is the minor version
        (["sm_120"], (1, 2), False),
        (["compute_90"], (9, 0), True),
        (["compute_90"], (12, 1), True),  # compiled there for anything newer
        (["compute_90"], (8, 9), False),
        (["sm_90a"], (9, 0), True),
        (["sm_90a"], (9, 1), False),  # of that one alone
        (["compute_100a"], (12, 0), False),
        (["sm_120f"], (12, 0), True),
        (["sm_120f"], (12, 1), True),  # of its family
        (["compute_120f"], (12, 1), True),
        (["compute_100f"], (12, 0), False),
        (["sm_103f"], (10, 0), False),
        (["sm_75", "sm_80", "sm_90", "compute_90"], (8, 6), True),  # one that fits is enough
        (["sm_75", "sm_80", "sm_90"], (7, 0), False),
        (["gfx90a"], (9, 4), True),  # AMD's
        ([], (8, 0), True),
        (["gfx90a", "sm_80"], (9, 0), False),
    ],
)
def test_code_of_a_build_by_the_rules(
    architectures: list[str], capability: tuple[int, int], covered: bool
) -> None:
    assert covers(architectures, capability) is covered


def test_where_torch_sees_no_gpu_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: pytest.fail("was asked"))
    assert can_compute() is False


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error"),
        AssertionError("Invalid device"),
        torch.cuda.DeferredCudaCallError("one of several does not answer"),
    ],
)
def test_a_gpu_on_which_cuda_does_not_start(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> tuple[int, int]:
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", fails)
    assert can_compute() is False


@pytest.mark.parametrize(
    ("begun", "answers", "lost"), [(False, False, False), (True, True, False), (True, False, True)]
)
def test_a_gpu_that_answers_no_more_is_lost(
    begun: bool, answers: bool, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait() -> None:
        if not answers:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun)
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    assert is_lost() is lost


def test_each_gpu_is_judged_by_its_own_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = [(9, 0), (3, 7)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda n: capabilities[n])
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    assert [can_compute(), can_compute(0), can_compute(1)] == [True, True, False]
