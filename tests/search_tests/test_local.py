"""A local Ray: its workers find what they need, and start as early as there are trials."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from search import local
from search.local import Local, paths
from search.replaced import replaced

PRELOAD = "RAY_preload_python_modules"


def test_workers_find_the_project_and_their_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.delenv(PRELOAD, raising=False)
    with local._environment("search.worker,trainables.lenet_beans"):
        project, mine = os.environ["PYTHONPATH"].split(os.pathsep)
        assert os.path.isfile(os.path.join(project, "search", "local.py"))
        assert mine == "/mine"
        assert os.environ[PRELOAD] == "search.worker,trainables.lenet_beans"
    assert os.environ["PYTHONPATH"] == "/mine"
    assert PRELOAD not in os.environ
    monkeypatch.delenv("PYTHONPATH")
    assert paths() == project  # an empty part would be the working directory


def test_as_many_workers_start_early_as_trials_run_at_once() -> None:
    asked: list[Any] = []
    mine = Local(2, "lenet_beans")
    start = mine._spawn(lambda command, kind, fate_share: asked.append((command, kind)))
    mine.over()
    start(["raylet", "--num_prestart_python_workers=64", "--x=1"], "raylet", fate_share=True)
    assert asked == [(["raylet", "--num_prestart_python_workers=2", "--x=1"], "raylet")]


def test_a_node_that_takes_long_to_register_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, monotonic=lambda: 0.0)
    monkeypatch.setattr(local, "time", clock)
    process = SimpleNamespace(poll=lambda: None)

    def get(address: str, node: str) -> str:
        if len(waited) < 3:
            raise RuntimeError("no node info yet")
        return f"{address} {node}"

    assert local._patiently(get, [process])("a", "n") == "a n"
    assert len(waited) == 3


@pytest.mark.parametrize(("code", "now"), [(1, 0.0), (None, 301.0)])
def test_a_node_that_is_dead_or_never_comes_is_not(
    code: int | None, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, now])
    clock = SimpleNamespace(sleep=lambda _: None, monotonic=lambda: next(times))
    monkeypatch.setattr(local, "time", clock)

    def get() -> None:
        raise RuntimeError("no node info yet")

    with pytest.raises(RuntimeError, match="no node info"):
        local._patiently(get, [SimpleNamespace(poll=lambda: code)])()


def test_what_is_replaced_is_put_back_after_an_error() -> None:
    class Owner:
        name = "old"

    def work() -> None:
        with replaced(Owner, {"name": "new"}):
            raise ValueError(f"{Owner.name} is broken")

    with pytest.raises(ValueError, match="new is broken"):
        work()
    assert Owner.name == "old"
