"""Folders for temporary files: a killed process's go with the next, and nobody else's."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.scratch import LOCK, scratch_folder

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
from search.scratch import scratch_folder
folder = scratch_folder(sys.argv[1])
print(folder.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Callable[[], tuple["subprocess.Popen[str]", Path]]]:
    """Start a process with a folder of its own in `tmp_path`."""
    children: list[subprocess.Popen[str]] = []

    def start() -> tuple["subprocess.Popen[str]", Path]:
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        child = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        children.append(child)
        assert child.stdout is not None
        return child, Path(child.stdout.readline().strip())

    yield start
    for each in children:
        each.kill()
        each.communicate()


@pytest.fixture
def dead(living: Callable[[], tuple["subprocess.Popen[str]", Path]]) -> Path:
    """What a killed process left: files, a folder, and a link to what is not its own."""
    child, folder = living()
    child.kill()
    child.wait()
    (folder / "ray" / "session").mkdir(parents=True)
    (folder / "ray" / "session" / "log").touch()
    (folder / "token").touch()
    kept = folder.parent / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (folder / "latest").symlink_to(kept)
    return folder


def swept(place: Path) -> None:
    scratch_folder(str(place)).cleanup()


def test_what_a_killed_process_left_goes_and_nothing_that_it_points_to(dead: Path) -> None:
    swept(dead.parent)
    assert not dead.exists()
    assert (dead.parent / "kept" / "file").exists()


def test_the_folder_of_a_living_process_stays_and_goes_with_it(
    living: Callable[[], tuple["subprocess.Popen[str]", Path]],
) -> None:
    child, folder = living()
    assert folder.stat().st_mode & 0o777 == 0o700
    swept(folder.parent)
    assert [path.name for path in folder.iterdir()] == [LOCK]
    child.communicate("", timeout=240)
    assert not folder.exists()


def test_what_cannot_be_removed_keeps_its_lock_and_is_tried_again(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def refused(path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        patched.setattr(shutil, "rmtree", refused)
        made = scratch_folder(str(dead.parent))
    made.cleanup()
    assert (dead / LOCK).exists()
    swept(dead.parent)
    assert not dead.exists()


def without_a_lock(folder: Path) -> None:
    (folder / LOCK).unlink()


def in_the_making(folder: Path) -> None:
    (folder / LOCK).rename(folder / f"{LOCK}.new")


def of_another_machine(folder: Path) -> None:
    (folder / LOCK).write_text(f"not-{socket.gethostname()}")


def locked_by_a_link(folder: Path) -> None:
    (folder / LOCK).rename(folder / "elsewhere")
    (folder / LOCK).symlink_to(folder / "elsewhere")


def of_another_name(folder: Path) -> None:
    folder.rename(folder.with_name("another"))


@pytest.mark.parametrize(
    "change",
    [without_a_lock, in_the_making, of_another_machine, locked_by_a_link, of_another_name],
)
def test_what_is_not_surely_a_dead_process_s_stays(
    change: Callable[[Path], None], dead: Path
) -> None:
    change(dead)
    swept(dead.parent)
    assert len(list(dead.parent.rglob("session/log"))) == 1


def test_a_link_to_such_a_folder_and_one_of_another_user_stay(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = dead.parent / "place"
    place.mkdir()
    (place / "trellis-link").symlink_to(dead)
    swept(place)
    assert (dead / "token").exists()
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    swept(dead.parent)
    assert (dead / "token").exists()


def test_without_locks_a_folder_is_made_and_nobody_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        made = scratch_folder(str(tmp_path))
    swept(tmp_path)
    assert Path(made.name).is_dir()
    made.cleanup()


def test_ray_tune_s_files_lie_in_the_private_folder(tmp_path: Path) -> None:
    """They go with it also where the process is left at once."""
    code = f"""if True:
        from pathlib import Path
        from search import access, runner
        from search.interrupts import Interrupts
        from search.resources import Resources
        from tests.search_tests.toy import Plan, begin

        class Tuner:
            def __init__(self, _book, _resources, _shared, scratch, *_):
                self.place = Path(scratch)

            def fit(self):
                print(self.place.is_dir(), self.place.parent == access.private_folder())

        runner._tuner = Tuner
        book = begin(Plan(trials=1, max_epochs=1), Path({str(tmp_path / "toy")!r})).book
        try:
            runner.run_trials(book, Resources(1, 0, 1), {{}}, Interrupts())
        except BaseException as end:
            print(end)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True True\nended from outside\n", done.stderr
