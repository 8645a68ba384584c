"""The download over a real server on 127.0.0.1 that fails in every way, then succeeds."""

import errno
import hashlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.trainables_tests.fake_weights import fake_state, write_state
from tests.trainables_tests.tfds_server import FileServer, closed_port, serving
from trainables import weights_download
from trainables.errors import TrellisError
from trainables.vision import import_torchvision
from trainables.weights import find_weights, read_backbone

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
HOW = r"; fetch it elsewhere and give --weights PATH, or try out .* by --weights random$"


class Place:
    """A server with one file of weights, and the hub folder that it should reach."""

    def __init__(self, server: FileServer, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.server, self.patch = server, patch
        self.body = write_state(root / "made.pth", fake_state(top=True)).read_bytes()
        self.name = f"fake-{hashlib.sha256(self.body).hexdigest()[:8]}.pth"
        server.files[self.name] = self.body
        self.folder = root / "torch" / "hub" / "checkpoints"
        patch.setenv("TORCH_HOME", str(root / "torch"))
        patch.setenv("no_proxy", "127.0.0.1")
        # A busy machine may take longer than a user is to wait.
        patch.setattr(weights_download, "START_TIMEOUT_S", 120)
        patch.setattr(weights_download, "READ_TIMEOUT_S", 120)
        self.point_at(server.url)

    def point_at(self, server: str) -> None:
        entry = import_torchvision().models.Inception_V3_Weights.IMAGENET1K_V1.value
        self.patch.setattr(entry, "url", f"{server}/{self.name}")

    def left(self) -> list[str]:
        """What is in the folder, but the file that is locked: it stays."""
        names = [path.name for path in self.folder.glob("*")]
        return [name for name in names if name != f".{self.name}.lock"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with serving() as server:
        yield Place(server, tmp_path, monkeypatch)


def refused(place: Place, reason: str) -> None:
    """One line with the reason, the address and the two ways out; nothing is left behind."""
    line = rf"^no pretrained weights: http://\S+/{place.name} was not downloaded to .*{reason}.*"
    with pytest.raises(TrellisError, match=line + HOW) as error:
        find_weights(None)
    assert len(str(error.value).splitlines()) == 1
    assert place.left() == []
    assert socket.getdefaulttimeout() is None


def test_the_download_is_kept_where_torchvision_looks(place: Place) -> None:
    told: list[tuple[str, int, int | None]] = []
    found = find_weights(None, lambda *call: told.append(call))
    assert (found.source, found.path) == ("torchvision", str(place.folder / place.name))
    assert (place.folder / place.name).read_bytes() == place.body
    assert told[-1] == ("downloading pretrained weights", len(place.body), len(place.body))
    assert len(read_backbone(found)) == 564
    asked = place.server.requests.total()
    place.point_at(f"http://127.0.0.1:{closed_port()}")
    assert find_weights(None) == found  # with no network
    assert place.server.requests.total() == asked
    assert place.left() == [place.name]


FAULTS = [
    ("truncated", r"\(its checksum is wrong, or it was cut short\)"),
    ("dropped", r"\(its checksum is wrong, or it was cut short\)"),
    ("wrong", r"\(its checksum is wrong, or it was cut short\)"),
    ("404", r"\(it answered 404 Not Found\)"),
    ("500", r"\(it answered 500 Internal Server Error\)"),
    ("hung up", r"\(Remote end closed connection without response\)"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_a_failed_download_leaves_nothing_and_a_second_attempt_works(
    place: Place, fault: str, reason: str
) -> None:
    place.server.faults[place.name] = fault
    refused(place, reason)
    del place.server.faults[place.name]
    assert Path(find_weights(None).path).read_bytes() == place.body


@pytest.mark.parametrize(
    ("fault", "constant", "reason"),
    [
        ("stalled", "START_TIMEOUT_S", r"\((no answer within 0\.3 s|timed out)\)"),
        ("stalled midway", "READ_TIMEOUT_S", r"\((timed out|The read operation timed out)\)"),
    ],
)
def test_a_silent_server_is_given_up(place: Place, fault: str, constant: str, reason: str) -> None:
    place.server.faults[place.name] = fault
    place.patch.setattr(weights_download, constant, 0.3)
    refused(place, reason)


def test_nothing_listens(place: Place) -> None:
    place.point_at(f"http://127.0.0.1:{closed_port()}")
    refused(place, r"\(Connection refused\)")


def test_no_such_name(place: Place) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    place.patch.setattr(socket, "getaddrinfo", fail)
    refused(place, r"\(Name or service not known\)")


def test_a_look_up_of_the_name_that_hangs(place: Place) -> None:
    release = threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        release.wait(60)
        raise socket.gaierror(-3, "too late")

    place.patch.setattr(socket, "getaddrinfo", hang)
    place.patch.setattr(weights_download, "START_TIMEOUT_S", 0.3)
    refused(place, r"\(no answer within 0\.3 s\)")
    release.set()


def test_a_user_without_a_network_is_told_within_ten_seconds() -> None:
    # Two waits at most stand before the message: for the answer, and for torchvision's import.
    assert weights_download.START_TIMEOUT_S <= 5


def test_no_place_for_the_file(place: Place) -> None:
    place.folder.parent.parent.write_text("a file where the hub folder should be")
    with pytest.raises(TrellisError, match=rf"not downloaded to .*\(Not a directory\){HOW}"):
        find_weights(None)


def test_a_damaged_file_in_the_hub_folder(place: Place) -> None:
    find_weights(None)
    path = place.folder / place.name
    path.write_bytes(place.body[:-1])
    with pytest.raises(TrellisError, match=rf"{re.escape(str(path))} is damaged; remove it, and"):
        find_weights(None)
    path.unlink()
    assert Path(find_weights(None).path).read_bytes() == place.body


def test_progress_is_told_while_bytes_come(place: Place) -> None:
    size = 1 << 20
    place.server.files[place.name] = bytes(size)
    place.server.faults[place.name] = "stalled midway"  # until half of it has been told
    place.patch.setattr(weights_download, "_WATCH_S", 0.01)
    told: list[int] = []

    def progress(what: str, done: int, total: int | None) -> None:
        assert (what, total) == ("downloading pretrained weights", size)
        told.append(done)
        if done:
            place.server.gate.set()

    with pytest.raises(TrellisError, match="it was cut short"):
        find_weights(None, progress)
    assert 0 < max(told) <= size // 2


# Runs in its own process: fetches the weights from the address given, and tells that bytes came.
CHILD = """
import sys
from trainables import weights_download
weights_download.START_TIMEOUT_S = weights_download.READ_TIMEOUT_S = 240.0
weights_download.imagenet_url = lambda: sys.argv[1]
weights_download.imagenet_file(lambda what, done, total: done and print(done, flush=True))
"""


def test_what_a_killed_download_left_goes_before_the_next(place: Place) -> None:
    place.server.files[place.name] = bytes(1 << 20)  # so that it writes before its end
    place.server.faults[place.name] = "stalled midway"
    command = [sys.executable, "-c", CHILD, f"{place.server.url}/{place.name}"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) > 0
        child.kill()
    (left,) = place.left()
    assert left.endswith(".partial")
    place.server.files[place.name] = place.body
    del place.server.faults[place.name]
    assert Path(find_weights(None).path).read_bytes() == place.body
    assert place.left() == [place.name]


def test_one_process_downloads_while_another_waits_and_says_so(place: Place) -> None:
    place.folder.mkdir(parents=True)
    part = place.folder / f".{place.name}.fetched.0123.partial"
    part.write_bytes(place.body)
    lock = FileLock(place.folder / f".{place.name}.lock").acquire().lock
    told: list[tuple[str, int, int | None]] = []

    def hear(*call: Any) -> None:
        told.append(call)
        if lock.is_locked:
            part.rename(place.folder / place.name)
            lock.release()

    assert Path(find_weights(None, hear).path).read_bytes() == place.body
    waiting = "waiting for another process that downloads pretrained weights"
    size = len(place.body)
    assert told == [(waiting, 1, None), ("downloading pretrained weights", size, size)]
    assert place.server.requests.total() == 1  # for its size, and not for its bytes
    assert place.left() == [place.name]


def test_without_locks_it_is_downloaded_all_the_same_and_no_other_is_touched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(weights_download, "acquired", without_locks)
    place.folder.mkdir(parents=True)
    other = place.folder / f".{place.name}.fetched.0123.partial"
    other.touch()  # it may be of a process that is at it
    assert Path(find_weights(None).path).read_bytes() == place.body
    assert sorted(place.left()) == sorted([place.name, other.name])


def test_what_another_program_fetches_without_a_lock_is_left_alone(place: Place) -> None:
    place.folder.mkdir(parents=True)
    other = place.folder / f"{place.name}.0123.partial"
    other.touch()
    find_weights(None)
    assert sorted(place.left()) == [place.name, other.name]
