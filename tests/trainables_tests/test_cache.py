import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from tests.trainables_tests.test_store import with_free
from trainables import store
from trainables.data import cache, parallel
from trainables.data.cache import ensure, resize
from trainables.data.parallel import in_order
from trainables.errors import DataError

PRINT = "f" * 64
NAME = PRINT[:32] + "-train"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@dataclass
class Made:
    """Image i is filled with i, label i % 3; counts the images it gives and may end early."""

    count: int = 7
    shape: tuple[int, ...] = (8, 6, 3)
    given: list[int] = field(default_factory=list)
    stop: int | None = None
    odd: tuple[int, ...] | None = None  # shape of the last image

    classes = ("a", "b", "c")
    fingerprint = PRINT
    notes = ()

    @property
    def sizes(self) -> dict[str, int]:
        return {"train": self.count, "validation": 2, "test": 0}

    def images(self, split: str) -> Iterator[tuple[np.ndarray, int]]:
        for i in range(self.sizes[split]):
            if i == self.stop:
                return
            self.given.append(i)
            last = self.odd is not None and i == self.sizes[split] - 1
            yield np.full(self.odd if last else self.shape, i, np.uint8), i % 3


def make(source, *sizes, split="train", **options):
    return ensure(PRINT, split, sizes, lambda: source, **options)


def whole(root: Path) -> list[str]:
    """Return all in the cache but the lock files, which are meant to stay."""
    return sorted(path.name for path in root.glob("*") if path.suffix != ".lock")


# Pixels


def test_resizing_is_antialiased():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    for image in (board[:, :, None], np.stack([board] * 3, 2)):
        half = resize(image, 32)
        assert half.shape == (32, 32, image.shape[2])
        # Without antialiasing every pixel would be 0 or 255. 4 is what the border costs.
        assert abs(half.astype(int) - 127.5).max() <= 4.5
        assert abs(half[4:-4, 4:-4].astype(int) - 127.5).max() <= 1


def test_resizing_keeps_places_and_stretches_to_a_square():
    image = np.zeros((8, 4, 3), np.uint8)
    image[:4, :, 0] = 200  # the upper half is red
    small = resize(image, 2)
    assert small.shape == (2, 2, 3)
    assert (small[0, :, 0] > 180).all()
    assert (small[1, :, 0] < 20).all()
    assert not small[:, :, 1:].any()
    large = resize(image, 16)
    assert (large[:6, :, 0] >= 199).all()
    assert (large[10:, :, 0] <= 1).all()


def test_the_right_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 1), np.uint8)
    assert resize(image, 9) is image
    assert resize(image, None) is image


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (3, 3), (128, 16)])
def test_in_order_reads_only_a_few_items_ahead(cpus, threads, monkeypatch):
    monkeypatch.setattr(parallel, "usable_cpus", lambda: cpus)
    read = []
    items = (read.append(i) or i for i in range(1000))
    results = in_order(lambda i: i * i, items)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(read) == 2 + 2 * threads
    assert list(results)[-1] == 999 * 999


# What is stored


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_hold_images_and_labels_in_order(root, channels):
    found = make(Made(shape=(8, 6, channels)), 4)
    images, labels = found.entries[4].images, found.entries[4].labels
    assert images.shape == (7, 4, 4, channels)
    assert images.dtype == np.uint8
    assert (images == np.arange(7)[:, None, None, None]).all()
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert labels.dtype == np.int64
    assert found.entries[4].bytes == 7 * 4 * 4 * channels + 7 * 8
    assert (found.built, found.notes) == (1, ())
    assert isinstance(images, np.memmap)
    for array in (images, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert whole(root) == [f"{NAME}-4-v1"]
    stored = root / f"{NAME}-4-v1"
    assert sorted(path.name for path in stored.iterdir()) == [
        "images.npy",
        "labels.npy",
        "meta.json",
    ]
    assert np.array_equal(np.load(stored / "images.npy"), images)
    meta = json.loads((stored / "meta.json").read_text())
    assert meta["shape"] == [7, 4, 4, channels]
    assert meta["files"]["images.npy"]["bytes"] == (stored / "images.npy").stat().st_size
    assert meta["seconds"] >= 0


def test_several_sizes_take_one_pass_and_come_from_the_cache_afterwards(root):
    source = Made()
    calls = []
    found = make(source, 4, None, 2, 4, progress=lambda *call: calls.append(call))
    assert source.given == list(range(7))
    assert {size: e.images.shape for size, e in found.entries.items()} == {
        4: (7, 4, 4, 3),
        None: (7, 8, 6, 3),
        2: (7, 2, 2, 3),
    }
    assert found.built == 3
    assert calls == [("preparing train images", i, 7) for i in range(1, 8)]
    again = make(source, 2, None, 5)
    assert again.built == 1
    assert len(source.given) == 14  # only for the missing size 5
    assert whole(root) == [f"{NAME}-{size}-v1" for size in ("2", "4", "5", "native")]
    assert make(None, 2, 4, 5, verify=True).built == 0


def test_other_data_or_another_split_is_another_entry(root):
    make(Made(), 4)
    other = Made()
    assert ensure("e" * 64, "train", [4], lambda: other).built == 1
    assert make(other, 4, split="validation").entries[4].images.shape == (2, 4, 4, 3)
    assert len(whole(root)) == 3


def test_the_place_of_the_cache(monkeypatch, tmp_path):
    assert store.root() == tmp_path / "cache"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRELLIS_CACHE", "~/x")
    assert store.root() == tmp_path / "home/x"
    monkeypatch.setenv("TRELLIS_CACHE", "")
    assert store.root() == tmp_path / "home/.cache/trellis"
    monkeypatch.delenv("TRELLIS_CACHE")
    assert store.root() == tmp_path / "home/.cache/trellis"


# Sources that do not fit


def test_native_size_needs_images_of_one_size(root):
    message = "the images differ in size: 8x6x3 and 8x7x3; scale them to one, or take an"
    with pytest.raises(DataError, match=message):
        make(Made(odd=(8, 7, 3)), None, 4)
    assert whole(root) == []
    assert make(Made(odd=(8, 7, 3)), 4).built == 1


def test_a_source_that_ends_early_leaves_nothing(root):
    with pytest.raises(DataError, match="the train split has 3 images instead of 7"):
        make(Made(stop=3), 4)
    assert whole(root) == []


def test_an_empty_split(root):
    with pytest.raises(DataError, match="the test split holds no images"):
        make(Made(), 4, split="test")


def test_an_error_of_the_source_is_passed_on_and_leaves_nothing(root):
    class Broken(Made):
        def images(self, split):
            yield from list(super().images(split))[:2]
            raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        make(Broken(), 4)
    assert whole(root) == []
    assert make(Made(), 4).built == 1  # and the lock is free


# Damage


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def replace_meta(**changes):
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("name", "damage", "verify", "why"),
    [
        ("images.npy", truncate, False, r"images.npy has 463 bytes instead of 464"),
        ("labels.npy", truncate, False, r"labels.npy has 183 bytes instead of 184"),
        ("images.npy", flip, True, "images.npy does not match its checksum"),
        ("labels.npy", flip, True, "labels.npy does not match its checksum"),
        ("images.npy", lambda path: flip(path, 0), False, "."),
        ("images.npy", lambda path: flip(path, 20), False, "."),
        ("labels.npy", lambda path: flip(path, 25), False, "."),
        ("images.npy", Path.unlink, False, "No such file"),
        ("labels.npy", Path.unlink, False, "No such file"),
        ("meta.json", Path.unlink, False, "No such file"),
        ("meta.json", lambda path: path.write_bytes(b"\xff\0"), False, "."),
        ("meta.json", lambda path: path.write_text("[]"), False, "lacks what it should say"),
        ("meta.json", lambda path: path.write_text("{}"), False, "lacks .*fingerprint"),
        ("meta.json", truncate, False, "."),
        ("meta.json", replace_meta(fingerprint="0"), False, "is about other data"),
        ("meta.json", replace_meta(shape=[7, 4, 4, 1]), False, "images.npy has shape"),
        ("meta.json", replace_meta(files={}), False, "lacks"),
    ],
)
def test_damage_is_found_and_repaired(root, name, damage, verify, why):
    before = make(Made(), 4, 2).entries[4]
    damage(root / f"{NAME}-4-v1" / name)
    source = Made()
    found = make(source, 4, 2, verify=verify)
    assert found.built == 1
    assert len(found.notes) == 1
    start = f"{root}/{NAME}-4-v1 was damaged and is made again: "
    assert found.notes[0].startswith(start)
    assert re.search(why, found.notes[0].removeprefix(start))
    assert (found.entries[4].images == np.arange(7)[:, None, None, None]).all()
    assert found.entries[4].labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert before.images.shape == (7, 4, 4, 3)
    assert make(None, 4, 2, verify=True).built == 0
    assert whole(root) == [f"{NAME}-2-v1", f"{NAME}-4-v1"]


def test_a_flipped_byte_is_left_to_verify(root):
    make(Made(), 4)
    flip(root / f"{NAME}-4-v1" / "images.npy")
    assert make(None, 4).built == 0
    assert make(Made(), 4, verify=True).built == 1


def test_a_file_in_the_place_of_an_entry_is_replaced(root):
    root.mkdir(parents=True)
    (root / f"{NAME}-4-v1").write_text("x")
    assert make(Made(), 4).built == 1
    assert (root / f"{NAME}-4-v1").is_dir()


# A cache that cannot be written


def test_a_cache_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path / "file"))
    message = (
        rf"cannot write the cache in {tmp_path}/file/images: Not a directory;"
        " make room there or set TRELLIS_CACHE to another folder"
    )
    with pytest.raises(DataError, match=message):
        make(Made(), 4)


def test_a_cache_that_is_read_only(tmp_path, root):
    make(Made(), 4)
    root.chmod(0o500)
    try:
        if os.access(root, os.W_OK):
            pytest.skip("this user may write everywhere")
        assert make(None, 4).built == 0
        with pytest.raises(
            DataError, match=r"cannot write .*: Permission denied; .*TRELLIS_CACHE"
        ):
            make(Made(), 5)
    finally:
        root.chmod(0o700)


def test_one_split_does_not_push_out_the_other(root, monkeypatch):
    """A trial needs both: else each would be made again for every trial."""
    monkeypatch.setenv("TRELLIS_CACHE_GB", "0.0000001")  # 100 bytes
    assert make(Made(), 4).built == 1
    assert make(Made(), 4, split="validation").built == 1
    assert whole(root) == [f"{NAME}-4-v1", f"{PRINT[:32]}-validation-4-v1"]
    assert make(None, 4).built == 0


def test_what_another_process_pushes_out_at_once_is_told(root, monkeypatch):
    real = cache._build

    def built(*given: object) -> None:
        real(*given)
        for name in whole(root):
            shutil.rmtree(root / name)

    monkeypatch.setattr(cache, "_build", built)
    with pytest.raises(DataError, match="was pushed out at once by another process; set TRELLIS"):
        make(Made(), 4)


def test_a_full_disk_leaves_nothing_half_written(root):
    make(Made(), 2)
    big = Made(count=250, shape=(50, 50, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the write fails as on a full disk
    try:
        with pytest.raises(DataError, match=rf"{root}: File too large; make room .*TRELLIS_CACHE"):
            make(big, 4, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 5 < len(big.given) < 250  # it failed midway
    assert whole(root) == [f"{NAME}-2-v1"]
    assert make(Made(), 4, None).built == 2


def test_arrays_that_the_disk_cannot_take_are_not_begun(root, monkeypatch):
    """7 images of 8 bytes of label and 4x4x3 or 2x2x3 of pixels: 392 and 140 bytes."""
    source = Made()
    with_free(531, monkeypatch)
    message = (
        rf"^the images in 2 sizes take 0.000532 MB, and the disk of {root} has 0.000531 MB free; "
        "make room there or set TRELLIS_CACHE to another folder, or hold image_size: 2 alone "
        "takes 0.00014 MB$"
    )
    with pytest.raises(DataError, match=message):
        make(source, 4, 2)
    assert whole(root) == []
    assert make(source, 2).built == 1
    with_free(391, monkeypatch)
    with pytest.raises(DataError, match=r"^the images in arrays take .* to another folder$"):
        make(source, 4, 2)
    with_free(392, monkeypatch)
    assert make(source, 4, 2).built == 1  # what is there needs no room


def test_splits_that_are_made_next_must_have_room_too(root, monkeypatch):
    """2 images of validation of 56 bytes beside 7 of train."""
    with_free(7 * 56 + 2 * 56 - 1, monkeypatch)
    with pytest.raises(DataError, match=r"the images in arrays take 0.000504 MB, and the disk"):
        make(Made(), 4, later=["validation"])
    assert make(Made(), 4, split="validation").built == 1
    assert make(Made(), 4, later=["validation"]).built == 1


# Several processes

# The source stops at image 300 until the gate is opened: by then most images before it are
# written, on any number of processors.
WORKER = """
import os, sys, time
import numpy as np
from trainables.data.cache import ensure

gate, log = sys.argv[1:]

class Gated:
    classes, fingerprint, notes, sizes = ("a",), "f" * 64, (), {"train": 400}
    def images(self, split):
        for i in range(400):
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\\n")
            if i == 300:
                tell("at the gate", i, 400)
            while i == 300 and not os.path.exists(gate):
                time.sleep(0.01)
            yield np.full((30, 30, 3), i % 256, np.uint8), 0

def tell(what, done, total):
    print(what, done, total, flush=True)

found = ensure("f" * 64, "train", [None, 4], Gated, tell)
print("built", found.built, int(found.entries[4].images[:, 0, 0, 0].sum()), flush=True)
"""
SUM = sum(i % 256 for i in range(400))


def worker(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder / "gate"), str(folder / "log")]
    here = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here)


def read_until(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    pytest.fail(f"the process ended without saying {start!r}")


def test_two_processes_compute_once(tmp_path, root):
    first = worker(tmp_path)
    read_until(first, "at the gate")
    second = worker(tmp_path)
    read_until(second, "waiting for another process to prepare train images 1 None")
    (tmp_path / "gate").touch()
    outputs = [process.communicate(timeout=240)[0].splitlines() for process in (first, second)]
    assert (tmp_path / "log").read_text().splitlines() == [str(first.pid)] * 400
    assert outputs[0][-1] == f"built 2 {SUM}"
    assert outputs[1][-1] == f"built 0 {SUM}"
    assert not any(line.startswith("preparing") for line in outputs[1])
    assert whole(root) == [f"{NAME}-4-v1", f"{NAME}-native-v1"]


def test_a_killed_process_leaves_nothing_that_looks_whole(tmp_path, root):
    process = worker(tmp_path)
    read_until(process, "at the gate")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=240)
    left = whole(root)
    assert len(left) == 1
    assert left[0].startswith(f"{NAME}.tmp-")
    other = Made()
    assert ensure("e" * 64, "train", [4], lambda: other).built == 1  # sweeps what others left
    assert whole(root) == ["e" * 32 + "-train-4-v1"]
    calls = []
    assert make(Made(), 4, progress=lambda *call: calls.append(call[0])).built == 1
    assert set(calls) == {"preparing train images"}  # no waiting: the dead hold no lock


def test_the_scratch_folder_of_a_living_process_is_left_alone(tmp_path, root):
    process = worker(tmp_path)
    read_until(process, "at the gate")
    other = Made()
    assert ensure("e" * 64, "train", [4], lambda: other).built == 1
    assert any(".tmp-" in name for name in whole(root))
    (tmp_path / "gate").touch()
    output, _ = process.communicate(timeout=240)
    assert output.splitlines()[-1] == f"built 2 {SUM}"


def test_scratch_folders_of_the_same_data_are_swept(root):
    (root / f"{NAME}.tmp-0").mkdir(parents=True)
    (root / f"{NAME}.tmp-0" / "images.npy").touch()
    assert make(Made(), 4).built == 1
    assert whole(root) == [f"{NAME}-4-v1"]


def test_the_lock_is_free_afterwards(root):
    make(Made(), 4)
    try:
        with FileLock(root / f"{NAME}.lock").acquire(timeout=0):
            pass
    except Timeout:
        pytest.fail("the lock is still held")
