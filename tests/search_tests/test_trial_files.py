"""Folders of trials where the driver's is not seen: killed workers leave none for long."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.remote import Remote
from search.trial_files import TrialFiles

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys
from search.trial_files import TrialFiles
files = TrialFiles({"folder": "/nowhere/mine", "store": {"uri": sys.argv[1], "token": "t"}}, 4)
files.begin()
(files.path / "checkpoint.pt").write_text("as large as its weights")
print(files.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    return f"local://{tmp_path}/store/study"


@pytest.fixture
def worker(uri: str) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Another process, and the folder of the trial that it has."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, uri],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def of_another_study(uri: str) -> TrialFiles:
    store = {"uri": f"{uri}-2", "token": "t"}
    files = TrialFiles({"folder": "/nowhere/mine", "store": store}, 0)
    files.begin()
    return files


def test_the_folder_of_a_killed_worker_goes_with_the_next_trial_of_any_study(
    uri: str, worker: tuple["subprocess.Popen[str]", Path]
) -> None:
    process, folder = worker
    of_another_study(uri).end()
    assert (folder / "checkpoint.pt").exists()  # it is at work
    process.kill()
    process.wait()
    files = of_another_study(uri)
    assert not folder.exists()
    assert files.path.is_dir()
    files.end()
    assert not files.path.exists()


def test_a_worker_holds_trial_after_trial_and_puts_no_lock_into_the_store(uri: str) -> None:
    for _ in range(2):  # the same trial, taken again
        files = of_another_study(uri)
        (files.path / "best.pt").write_text("x")
        files.keep()
        assert files._held is not None
        files.end()
        assert files._held is None
    names = Remote(f"{uri}-2").entries("trials/0")
    assert set(names) == {"trials/0/elsewhere", "trials/0/best.pt"}
