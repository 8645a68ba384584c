"""Nodes of a cluster, without a Ray: what trials get of them, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from search import nodes as of_nodes
from search.errors import UsageError
from search.nodes import divided, together
from search.passed import GPUS
from search.resources import Asked, Machine, Resources
from search.room import Memory
from search.runner import _bundle
from trainables import cuda


def node(cpus: int, gigabytes: float, gpus: int = 0, gpu_mb: float | None = None) -> Machine:
    """All of its memory is free: a twentieth and 1,200 MiB stay so."""
    return Machine(cpus, gpus, memory=Memory(1024 * gigabytes, 1024 * gigabytes), gpu_mb=gpu_mb)


def given(concurrent: int, megabytes: float) -> Resources:
    """Trials of one CPU, for which Ray reserves what they may use."""
    return Resources(1, 0.0, concurrent, megabytes, reserved_mb=megabytes)


def test_a_trial_may_use_what_the_poorest_node_has_for_it() -> None:
    nodes = [node(4, 32), node(2, 8)]
    # 8 GiB: (8192 - 409.6 - 1200) / 2 = 3291; of 32 GiB it would be 7482 each.
    assert divided(nodes, Asked()) == given(6, 3291.0)
    assert divided(nodes, Asked(concurrent=1)) == given(1, 6582.0)
    assert divided(nodes, Asked(memory_per_trial=500.0)) == Resources(
        1, 0.0, 6, 500.0, reserved_mb=500.0
    )


def test_trials_that_there_are_not_take_no_memory() -> None:
    # The smaller node's 8 GiB, whole: see above.
    assert divided([node(4, 32), node(2, 8)], Asked(trials=1)) == given(1, 6582.0)


def test_a_node_that_is_too_small_for_a_trial_does_not_count() -> None:
    nodes = [node(4, 32), node(1, 4)]
    assert divided(nodes, Asked(2)) == Resources(2, 0.0, 2, 14964.0, reserved_mb=14964.0)


def test_a_node_of_little_memory_holds_fewer_trials() -> None:
    nodes = [node(8, 4), node(2, 32)]  # 4096 - 204.8 - 1200 = 2691: two of 1,024
    assert divided(nodes, Asked()) == given(4, 1345.0)
    # Taken over by a resumed study, or asked for, the same memory is not given out twice.
    kept = Asked(memory_per_trial=1345.0, at_once=4)
    assert divided(nodes, kept) == given(4, 1345.0)
    assert divided(nodes, Asked(memory_per_trial=2600.0)) == Resources(
        1, 0.0, 3, 2600.0, reserved_mb=2600.0
    )


def test_memory_that_no_node_has_is_refused() -> None:
    nodes = [node(8, 4), node(2, 8)]
    told = r"^--memory-per-trial: 9000M, and no node has more than 6582M; ask for less$"
    with pytest.raises(UsageError, match=told):
        divided(nodes, Asked(memory_per_trial=9000.0))
    told = r"^its trials had 9000M, and .* 6582M; give --memory-per-trial SIZE$"
    with pytest.raises(UsageError, match=told):  # a resumed study that has it from its beginning
        divided(nodes, Asked(memory_per_trial=9000.0, at_once=2))
    told = r"^a trial needs 600M, and no node has more than 259M; bring up larger ones$"
    with pytest.raises(UsageError, match=told):  # 1,536 - 76.8 - 1,200 of the larger one
        divided([node(8, 1), node(2, 1.5), node(0, 64)], Asked())
    told = r"^a trial needs 600M, and no node has more than 259M; bring up larger ones$"
    with pytest.raises(UsageError, match=told):  # the other has too few CPUs
        divided([node(8, 1.5), node(4, 64)], Asked(8))


def test_a_node_that_has_a_little_less_than_before_is_none_that_is_too_small() -> None:
    # 8192 - 409.6 - 1200 = 6582 when the study began; now 7900 - 395 - 1200 = 6305.
    kept = Asked(memory_per_trial=6582.0, at_once=1)
    found = divided([Machine(1, 0, memory=Memory(7900.0, 7900.0))], kept)
    assert found == Resources(1, 0.0, 1, 6582.0, reserved_mb=6582.0)
    # 65,536 - 3,276.8 - 1,200 = 61,059; now 60,000 in all: Ray cannot reserve more than that.
    kept = Asked(memory_per_trial=61_059.0, at_once=1)
    found = divided([Machine(1, 0, memory=Memory(60_000.0, 60_000.0))], kept)
    assert found == Resources(1, 0.0, 1, 61_059.0, reserved_mb=60_000.0)


def test_a_node_that_does_not_tell_its_memory_has_none_reserved() -> None:
    found = divided([Machine(2, 0), node(2, 4)], Asked(memory_per_trial=9000.0))
    assert found.reserved_mb is None


def test_a_small_node_does_not_set_the_limit_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [node(4, 32), node(2, 1.5), node(2, 32)]
    assert divided(nodes, Asked()) == divided([node(4, 32), node(2, 32)], Asked())
    told = "note: a node with 259 MiB for trials is too small for one, and gets none\n"
    assert capsys.readouterr().err == told
    found = divided([node(4, 32), node(2, 8)], Asked(memory_per_trial=9000.0))
    assert found == Resources(1, 0.0, 3, 9000.0, reserved_mb=9000.0)


def test_ray_puts_no_trial_on_a_node_that_is_too_small() -> None:
    # (32768 - 1638.4 - 1200) / 24 = 1247 each, which the small node's 1,536 would hold, too. So
    # 1,537 are reserved, and 32768 / 1537 = 21 run at once.
    found = divided([node(24, 32), node(2, 1.5)], Asked())
    assert found == Resources(1, 0.0, 21, 1247.0, reserved_mb=1537.0)
    # By node: 2 CPUs here, 8192 / 1844.2 = 4 there.
    nodes = [node(2, 64), node(32, 8), node(2, 1.8)]
    assert divided(nodes, Asked()).concurrent == 6
    # 3,072 in all, of which 1,718 are for trials.
    found = divided([node(8, 32), node(2, 3)], Asked(memory_per_trial=2000.0))
    assert found == Resources(1, 0.0, 8, 2000.0, reserved_mb=3073.0)


def test_ray_places_trials_by_the_memory_that_they_share() -> None:
    each = _bundle(Resources(2, 0.0, 4, 1345.0, reserved_mb=1345.0))({GPUS: 0.0})
    assert each.required_resources == {"CPU": 2, "memory": 1345 * 2**20}
    alone = _bundle(Resources(1, 0.0, 4, 1345.0))({GPUS: 0.5})
    assert alone.required_resources == {"CPU": 1, "GPU": 0.5}


def test_the_smallest_gpu_is_that_of_all() -> None:
    nodes = [node(4, 32), node(4, 32, 1, 16_384.0), node(8, 32, 2, 81_024.0)]
    assert together(nodes) == Machine(16, 3, gpu_mb=16_384.0)
    found = divided(nodes, Asked())
    assert (found.gpu_mb, found.memory_mb, found.gpus_per_trial) == (16_384.0, None, 1.0)


def test_cpus_of_a_node_without_gpus_are_no_places_for_trials_on_gpus() -> None:
    nodes = [node(32, 64), node(4, 32, 1, 81_024.0), node(4, 32, 1, 81_024.0)]
    assert divided(nodes, Asked()) == Resources(1, 1.0, 8, gpu_mb=81_024.0, gpus=2)
    assert divided(nodes, Asked(concurrent=3)).concurrent == 3
    assert divided(nodes, Asked(gpus_per_trial=0.5)).concurrent == 4  # two on each GPU


def test_gpus_that_do_not_tell_are_given_as_a_whole() -> None:
    nodes = [node(4, 32, 2), node(4, 32, 1, 16_384.0)]
    assert divided(nodes, Asked()) == Resources(1, 1.0, 3)


def test_a_gpu_on_which_torch_cannot_compute_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_nodes, "refuses_to_share", lambda: False)
    monkeypatch.setattr(cuda, "can_compute", lambda: False)
    assert of_nodes._smallest() == 0.0
    there = {"NodeID": "0123456789ab", "Resources": {"CPU": 8.0, "GPU": 1.0}}
    with pytest.raises(UsageError, match=r"^node 01234567: Ray says .* with --gpus-per-trial 0$"):
        of_nodes._machine(there, of_nodes._smallest())
    assert of_nodes._machine(there, None) == Machine(8, 1)


def test_a_gpu_that_one_program_has_alone_is_not_computed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_nodes, "refuses_to_share", lambda: True)
    computed: list[int] = []
    monkeypatch.setattr(cuda, "can_compute", lambda: computed.append(1))
    assert of_nodes._smallest() is None  # so that each trial gets a whole one
    assert computed == []


A, B, C, D = (letter * 56 for letter in "abcd")  # as Ray names nodes


class FakeRay:
    """Stands in for Ray: notes what is called, in order; a node answers with its number here.

    None: it never answers. An error: it is told of when the answer is fetched.
    """

    def __init__(
        self, answers: dict[str, float | Exception | None], patch: pytest.MonkeyPatch
    ) -> None:
        self.answers = answers
        self.calls: list[str] = []
        for name in ("remote", "wait", "get", "cancel"):
            patch.setattr(ray, name, getattr(self, name))

    def remote(self, **options: Any) -> Any:
        node = options["scheduling_strategy"].node_id
        return lambda _: SimpleNamespace(remote=lambda: self.noted("ask", node))

    def noted(self, what: str, node: str) -> str:
        self.calls.append(f"{what} {node}")
        return node

    def wait(
        self, tasks: list[str], num_returns: int, timeout: float
    ) -> tuple[list[str], list[str]]:
        self.calls.append(f"wait for {num_returns}, {timeout} s")
        ready = [task for task in tasks if self.answers[task] is not None]
        return ready, [task for task in tasks if task not in ready]

    def get(self, task: str) -> float:
        answer = self.answers[task]
        assert answer is not None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, task: str, force: bool) -> None:
        self.noted("cancel", task)


def test_all_nodes_are_asked_for_their_gpus_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ray.exceptions.RayError("its node has died")
    known = {A: 16_384.0, B: None, C: gone, D: 0.0}
    fake = FakeRay(known, monkeypatch)
    found = of_nodes._gpus_mb(list(known))
    assert found == {A: 16_384.0, B: None, C: None, D: 0.0}
    asks = [f"ask {node}" for node in known]
    assert fake.calls == [*asks, "wait for 4, 60 s", f"cancel {B}"]
    why = "its GPUs do not tell their memory, or do not share it; each trial gets a whole one"
    assert capsys.readouterr().err == f"node bbbbbbbb: {why}\nnode cccccccc: {why}\n"


@pytest.mark.parametrize(("gpus_per_trial", "asked"), [(None, 1), (0.5, 1), (0.0, 0)])
def test_only_nodes_with_gpus_are_asked_and_only_if_trials_want_them(
    gpus_per_trial: float | None, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [
        {"Alive": True, "NodeID": A, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"Alive": True, "NodeID": B, "Resources": {"CPU": 4.0}},
        {"Alive": False, "NodeID": C, "Resources": {"CPU": 4.0, "GPU": 1.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    fake = FakeRay({A: 16_384.0}, monkeypatch)
    request: Any = SimpleNamespace(resources=None, asked=Asked(gpus_per_trial=gpus_per_trial))
    of_nodes.resources_of(request)
    assert fake.calls == [f"ask {A}", "wait for 1, 60 s"][: 2 * asked]
