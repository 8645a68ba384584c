"""How long the request for a cluster's nodes stands, with a stand-in for Ray."""

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from search import jobs_scale
from search.errors import StudyFailed
from search.jobs_scale import brought_up
from tests.search_tests.clock import Clock

FOUR = [{"CPU": 1}] * 4
NONE: list[dict[str, int]] = []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(jobs_scale, "time", found)
    return found


class Ray:
    """A cluster of 4 CPUs and 2 GPUs; `requests` is all that its autoscaler was asked for."""

    def __init__(self) -> None:
        self.free = {"CPU": 4.0, "GPU": 2.0, "memory": 8e9}
        self.joined = False
        self.gone = False
        self.requests: list[list[dict[str, int]]] = []
        self.withdrawn, self.looked_at = threading.Event(), threading.Event()

    def init(self, **_: object) -> None:
        if self.gone:
            raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
        assert not self.joined  # Ray itself refuses it
        self.joined = True

    def shutdown(self) -> None:
        self.joined = False

    def is_initialized(self) -> bool:
        return self.joined

    def cluster_resources(self) -> dict[str, float]:
        assert self.joined
        return {"CPU": 4.0, "GPU": 2.0, "memory": 8e9}

    def available_resources(self) -> dict[str, float]:
        self.looked_at.set()
        return self.free

    def request_resources(self, bundles: list[dict[str, int]]) -> None:
        assert self.joined
        self.requests.append(bundles)
        if not bundles:
            self.withdrawn.set()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    found: Any = Ray()
    sdk: Any = SimpleNamespace(request_resources=found.request_resources)
    monkeypatch.setitem(sys.modules, "ray", found)
    monkeypatch.setitem(sys.modules, "ray.autoscaler.sdk", sdk)
    return found  # type: ignore[no-any-return]


def up(cpus: int = 4, gpus: int = 0) -> Any:
    return brought_up("10.0.0.1:6379", cpus, gpus, print, patience_s=60)


def test_where_no_nodes_are_asked_for_ray_is_left_alone(ray: Ray) -> None:
    ray.gone = True
    with up(0, 0):
        assert not ray.joined
    assert ray.requests == []


def test_each_cpu_and_gpu_is_asked_for_by_itself(ray: Ray) -> None:
    """A node may have any number of them."""
    with up(1, 2):
        assert ray.requests == [[{"CPU": 1}, {"GPU": 1}, {"GPU": 1}]]


def test_the_request_stands_until_trials_run_and_goes_with_the_study(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_scale, "_PLACED_S", 0.0)
    with up():
        assert not ray.joined  # the study joins for itself
        ray.init()
        assert ray.looked_at.wait(60)
        assert ray.requests == [FOUR]
        ray.shutdown()
    assert ray.requests == [FOUR, NONE]
    assert not ray.joined


def test_the_request_goes_once_trials_are_placed(
    ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_scale, "_PLACED_S", 0.0)
    with up():
        ray.free = {}
        ray.init()
        assert ray.withdrawn.wait(60)
        for thread in [t for t in threading.enumerate() if "_withdraw_once_placed" in t.name]:
            thread.join(60)
        assert ray.requests == [FOUR, NONE]
        ray.shutdown()
    assert ray.requests == [FOUR, NONE]  # what stands by then is another job's


@pytest.mark.parametrize("end", [StudyFailed("no trial finished"), SystemExit(15)])
def test_a_study_that_ends_in_an_error_leaves_no_request(ray: Ray, end: BaseException) -> None:
    with pytest.raises(type(end)) as caught, up():
        raise end
    assert caught.value is end
    assert ray.requests == [FOUR, NONE]


def test_nodes_that_do_not_come_are_asked_for_no_longer(ray: Ray, clock: Clock) -> None:
    with pytest.raises(StudyFailed, match="did not scale up: 4 of 8 CPUs after 60 s"), up(8):
        raise AssertionError("the study began")
    assert ray.requests[0] == [{"CPU": 1}] * 8
    assert ray.requests[-1] == NONE
    assert not ray.joined


def test_a_cluster_that_is_gone_does_not_change_how_the_study_ended(ray: Ray) -> None:
    with up():
        ray.gone = True
    assert ray.requests == [FOUR]


def test_waiting_for_nodes_tells_what_is_there_and_gives_up(clock: Clock) -> None:
    found = iter([{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 4.0, "GPU": 2.0}])
    told: list[str] = []

    def wait(has: Any, patience_s: float) -> None:
        jobs_scale._wait(has, {"GPU": 2}, told.append, patience_s, lambda: None)

    wait(lambda: next(found), 60)
    assert told == ["waiting for the cluster to scale up: 0 of 2 GPUs"]
    with pytest.raises(StudyFailed, match="did not scale up: 0 of 2 GPUs after 0 s"):
        wait(dict, 0)


def test_nodes_are_asked_for_again_while_they_do_not_come(clock: Clock) -> None:
    """Another job's request may have taken the place of ours."""
    asked: list[float] = []

    def has() -> dict[str, float]:
        return {"GPU": 2.0} if clock.now >= 1025 else {}

    jobs_scale._wait(has, {"GPU": 2}, print, 60, lambda: asked.append(clock.now))
    assert asked == [1000.0, 1010.0, 1020.0]


class Ending:
    """In the place of the event that the study is over: each wait starts the next `step`."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.waited: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return bool(self.steps.pop(0)())


def follow(*steps: Any) -> list[float]:
    over: Any = Ending(*steps)
    jobs_scale._withdraw_once_placed(over, threading.Event())
    assert over.steps == []
    return list(over.waited)


def test_a_request_is_withdrawn_a_minute_after_the_first_trial_has_its_resources(
    ray: Ray,
) -> None:
    def a_trial_runs() -> None:
        ray.free = {"CPU": 3.0, "GPU": 2.0}

    assert follow(ray.init, a_trial_runs, lambda: False) == [1.0, 1.0, 60.0]
    assert ray.requests == [NONE]


def test_the_end_of_a_study_withdraws_for_itself(ray: Ray) -> None:
    assert follow(lambda: True) == [1.0]  # before any trial
    ray.init()
    ray.free = {}
    assert follow(lambda: True) == [60.0]  # within the minute
    assert follow(lambda: ray.shutdown()) == [60.0]  # Ray left as the minute was over
    assert ray.requests == []


def test_a_ray_that_ends_meanwhile_is_no_error(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended() -> dict[str, float]:
        raise RuntimeError("Ray has been shut down")

    ray.init()
    monkeypatch.setattr(ray, "available_resources", ended)
    assert follow() == []
    assert ray.requests == []


@pytest.mark.parametrize(
    ("free", "used"),
    [
        ({"CPU": 4.0, "GPU": 2.0, "memory": 8e9}, False),
        ({"CPU": 3.0, "GPU": 2.0, "memory": 8e9}, True),
        ({"CPU": 4.0, "GPU": 1.5, "memory": 8e9}, True),
        ({"CPU": 4.0}, True),  # Ray leaves out what is used up
        ({"CPU": 4.0, "GPU": 2.0, "memory": 1e9}, False),  # no trial asks for it
    ],
)
def test_what_of_a_cluster_trials_use(ray: Ray, free: dict[str, float], used: bool) -> None:
    ray.init()
    ray.free = free
    assert jobs_scale._in_use(ray) == used
