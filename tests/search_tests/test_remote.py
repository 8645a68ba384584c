"""Files in a store: whole or absent, on S3 (moto's server) and through fsspec."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyarrow.fs import FileInfo, FileSelector, FileType

from search.places import (
    above,
    below,
    check_place,
    has_password,
    is_remote,
    local_path,
    mirror_of,
    working_folder,
)
from search.remote import Remote, StoreFailed
from tests.search_tests.stores import s3

BIG = 9 << 20  # bytes: more than one block, and than a part of an upload


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3() as environment:
        yield environment


@pytest.fixture(params=["s3", "memory"])
def remote(
    request: pytest.FixtureRequest, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Remote:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    place = "s3://bucket" if request.param == "s3" else "memory://bucket"
    return Remote(f"{place}/results/{uuid4().hex}")


class Breaking(io.BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 5 << 20:
            raise OSError(5, "Input/output error")
        return super().read(size)


def test_what_is_put_comes_back(remote: Remote, tmp_path: Path) -> None:
    big = bytes(range(256)) * (BIG // 256)
    remote.write("study.json", b"{}")
    remote.put("trials/3/best.pt", io.BytesIO(big), len(big))
    remote.write("empty", b"")
    assert {n: e.size for n, e in remote.entries().items()} == {
        "study.json": 2,
        "trials/3/best.pt": BIG,
        "empty": 0,
    }
    assert list(remote.entries("trials")) == ["trials/3/best.pt"]
    assert remote.entries("nothing") == {}
    assert remote.read("study.json") == b"{}"
    assert remote.read("none") is None
    assert remote.entry("none") is None
    assert remote.fetch("trials/3/best.pt", tmp_path / "a" / "best.pt")
    assert (tmp_path / "a" / "best.pt").read_bytes() == big
    assert not remote.fetch("none", tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_is_replaced_and_removed(remote: Remote) -> None:
    remote.write("a/b", b"old")
    remote.put("a/b", io.BytesIO(b"x" * BIG), BIG)
    remote.write("a/b", b"new")
    assert remote.read("a/b") == b"new"
    assert list(remote.entries()) == ["a/b"]  # nothing of the ways there
    remote.write("a/c", b"")
    remote.remove("a/none")
    for name in ("a/b", "a/c"):
        remote.remove(name)
    assert remote.entries() == {}


@pytest.mark.parametrize("remote", ["s3"], indirect=True)
def test_what_goes_while_it_is_read_is_not_there(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.write("a", b"x")
    files = remote._files

    class Going:
        type_name, get_file_info = files.type_name, files.get_file_info

        def open_input_stream(self, place: str) -> Any:
            stream = files.open_input_stream(place)
            files.delete_file(place)
            return stream

    monkeypatch.setattr(remote, "_files", Going())
    assert remote.read("a") is None


@pytest.mark.parametrize("size", [10, BIG])
def test_half_a_file_never_looks_whole(remote: Remote, size: int) -> None:
    remote.write("best.pt", b"before")
    source = Breaking(b"x" * size) if size > 10 else io.BytesIO(b"short")
    with pytest.raises(StoreFailed, match=r"Input/output error|has 10 bytes, of which 5 arrived"):
        remote.put("best.pt", source, size)
    assert remote.read("best.pt") == b"before"
    assert list(remote.entries()) == ["best.pt"]


def test_a_fetch_that_breaks_off_leaves_what_was_there(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"before")

    class Files:
        type_name = "s3"

        def open_input_stream(self, path: str) -> Any:
            raise OSError("connection lost")

    monkeypatch.setattr(remote, "_files", Files())
    with pytest.raises(StoreFailed, match=r"connection lost$"):
        remote.fetch("x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"before"


@pytest.mark.parametrize("remote", ["s3"], indirect=True)
@pytest.mark.parametrize(
    "key", ["trials/../../../x", "/etc/x", "trials//x", "./x", "trials/..", "a\\..\\x", "a/x\0"]
)
def test_a_key_that_leads_out_of_a_study_is_no_name(
    key: str, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Files:
        def get_file_info(self, selector: FileSelector) -> list[FileInfo]:
            return [FileInfo(f"{selector.base_dir}/{key}", type=FileType.File, size=1)]

    monkeypatch.setattr(remote, "_files", Files())
    with pytest.raises(StoreFailed, match=r": holds '.*', which is no name") as caught:
        remote.entries()
    assert repr(key) in str(caught.value)
    assert str(caught.value).isprintable()


def test_studies_are_the_folders_with_a_manifest(remote: Remote) -> None:
    for name in ("b/study.json", "a/study.json", "c/other", "study.json", "a/confirm/study.json"):
        remote.write(name, b"{}")
    assert remote.folders_with("study.json") == ["a", "b"]


def test_no_bucket_and_no_server_are_one_line(
    server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    Remote("s3://bucket/any").check()
    with pytest.raises(StoreFailed, match=r"^s3://none/x: there is no bucket none$"):
        Remote("s3://none/x").check()
    with pytest.raises(StoreFailed, match=r"^s3://none/x: .*NO_SUCH_BUCKET"):
        Remote("s3://none/x").write("a", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreFailed, match=r"^s3://bucket/x: .*NETWORK_CONNECTION") as caught:
        Remote("s3://bucket/x").write("a", b"")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreFailed, match=r"^nothing://x/y: Protocol not known: nothing"):
        Remote("nothing://x/y")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://key:secret@bucket/x", "holds a key, which would be written to study.json"),
        ("ftp://user:secret@host/x", "holds a password, which would be written to study.json"),
        ("sftp://user:se@cret@host", "holds a password"),
        ("webdav://:secret@host/x", "holds a password"),
        ("abfs://:secret@account.blob.core.windows.net/x", "holds a password"),
        ("abfs://box@account/x?client_secret=x", "holds a password"),
        ("s3://bucket/x?endpoint_override=http://me:secret@host", "holds a password"),
        ("s3://", "names no bucket"),
        ("s3:///", "names no bucket"),
        ("s3://bucket/x#y", "must be a URI"),
        ("s3:/bucket/x", r"must be a URI such as s3://bucket/folder$"),
        ("file:/shared", "must be a URI"),
        ("s3://bucket/\x1b[2J", "must be a URI"),
        ("file://host/x", "must be file:// and an absolute path"),
        ("file:///", "must be file:// and an absolute path"),
    ],
)
def test_places_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_place(text)


@pytest.mark.parametrize(
    ("uri", "has"),
    [
        ("postgresql://me:secret@db/mlflow", True),
        ("postgresql://db/mlflow?user=me&password=secret", True),
        ("http://host?Token=", True),
        ("http://host:5000/a:b@c", False),  # a port, and a path
        ("postgresql://me@db/mlflow?sslmode=require", False),
        ("sqlite:////home/me/runs.db", False),
    ],
)
def test_where_a_uri_has_a_password(uri: str, has: bool) -> None:
    assert has_password(uri) == has


def test_places_and_what_lies_in_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRELLIS_CACHE", str(tmp_path))
    more = ("abfs://container@account/x", "sftp://user@host/x", "s3://b/x:y@z", "abfs://c@a:80/x")
    more += ("c:/x",)
    for text in ("results", "/a b", "~/x", "file:///a", "s3://b/c?scheme=http", "a:b", *more):
        assert check_place(text) == text
    assert [is_remote(t) for t in ("s3://b", "file:///a", "FILE:///a", "a:b")] == [True] + [
        False
    ] * 3
    assert local_path("file:///shared/my%20results") == Path("/shared/my results")
    assert local_path("~/x") == Path.home() / "x"
    assert below("s3://b/c?scheme=http", "study") == "s3://b/c/study?scheme=http"
    assert below("s3://b/c/", "study") == "s3://b/c/study"
    assert above("s3://b/c/study?scheme=http") == ("s3://b/c?scheme=http", "study")
    assert mirror_of("s3://b/c/") == mirror_of("s3://b/c") != mirror_of("s3://b/d")
    assert working_folder("s3://b/c").parent == tmp_path / "mirrors"
    assert working_folder("file:///shared") == Path("/shared")
