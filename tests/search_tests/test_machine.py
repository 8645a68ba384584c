"""What study.json says of the machine."""

import json
import os
from pathlib import Path

import pytest

from search.machine import machine


def test_the_processor_is_named_as_linux_does(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor : 0\nmodel name\t: EPYC 9: fast\nprocessor : 1\nmodel name : other\n"
    )
    assert machine(info)["processor"] == "EPYC 9: fast"


def test_what_cannot_be_found_out_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: str) -> int:
        raise ValueError("no such name")

    monkeypatch.setattr(os, "sysconf", unknown)
    monkeypatch.setattr("platform.processor", lambda: "")
    found = machine(tmp_path / "none")
    assert set(found) == {"cpus", "gpus", "system"}
    assert found["cpus"] >= 1


def test_it_is_plain_and_tells_the_memory() -> None:
    found = json.loads(json.dumps(machine()))
    assert 0.1 < found["memory_gib"] < 100_000
