"""Whole or absent: whatever interrupts a write, and whoever reads meanwhile."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from trainables.files import replace_file, replace_text, sha256_of, stands_for


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replaces_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "old")
    replace_text(path, "new: grün\n")
    assert path.read_bytes() == b"new: gr\xc3\xbcn\n"
    assert names(tmp_path) == ["a.txt"]


def test_what_is_no_text_is_escaped(tmp_path: Path) -> None:
    """As a name of bytes that are no UTF-8 is."""
    replace_text(tmp_path / "a.html", "study bl\udce4tter: gr\u00fcn\n")
    assert (tmp_path / "a.html").read_bytes() == b"study bl\\udce4tter: gr\xc3\xbcn\n"


def test_makes_the_folder(tmp_path: Path) -> None:
    replace_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file_whole(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(aside: Path) -> None:
        aside.write_bytes(b"half of the n")
        assert names(tmp_path) == [f".a.bin.part-{os.getpid()}", "a.bin"]
        raise error

    with pytest.raises(type(error)):
        replace_file(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_error_before_anything_is_written_keeps_its_own_message(tmp_path: Path) -> None:
    def write(_: Path) -> None:
        raise ValueError("nothing to write")

    with pytest.raises(ValueError, match=r"^nothing to write$"):
        replace_file(tmp_path / "a.bin", write)
    assert names(tmp_path) == []


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    """In a study from somebody else one may wait for every process there may be."""
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (tmp_path / f".a.txt.part-{os.getpid()}").symlink_to(outside)
    replace_text(tmp_path / "a.txt", "new")
    assert outside.read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert not (tmp_path / "a.txt").is_symlink()


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def grow_old(path: Path, seconds: float = 3600.0) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_a_kill_left_behind_is_removed(tmp_path: Path, gone: int) -> None:
    left = f".a.txt.part-{gone}", f".other.pt.part-{gone}", f".a.txt.part-{os.getpid()}"
    for name in left:
        (tmp_path / name).write_text("torn, and longer than the new text")
        grow_old(tmp_path / name)
    replace_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_what_was_written_in_the_last_ten_minutes_stays(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number may be of a process on another machine that shares the folder."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for name, seconds in (("new", 0), ("young", 590), ("old", 610)):
        left = tmp_path / f".{name}.pt.part-{gone}"
        left.write_text("half of it")
        grow_old(left, seconds)
    replace_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == [f".new.pt.part-{gone}", f".young.pt.part-{gone}", "a.txt"]


def test_what_is_not_a_dead_process_s_stays(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = [
        f".a.txt.part-{os.getppid()}",  # of a process that lives
        f".a.txt.part-{gone}x",
        ".a.txt.part-",
        ".a.txt.part-0",  # a signal to 0 or -1 would go to many
        ".a.txt.part--1",
        ".a.txt.part-9999999999",  # no process has such a number
        f"a.txt.part-{gone}",
    ]
    for name in theirs:
        (tmp_path / name).write_text("theirs")
        grow_old(tmp_path / name)
    replace_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == sorted([*theirs, "a.txt"])

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / f".b.txt.part-{gone}").write_text("another user's")
    grow_old(tmp_path / f".b.txt.part-{gone}")
    monkeypatch.setattr(os, "kill", refuse)
    replace_text(tmp_path / "a.txt", "newer")
    assert (tmp_path / f".b.txt.part-{gone}").exists()


def test_what_cannot_be_removed_does_not_stop_a_write(tmp_path: Path, gone: int) -> None:
    (tmp_path / f".a.txt.part-{gone}").mkdir()  # unlink refuses a folder
    grow_old(tmp_path / f".a.txt.part-{gone}")
    replace_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_two_processes_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from trainables.files import replace_file\n"
        "def write(aside):\n"
        "    aside.write_text('other')\n"
        "    print(aside.name, flush=True)\n"
        "    input()\n"
        "replace_file(Path(sys.argv[1]), write)\n"
    )
    path = tmp_path / "best.pt"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f".best.pt.part-{other.pid}\n"
        replace_text(path, "ours")
        assert names(tmp_path) == [f".best.pt.part-{other.pid}", "best.pt"]
        assert path.read_text() == "ours"
        other.communicate("\n")
    assert other.returncode == 0
    assert path.read_text() == "other"


def test_text_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def sync(descriptor: int) -> None:
        steps.append(f"sync {os.fstat(descriptor).st_size}")

    def rename(source: Path, target: Path) -> None:
        steps.append(f"rename to {target.name}")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    replace_text(tmp_path / "a.txt", "four")
    assert steps == ["sync 4", "rename to a.txt"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (".study.json.part-12", "study.json"),
        (".best.pt.part-1", "best.pt"),
        ("study.json", None),
        (".study.json.part", None),
        (".study.json.part-x", None),
        ("study.json.part-12", None),
    ],
)
def test_the_file_that_a_temporary_one_stands_for(name: str, file: str | None) -> None:
    assert stands_for(name) == file


def test_the_process_is_not_in_what_torch_writes(tmp_path: Path) -> None:
    for process in (1, 22):
        torch.save({"x": torch.zeros(2)}, tmp_path / f".best.pt.part-{process}")
    first, second = (path.read_bytes() for path in tmp_path.iterdir())
    assert first == second


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        replace_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["b"]


def test_a_reader_sees_one_content_or_the_other(tmp_path: Path) -> None:
    path, size = tmp_path / "a.txt", 50_000
    replace_text(path, "a" * size)
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    while not seen:  # from now on it reads while others write
        assert reader.is_alive()
    for turn in range(100):
        replace_text(path, "ba"[turn % 2] * size)
    done.set()
    reader.join()
    assert seen
    assert seen <= {"a" * size, "b" * size}


def test_the_sha_256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
