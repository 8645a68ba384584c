"""What is known of a folder is kept in the cache, and lost there it costs time alone."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data import folder_images, folder_known
from trainables.data.folder import FolderSource, open_folder
from trainables.data.folder_known import Checked, Known
from trainables.data.source import SPLITS, DataSpec, Progress, silent
from trainables.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "folders"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that were decoded, one after the other."""
    sizes: list[int] = []
    decode = folder_images.decode
    monkeypatch.setattr(
        folder_images, "decode", lambda data: sizes.append(len(data)) or decode(data)
    )
    return sizes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images of 4x5 pixels: a/0.png is filled with 0, b/4.png with 9."""
    for i in range(10):
        paint(tmp_path / "photos" / f"{'ab'[i // 5]}/{i % 5}.png", i)
    return tmp_path / "photos"


def paint(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), level, np.uint8)).save(path)


def opened(root: Path, progress: Progress = silent) -> FolderSource:
    return open_folder(DataSpec("beans", "folder", str(root)), progress)


def only(cache: Path) -> Path:
    [file] = cache.iterdir()
    return file


def lines(cache: Path) -> list[str]:
    return gzip.decompress(only(cache).read_bytes()).decode("ascii").splitlines()


def test_opening_again_decodes_nothing_and_gives_the_same(root: Path, decoded: list[int]) -> None:
    first = opened(root)
    assert len(decoded) == 10
    calls: list[tuple[str, int, int | None]] = []
    again = opened(root, lambda *call: calls.append(call))
    assert len(decoded) == 10
    assert again == first
    assert calls == [("checking images", i, 10) for i in range(1, 11)]


def test_it_is_the_file_that_knows_and_not_this_process(
    root: Path, cache: Path, decoded: list[int]
) -> None:
    command = "import sys; from trainables.data.folder import open_folder, DataSpec\n"
    command += "open_folder(DataSpec('beans', 'folder', sys.argv[1]))"
    here = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", command, str(root)], check=True, cwd=here, timeout=240)
    opened(root)
    assert not decoded
    only(cache).unlink()
    opened(root)
    assert len(decoded) == 10


def test_a_line_for_each_image(root: Path, cache: Path) -> None:
    opened(root)
    head, *images = map(json.loads, lines(cache))
    assert head[0] == 1
    assert len(images) == 10
    path = root / "b/4.png"
    stat = path.stat()
    assert images[-1] == [
        "b/4.png",
        [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns],
        hashlib.sha256(path.read_bytes()).hexdigest(),
        hashlib.sha256(b"(4, 5, 3)" + b"\x09" * 60).hexdigest(),
        [4, 5, 3],
        None,
    ]


def test_what_changed_is_decoded_and_what_is_gone_is_dropped(
    root: Path, cache: Path, decoded: list[int]
) -> None:
    opened(root)
    paint(root / "a/0.png", 200)
    (root / "b/1.png").unlink()
    opened(root)
    assert len(decoded) == 11
    paths = [json.loads(line)[0] for line in lines(cache)[1:]]
    assert paths == [f"{name}/{i}.png" for name in "ab" for i in range(5) if (name, i) != ("b", 1)]
    assert (
        json.loads(lines(cache)[1])[2]
        == hashlib.sha256((root / "a/0.png").read_bytes()).hexdigest()
    )


def test_an_image_that_became_unreadable_is_known_no_more(
    root: Path, cache: Path, decoded: list[int]
) -> None:
    opened(root)
    (root / "a/0.png").write_bytes(b"torn")
    for count in (11, 12):  # another version of Pillow may read it
        assert opened(root).notes == ("1 image could not be read and was skipped: a/0.png",)
        assert len(decoded) == count
    assert len(lines(cache)) == 1 + 9


def test_of_an_opening_that_was_interrupted_all_is_kept(root: Path, decoded: list[int]) -> None:
    def interrupt(_what: str, done: int, _total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(root, interrupt)
    assert len(decoded) >= 3
    opened(root)
    assert len(decoded) == 10


def test_names_that_are_no_text(root: Path, decoded: list[int]) -> None:
    paint(root / "a/new\nline.png", 20)
    os.rename(os.fsencode(root / "a/0.png"), os.fsencode(root / "a") + b"/\xff.png")
    first = opened(root)
    assert opened(root) == first
    assert len(decoded) == 11


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def packed(*rows: str) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(gzip.compress("\n".join(rows).encode()))


def other_head(file: Path) -> None:
    """As if images had been decoded by another version of Pillow, some differently."""
    head, *rest = gzip.decompress(file.read_bytes()).decode().splitlines()
    version = json.loads(head)
    version[2] = "1.0"
    packed(json.dumps(version), *rest)(file)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        other_head,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_text("no archive"),
        packed(),
        packed("{"),
        packed("é"),
        packed(json.dumps(folder_known._head()), '["a/0.png"]'),
        packed(json.dumps(folder_known._head()), '["a/0.png", 1, 2, 3, 4, 5]'),
        packed(json.dumps(folder_known._head()), "7"),
    ],
)
def test_damage_costs_time_alone_and_is_mended(
    damage: Callable[[Path], object], root: Path, cache: Path, decoded: list[int]
) -> None:
    first, whole = opened(root), lines(cache)
    damage(only(cache))
    assert opened(root) == first
    assert len(decoded) == 20
    assert lines(cache) == whole


def test_a_digest_that_is_wrong_is_found_and_forgotten(root: Path, cache: Path) -> None:
    """As of a disk whose times are so coarse that a change leaves no trace."""
    first = opened(root)
    path = root / first.entries["train"][0].path
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    text = gzip.decompress(only(cache).read_bytes()).decode()
    only(cache).write_bytes(gzip.compress(text.replace(old, "00" * 32).encode()))
    source = opened(root)
    assert source.fingerprint != first.fingerprint
    with pytest.raises(DataError, match=rf"{path} changed while it was used; start again"):
        list(source.images("train"))
    assert opened(root) == first
    assert sum(len(list(opened(root).images(split))) for split in SPLITS) == 10


@pytest.mark.parametrize("home", [True, False])
def test_without_a_cache_this_process_remembers(
    home: bool, root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(root / "a/0.png") if home else "~nobody-there/x")
    first = opened(root)
    assert opened(root) == first
    assert len(decoded) == 10
    monkeypatch.setattr(folder_known, "_unkept", {})
    opened(root)
    assert len(decoded) == 20


def test_two_processes_at_once_leave_the_whole_of_one(root: Path, cache: Path) -> None:
    one, two = Known(root), Known(root)
    for known, size in ((one, 1), (two, 2)):
        known.add("a/0.png", (1, size, 3, 4), Checked(b"f", b"p", (4, 5, 3)))
        known.keep(["a/0.png", "a/1.png"])
    assert [json.loads(line)[:2] for line in lines(cache)[1:]] == [["a/0.png", [1, 2, 3, 4]]]
    assert Known(root).get("a/0.png", (1, 2, 3, 4)) == Checked(b"f", b"p", (4, 5, 3))
    assert Known(root).get("a/0.png", (1, 1, 3, 4)) is None


def test_what_is_as_before_is_not_written_again(root: Path, cache: Path) -> None:
    opened(root)
    before = only(cache).stat().st_ino
    opened(root)
    assert only(cache).stat().st_ino == before


def test_what_was_not_used_for_a_month_goes(root: Path, cache: Path) -> None:
    others = [cache / "old.gz", cache / "lately.gz"]
    cache.mkdir(parents=True)
    for path, days in zip(others, (31, 29), strict=True):
        path.touch()
        os.utime(path, (0, time.time() - days * 86_400))
    opened(root)
    assert [path.exists() for path in others] == [False, True]
    mine = next(path for path in cache.iterdir() if path not in others)
    os.utime(mine, (0, 0))
    opened(root)  # used now
    assert time.time() - mine.stat().st_mtime < 3600
