"""The cache's folders: whole or absent, one maker at a time, the least recently used go first."""

import errno
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from trainables import store
from trainables.data.source import silent
from trainables.errors import DataError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))
    monkeypatch.delenv("TRELLIS_CACHE_GB", raising=False)
    return tmp_path / "activations"


def folder(path: Path, size: int, used: int) -> Path:
    """A folder of `size` bytes in all that was last used at second `used`."""
    path.mkdir(parents=True)
    (path / "values.npy").write_bytes(bytes(size - 2))
    (path / store.META).write_text("{}")
    os.utime(path / store.META, (used, used))
    return path


def test_the_limit_is_twenty_gigabytes_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRELLIS_CACHE_GB", raising=False)
    assert store.limit_bytes() == 20e9
    monkeypatch.setenv("TRELLIS_CACHE_GB", " 0.5 ")
    assert store.limit_bytes() == 0.5e9


@pytest.mark.parametrize("text", ["0", "-1", "twenty", "nan"])
def test_a_limit_that_is_no_positive_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRELLIS_CACHE_GB", text)
    with pytest.raises(DataError, match=rf"TRELLIS_CACHE_GB must be a positive .*, not '{text}'"):
        store.limit_bytes()


def with_free(free: int, monkeypatch: pytest.MonkeyPatch, total: int = 10**15) -> None:
    """Let every disk have so many bytes free."""
    usage = SimpleNamespace(total=total, used=0, free=free)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _place: usage)


def test_what_the_disk_cannot_take_is_refused_with_both_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(120 * 10**9, monkeypatch)
    store.check_room(tmp_path, 120e9, "the images")
    message = (
        f"^the images take 374.0 GB, and the disk of {tmp_path} has 120.0 GB free; make room "
        "there or set TRELLIS_CACHE to another folder, or wait$"
    )
    with pytest.raises(DataError, match=message):
        store.check_room(tmp_path, 374e9, "the images", ", or wait")


def test_a_disk_that_tells_nothing_of_itself_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(0, monkeypatch, total=0)
    store.check_room(tmp_path, 1e12, "the images")


def test_the_disk_is_asked_truly(tmp_path: Path) -> None:
    store.check_room(tmp_path, 1, "the images")
    with pytest.raises(DataError, match=r"the images take 1000000000000.0 GB, and the disk of"):
        store.check_room(tmp_path, 1e21, "the images")
    with pytest.raises(DataError, match=r"cannot write the cache in .*: No such file"):
        store.check_room(tmp_path / "nowhere", 1, "the images")


@pytest.mark.parametrize(
    ("size", "text"), [(1e9, "1.0 GB"), (999e6, "999 MB"), (1.24e6, "1.24 MB"), (0, "0 MB")]
)
def test_bytes_for_people(size: float, text: str) -> None:
    assert store.shown(size) == text


def test_the_least_recently_used_go_until_the_rest_fits(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 4,000 bytes in all and room for 2,500: the two oldest go, whatever place they are in.
    old = folder(place / "old", 1000, 10)
    images = folder(place.parent / "images" / "older", 1000, 5)
    new = folder(place / "new", 1000, 30)
    source = folder(place.parent / "sources" / "newest", 1000, 40)
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000025")
    assert store.trim() == [images, old]
    assert sorted(place.iterdir()) == [new]
    assert source.exists()
    assert not images.exists()
    assert store.trim() == []


@pytest.mark.parametrize(("needed", "growth"), [(400, 400), (700, 500), (9000, 500)])
def test_beyond_its_limit_the_cache_does_not_grow(
    needed: int, growth: float, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(place / "old", 1000, 10)
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000015")
    assert store.growth(needed) == pytest.approx(growth)
    folder(place / "more", 1000, 20)
    assert store.growth(needed) == 0


@pytest.mark.parametrize(("minutes", "warns"), [(59, True), (61, False)])
def test_pushing_out_what_was_used_within_an_hour_is_told(
    minutes: int,
    warns: bool,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    old = folder(place / "old", 1000, int(time.time()) - 60 * minutes)
    folder(place / "new", 1000, int(time.time()))
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000015")
    assert store.trim() == [old]
    told = (
        f"the limit of the cache in {place.parent}, 0.0 GB, pushes out what was used within the "
    )
    told += "hour (old); set TRELLIS_CACHE_GB higher"
    assert (told in caplog.text) is warns
    assert bool(caplog.text) is warns


def test_what_is_to_be_kept_stays_though_it_is_the_oldest(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = folder(place / "a", 1000, 1), folder(place / "b", 1000, 2)
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000015")
    assert store.trim(keep={first}) == [second]
    assert first.exists()


@pytest.mark.parametrize("call", ["rename", "rmtree"])
def test_what_may_not_be_removed_does_not_count_as_room(
    call: str, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As of another user, whose folder may be renamed but not emptied, or not even renamed."""
    theirs, ours = folder(place / "theirs", 1000, 1), folder(place / "ours", 1000, 2)
    plain: dict[str, Any] = {"rename": Path.rename, "rmtree": shutil.rmtree}

    def refuse(path: Path, *more: Any, **options: Any) -> object:
        if path.name.startswith("theirs"):
            if options.get("ignore_errors"):
                return None
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain[call](path, *more, **options)

    monkeypatch.setattr(*((Path, call) if call == "rename" else (shutil, call)), refuse)
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000005")
    assert store.trim() == [ours]
    assert sum(path.stat().st_size for path in place.rglob("*.npy")) == 998
    assert theirs.exists() == (call == "rename")
    assert "more than its limit, all of it in use or of another user; set" in caplog.text
    assert "within the hour" not in caplog.text


def test_using_a_folder_makes_it_the_youngest(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = folder(place / "a", 1000, 1), folder(place / "b", 1000, 2)
    store.touch(first)
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000015")
    assert store.trim() == [second]
    store.touch(second)  # gone: nothing to note, and no error


def test_a_folder_in_the_making_is_neither_counted_nor_removed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.000001")
    with store.locked(place, "group", "", silent), store.scratch(place, "group") as scratch:
        made = folder(scratch / "x", 5000, 1)
        assert store.trim() == []
        store.put(made, place / "x")
    assert sorted(path.name for path in place.iterdir()) == ["group.lock", "x"]
    assert store.trim() == [place / "x"]


def left_by_a_kill(place: Path, group: str) -> Path:
    """The scratch folder of a process that died: nobody holds the lock of its group."""
    return folder(place / f"{group}.tmp-0123abcd" / "x", 5000, 1).parent


def test_what_killed_processes_left_is_removed_in_all_places_without_waiting(place: Path) -> None:
    dead = [left_by_a_kill(place.parent / name, "dead") for name in store.PLACES]
    mine = [left_by_a_kill(place.parent / name, "mine") for name in store.PLACES]
    assert [path.parent.name for path in dead] == ["images", "activations", "sources"]
    whole = folder(place / "whole", 1000, 1)
    with ExitStack() as held:
        for path in mine:
            held.enter_context(FileLock(path.parent / "mine.lock"))
        store.sweep()
    assert not any(path.exists() for path in dead)
    assert all((path / "x" / store.META).exists() for path in mine)
    assert whole.exists()


def test_what_killed_processes_left_takes_no_room(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has 7,000 bytes, of which 5,000 are such."""
    place.mkdir()
    dead = left_by_a_kill(place.parent / "images", "dead")

    def usage(_place: Path) -> SimpleNamespace:
        return SimpleNamespace(total=7000, free=2000 if dead.exists() else 7000)

    monkeypatch.setattr(store.shutil, "disk_usage", usage)
    store.check_room(place, 7000, "the images")
    assert not dead.exists()


def test_the_limit_is_kept_without_what_killed_processes_left(place: Path) -> None:
    dead, whole = left_by_a_kill(place.parent / "sources", "dead"), folder(place / "x", 1000, 1)
    assert store.trim() == []
    assert whole.exists()
    assert not dead.exists()


def test_a_new_folder_takes_the_place_of_an_old_one(place: Path) -> None:
    old = folder(place / "x", 100, 1)
    with store.scratch(place, "group") as scratch:
        store.put(folder(scratch / "y", 200, 1), old)
    assert (old / "values.npy").stat().st_size == 198
    assert list(place.iterdir()) == [old]


def test_what_is_synced_is_on_the_disk_before_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    file = (tmp_path / "x").open("wb")
    file.write(b"abc")
    store.sync(file)
    assert synced == [3]
    assert file.closed
