"""Downloads over a real server on 127.0.0.1 that fail in every way, then succeed."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainables_tests import tfds_files
from tests.trainables_tests.tfds_reading import (
    assert_all_beans,
    assert_nothing_partial,
    files_in,
    open_in,
    serving_tiny,
)
from tests.trainables_tests.tfds_server import FileServer, closed_port
from trainables.data import tfds_download
from trainables.data.source import DataSpec
from trainables.data.tfds_source import open_tfds
from trainables.errors import DataError

THREE_WAYS = r"--data-dir DIR.*network.*--data embedded"


@pytest.fixture
def beans() -> Iterator[FileServer]:
    with serving_tiny("beans") as server:
        yield server


FAULTS = [
    ("truncated", r"test\.zip has a wrong checksum: found \d+ bytes, SHA-256 .*nothing of it"),
    ("longer", r"test\.zip has a wrong checksum"),
    ("wrong", r"test\.zip has a wrong checksum"),
    ("404", r"http://127\.0\.0\.1:\d+/test\.zip answered 404 Not Found: try again later.*--data"),
    ("500", r"http://127\.0\.0\.1:\d+/test\.zip answered 500 Internal Server Error"),
    (
        "dropped",
        r"test\.zip broke off after \d+ of \d+ bytes \(Connection broken: [^()]+\([^()]+\)\): not",
    ),
    ("hung up", rf"beans is not prepared in .*test\.zip: .*: name .*{THREE_WAYS}"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_a_failed_download_leaves_nothing_and_a_second_attempt_works(
    beans: FileServer, tmp_path: Path, fault: str, message: str
) -> None:
    beans.faults["test.zip"] = fault
    for attempt in (1, 2):
        with pytest.raises(DataError, match=message) as error:
            open_in(tmp_path)
        assert "\n" not in str(error.value)
        assert beans.requests["test.zip"] == attempt  # no retries behind the user's back
        assert_nothing_partial(tmp_path)
    del beans.faults["test.zip"]
    assert_all_beans(open_in(tmp_path))
    assert beans.requests["test.zip"] == 3
    others = [name for name in beans.files if name != "test.zip"]
    assert [beans.requests[name] for name in others] == [1, 1]  # what was right was kept


@pytest.mark.parametrize(
    ("fault", "constant", "seconds", "message"),
    [
        ("stalled", "START_TIMEOUT_S", 0.3, rf"no answer within 0\.3 s.*{THREE_WAYS}"),
        # Its answer begins in that time also on a busy machine.
        ("stalled midway", "READ_TIMEOUT_S", 15, r"broke off after \d+ of \d+ bytes \(Read timed"),
    ],
)
def test_a_stalled_server_is_given_up(
    beans: FileServer, tmp_path: Path, fault: str, constant: str, seconds: float, message: str
) -> None:
    beans.faults["train.zip"] = fault
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds_download, constant, seconds)
        with pytest.raises(DataError, match=message):
            open_in(tmp_path)
    assert_nothing_partial(tmp_path)
    beans.gate.set()
    beans.faults.clear()
    assert_all_beans(open_in(tmp_path))


def test_offline_is_told_after_one_attempt(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://127.0.0.1:{closed_port()}"
    tfds_files.point_builder_at(closed, "beans", beans.files, monkeypatch)
    connect, attempts = socket.socket.connect, []

    def counted(client: socket.socket, address: tuple[str, int]) -> None:
        attempts.append(address)
        connect(client, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    message = rf"^beans is not prepared in {tmp_path} and cannot .*refused.*{THREE_WAYS}$"
    with pytest.raises(DataError, match=message) as error:
        open_in(tmp_path)
    assert "\n" not in str(error.value)
    assert len(attempts) == 1
    assert files_in(tmp_path) == [".beans.lock"]
    assert [p.name for p in tmp_path.iterdir()] == [".beans.lock"]


def test_an_unknown_host_is_told_as_offline(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []

    def no_such_host(host: str, *_rest: object, **_options: object) -> None:
        looked_up.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    tfds_files.point_builder_at("http://data.invalid", "beans", beans.files, monkeypatch)
    with pytest.raises(DataError, match=rf"Name or service not known.*{THREE_WAYS}"):
        open_in(tmp_path)
    assert looked_up == ["data.invalid"]
    assert_nothing_partial(tmp_path)


def test_a_name_server_that_hangs_is_given_up(
    beans: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [released.wait(60)][:0])
    monkeypatch.setattr(tfds_download, "START_TIMEOUT_S", 0.3)
    tfds_files.point_builder_at("http://data.invalid", "beans", beans.files, monkeypatch)
    try:
        with pytest.raises(DataError, match=r"data\.invalid/.*no answer within 0\.3 s"):
            open_in(tmp_path)
    finally:
        released.set()


def test_a_damaged_cached_download_is_fetched_again(beans: FileServer, tmp_path: Path) -> None:
    beans.faults["test.zip"] = "404"
    with pytest.raises(DataError, match="answered 404"):
        open_in(tmp_path)
    cached = list((tmp_path / "downloads" / "beans").glob("*train*.zip"))
    assert len(cached) == 1
    content = bytearray(cached[0].read_bytes())
    content[100] ^= 255
    cached[0].write_bytes(content)
    beans.faults.clear()
    assert_all_beans(open_in(tmp_path))
    assert beans.requests["train.zip"] == 2
    assert beans.requests["validation.zip"] == 1


def test_leftovers_of_a_killed_attempt_are_removed(beans: FileServer, tmp_path: Path) -> None:
    left = [
        tmp_path / "downloads" / "beans" / "train.zip.tmp.0123" / "train.zip",
        tmp_path / "downloads" / "beans" / "train.zip.tmp.4567",
        tmp_path / "beans" / "incomplete.ABCDEF_0.1.0" / "features.json",
        tmp_path / "downloads" / "extracted-beans" / "half",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert_all_beans(open_in(tmp_path))
    assert [path.exists() for path in left] == [False] * 4


@pytest.mark.parametrize("stage", ["downloading beans", "preparing beans"])
def test_an_interrupt_leaves_nothing_partial(
    beans: FileServer, tmp_path: Path, stage: str
) -> None:
    def interrupt(what: str, done: int, _total: int | None) -> None:
        if what == stage and done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_tfds(DataSpec("beans", "tfds", str(tmp_path)), interrupt)
    assert_nothing_partial(tmp_path)
    assert_all_beans(open_in(tmp_path))
