"""Preparing in processes of their own: silent, without TensorFlow, and two at once."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.trainables_tests.tfds_reading import serving_tiny
from tests.trainables_tests.tfds_server import FileServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def beans() -> Iterator[FileServer]:
    with serving_tiny("beans") as server:
        yield server


# Runs in its own process: opens beans from the server, then prints what it saw as one JSON line.
CHILD = """
import json, sys
import pytest
from tests.trainables_tests import tfds_files
from trainables.data import tfds_download
from trainables.data.source import DataSpec
from trainables.data.tfds_source import open_tfds

url, data_dir = sys.argv[1:]
tfds_download.START_TIMEOUT_S = tfds_download.READ_TIMEOUT_S = 240.0
told = []
def progress(what, done, total):
    if what not in told:
        told.append(what)
        if "waiting" in what:
            print(what, flush=True)
with pytest.MonkeyPatch.context() as patch:
    tfds_files.point_builder_at(url, "beans", tfds_files.beans_files(), patch)
    source = open_tfds(DataSpec("beans", "tfds", data_dir), progress)
n = sum(1 for split in source.sizes for _ in source.images(split))
print(json.dumps({
    "fingerprint": source.fingerprint, "images": n, "told": told,
    "tensorflow": [name for name in sys.modules if name.split(".")[0] == "tensorflow"],
}))
"""


@pytest.fixture
def child(beans: FileServer, tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    children: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", CHILD, beans.url, str(tmp_path)]
        children.append(
            subprocess.Popen(
                command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
        return children[-1]

    yield start
    for process in children:
        process.kill()
        process.communicate()


def test_preparing_and_reading_is_silent_and_needs_no_tensorflow(
    child: Callable[[], "subprocess.Popen[str]"],
) -> None:
    out, err = child().communicate(timeout=240)
    assert err == ""
    assert len(out.splitlines()) == 1
    seen = json.loads(out)
    assert seen["tensorflow"] == []
    assert seen["images"] == 16
    assert seen["told"] == ["downloading beans", "preparing beans"]


def test_two_processes_at_once_prepare_once(
    beans: FileServer, child: Callable[[], "subprocess.Popen[str]"]
) -> None:
    beans.faults["train.zip"] = "gated"  # whoever is first stays in its download
    both = [child(), child()]
    waiting = threading.Event()
    outputs = ["", ""]

    def read(index: int) -> None:
        stdout = both[index].stdout
        assert stdout is not None
        for line in stdout:
            if line.startswith("waiting for another process that prepares beans"):
                waiting.set()
            else:
                outputs[index] += line

    readers = [threading.Thread(target=read, args=(index,)) for index in range(2)]
    for reader in readers:
        reader.start()
    assert waiting.wait(240)
    beans.gate.set()
    for reader in readers:
        reader.join()
    seen = [json.loads(output) for output in outputs]
    assert [result["images"] for result in seen] == [16, 16]
    assert seen[0]["fingerprint"] == seen[1]["fingerprint"]
    assert beans.requests == {"train.zip": 1, "validation.zip": 1, "test.zip": 1}
