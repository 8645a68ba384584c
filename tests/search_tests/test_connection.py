"""What Ray is started with."""

import sys
from pathlib import Path

import pytest

from search import access, connection
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
