"""Whole or absent: whatever interrupts a write, and whoever reads meanwhile."""

import threading
from pathlib import Path

import pytest

from trainables.files import replace_file, replace_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replaces_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "old")
    replace_text(path, "new: grün\n")
    assert path.read_bytes() == b"new: gr\xc3\xbcn\n"
    assert names(tmp_path) == ["a.txt"]


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
        assert names(tmp_path) == [".a.bin.part", "a.bin"]
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


def test_what_a_kill_left_behind_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.part").write_text("torn, and longer than the new text")
    replace_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


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
    for turn in range(100):
        replace_text(path, "ba"[turn % 2] * size)
    done.set()
    reader.join()
    assert seen
    assert seen <= {"a" * size, "b" * size}
