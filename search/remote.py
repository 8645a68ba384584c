"""A folder in a store such as S3: files are put there whole, fetched whole, listed, removed.

Through pyarrow's file systems, or fsspec's where pyarrow knows no such store.
"""

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from search.errors import StudyFailed
from trainables.files import replace_file

_BLOCK = 4 << 20
# In these a put is atomic, and content of one block goes in one request.
_ATOMIC = ("s3", "gcs", "abfs")
_ASIDE = re.compile(r".+\.part-[0-9a-f]{8}")


# As S3 and others name it; an answer to all that is asked, today and in ten minutes.
_REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE|EXPIRED_TOKEN"
    r"|credentials|HTTP status 40[13]|is no name of a study's file"
)


class StoreFailed(StudyFailed):
    """A store does not do what it is asked for; it may work again later."""

    @property
    def refused(self) -> bool:
        """Whether the store answers, and refuses: to wait does not help."""
        return bool(_REFUSED.search(str(self)))


@dataclass(frozen=True)
class Entry:
    """A file in a store: its bytes, and when it was put by the store's clock (None: not told)."""

    size: int
    changed: float | None  # seconds since 1970


class Remote:
    """A folder in a store. Names are relative, with slashes; all methods raise StoreFailed.

    A file appears whole or not at all, whatever ends the process that puts it: in stores where a
    put is atomic, small content goes in one. All else is written under a name of its own, its
    size is checked, and it is moved: a writer that ends early, even by an error, leaves what looks
    like a whole object to S3's own protocol.
    """

    def __init__(self, uri: str) -> None:
        """Name the folder `uri`, which need not exist."""
        self.uri = uri
        with self._told():
            self._files, root = _file_system(uri)
        self._root = root.rstrip("/")
        if not self._root:
            raise StoreFailed(f"{uri} names no bucket")

    def check(self) -> None:
        """Raise StoreFailed if there is no such bucket, or it may not be looked into."""
        from pyarrow.fs import FileType

        if self._files.type_name in _ATOMIC:
            bucket = self._root.partition("/")[0]
            with self._told():
                found = self._files.get_file_info(bucket).type
            if found == FileType.NotFound:
                raise StoreFailed(f"{self.uri}: there is no bucket {bucket}")

    def entries(self, under: str = "") -> dict[str, Entry]:
        """Return all files below `under`, by name; none where there is no such folder.

        Each name stays inside when it is joined to a local path: others raise StoreFailed.
        """
        from pyarrow.fs import FileSelector, FileType

        place = f"{self._root}/{under}".rstrip("/")
        with self._told():
            selector = FileSelector(place, recursive=True, allow_not_found=True)
            found = self._files.get_file_info(selector)
        return {
            self._inside(info.path[len(self._root) + 1 :]): _entry(info)
            for info in found
            if info.type == FileType.File and not _ASIDE.fullmatch(info.base_name)
        }

    def _inside(self, name: str) -> str:
        """Return a name that the store lists; whoever may write there may make any up."""
        apart = any(part in ("", ".", "..") for part in name.split("/"))
        if apart or "\\" in name or "\0" in name:
            raise StoreFailed(
                f"{self.uri}: holds {name!r}, which is no name of a study's file and may lead out "
                "of its folder; remove it there"
            )
        return name

    def folders_with(self, name: str) -> list[str]:
        """Return the folders here, in order, that hold a file `name`."""
        from pyarrow.fs import FileSelector, FileType

        with self._told():
            selector = FileSelector(self._root, allow_not_found=True)
            found = self._files.get_file_info(selector)
        names = [info.base_name for info in found if info.type == FileType.Directory]
        return sorted(each for each in names if self.entry(f"{each}/{name}") is not None)

    def entry(self, name: str) -> Entry | None:
        """Return what the store tells of a file; None if there is none."""
        from pyarrow.fs import FileType

        with self._told():
            info = self._files.get_file_info(f"{self._root}/{name}")
        return _entry(info) if info.type == FileType.File else None

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None if there is none."""
        place = f"{self._root}/{name}"
        try:
            with self._told(missing=True), self._files.open_input_stream(place) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except StoreFailed:
            # One that goes once it is open is told as any failure; by S3, as an internal one.
            if self.entry(name) is not None:
                raise
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put `content`."""
        import io

        self.put(name, io.BytesIO(content), len(content))

    def put(self, name: str, source: BinaryIO, size: int) -> None:
        """Put the next `size` bytes of `source`."""
        place = f"{self._root}/{name}"
        direct = size <= _BLOCK and self._files.type_name in _ATOMIC
        aside = place if direct else f"{place}.part-{secrets.token_hex(4)}"
        with self._told():
            if self._files.type_name not in _ATOMIC:
                self._files.create_dir(place.rpartition("/")[0], recursive=True)
            if direct:
                content = source.read(size)  # an error of ours must come before the stream opens
                _check_size(name, len(content), size)
                with self._files.open_output_stream(aside) as stream:
                    stream.write(content)
                return
            try:
                with self._files.open_output_stream(aside) as stream:
                    _copy(source, stream, size)
                _check_size(name, self._files.get_file_info(aside).size, size)
                self._files.move(aside, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._files.delete_file(aside)
                raise

    def fetch(self, name: str, path: Path) -> bool:
        """Replace the file `path` by a file of the store; return whether there is one."""

        def copy(aside: Path) -> None:
            with (
                self._told(missing=True),
                self._files.open_input_stream(f"{self._root}/{name}") as stream,
                aside.open("wb") as file,
            ):
                while block := stream.read(_BLOCK):
                    file.write(block)

        try:
            replace_file(path, copy)
        except FileNotFoundError:
            return False
        return True

    def copy(self, name: str, to: str) -> None:
        """Put a file a second time, from the store itself."""
        with self._told():
            self._files.copy_file(f"{self._root}/{name}", f"{self._root}/{to}")

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            self._files.delete_file(f"{self._root}/{name}")

    @contextmanager
    def _told(self, missing: bool = False) -> Iterator[None]:
        """Turn what a file system raises into one line."""
        try:
            yield
        except FileNotFoundError as error:
            if missing:
                raise
            raise StoreFailed(f"{self.uri}: {_why(error)}") from error
        except StudyFailed:
            raise
        except Exception as error:  # fsspec's file systems raise nearly anything
            raise StoreFailed(f"{self.uri}: {_why(error)}") from error


def _file_system(uri: str) -> tuple[Any, str]:
    import pyarrow
    from pyarrow import fs

    try:
        found, path = fs.FileSystem.from_uri(uri)
    except pyarrow.ArrowInvalid as error:
        if "Unrecognized filesystem type" not in str(error):
            raise
        import fsspec  # type: ignore[import-untyped]  # it has no types

        other, path = fsspec.core.url_to_fs(uri)
        found = fs.PyFileSystem(fs.FSSpecHandler(other))
    return found, str(path)


def _entry(info: Any) -> Entry:
    return Entry(info.size, info.mtime.timestamp() if info.mtime else None)


def _copy(source: BinaryIO, stream: Any, size: int) -> None:
    while size > 0 and (block := source.read(min(size, _BLOCK))):
        stream.write(block)
        size -= len(block)


def _check_size(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise StoreFailed(f"{name} has {wanted} bytes, of which {found} arrived")


def _why(error: BaseException) -> str:
    """Return the first line of an error, without the number of a request."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r" \(Request ID: [^)]*\)", "", text)
