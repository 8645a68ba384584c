"""What Ray is started with, and what it may not do while it starts."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search import access, connection
from search.interrupts import Interrupts
from search.options import build_parser
from search.request import check


@pytest.mark.skipif(sys.platform != "linux", reason="Ray looks for /dev/shm on Linux alone")
@pytest.mark.parametrize("there", [True, False])
def test_ray_is_told_where_its_store_lies_if_there_is_no_shared_memory(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray opens /dev/shm, and ends where a container has none."""
    monkeypatch.setattr(connection, "_SHARED_MEMORY", tmp_path / ("" if there else "none"))
    words = ["lenet_beans", "--data", "embedded"]
    found = connection._options(check(build_parser().parse_args(words)))
    own = str(access.private_folder())
    assert found["_temp_dir"] == f"{own}/ray"
    store = {name: found.get(name) for name in ("object_store_memory", "_plasma_directory")}
    expected = (None, None) if there else (200 * 2**20, own)
    assert tuple(store.values()) == expected


def test_ray_is_told_how_many_gpus_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts by NVML, which may be missing where CUDA is not."""
    monkeypatch.setattr(connection, "usable_gpus", lambda: 3)
    request = check(build_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    assert connection._options(request)["num_gpus"] == 3
    assert "num_gpus" not in connection._options(replace(request, address="10.0.0.1:6379"))


def test_ray_puts_no_handler_in_the_place_of_ours_while_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own ends the process with 15, and tells nobody."""
    import ray._private.utils as utils

    handlers: list[Any] = []

    class Starting:
        def __init__(self, *_: object) -> None:
            self.over, self.left = lambda wait: None, lambda: None

        def start(self, _options: dict[str, Any]) -> str:
            utils.set_sigterm_handler(lambda *_: None)  # as ray.init does
            handlers.append(signal.getsignal(signal.SIGTERM))
            return ""

    monkeypatch.setattr(connection, "Local", Starting)
    monkeypatch.setattr(connection, "_ENVIRONMENT", {})
    monkeypatch.setattr(access, "grant", lambda _: None)
    request = check(build_parser().parse_args(["lenet_beans", "--data", "embedded"]))
    ours, rays = signal.getsignal(signal.SIGTERM), utils.set_sigterm_handler
    try:
        with connection.connected(request, Interrupts()):
            assert utils.set_sigterm_handler is rays
    finally:
        signal.signal(signal.SIGTERM, ours)
    assert handlers == [ours]
