"""Fetch one registered file over HTTP, or nothing: bounded waits, size and SHA-256 checked.

TFDS's own downloader retries ten times without a timeout; here every wait ends.
"""

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainables.errors import DataError
from trainables.files import sha256_of

if TYPE_CHECKING:
    import requests

# Seconds until a server has been found, reached and has begun to answer. Five leaves room for a
# user without a network to be told within ten, the start of Python and TFDS included.
START_TIMEOUT_S = 5.0
# Seconds without a byte after which a download that had begun is given up.
READ_TIMEOUT_S = 20.0
BLOCK_BYTES = 1 << 20


class UnreachableError(Exception):
    """No server answered: no network, no such host, refused, or silent for too long."""


class Download(NamedTuple):
    """A file to fetch: where from, what it must be, and where to."""

    url: str
    size: int  # bytes
    sha256: str  # hex digest
    target: Path


def is_intact(download: Download) -> bool:
    """Return whether the target is there with the right size and content."""
    target = download.target
    if not target.is_file() or target.stat().st_size != download.size:
        return False
    return sha256_of(target) == download.sha256


def fetch(download: Download, received: Callable[[int], None]) -> None:
    """Download to `download.target`, which appears only when it is complete and right.

    `received` is called with the number of bytes so far.

    Raises:
        UnreachableError: nothing answered within `START_TIMEOUT_S`.
        DataError: a status other than 200, a broken or stalled transfer, a wrong checksum.
        OSError: the target cannot be written.
    """
    partial = download.target.with_name(f"{download.target.name}.tmp.{os.getpid()}")
    try:
        _fetch_into(partial, download, received)
        os.replace(partial, download.target)
    finally:
        partial.unlink(missing_ok=True)


def _fetch_into(partial: Path, download: Download, received: Callable[[int], None]) -> None:
    digest, size = hashlib.sha256(), 0
    with contextlib.closing(_open(download.url)) as response, partial.open("wb") as file:
        if response.status_code != 200:
            status = f"{response.status_code} {response.reason}".strip()
            raise DataError(
                f"{download.url} answered {status}: try again later, or give a directory that "
                "holds the data with --data-dir DIR, or use --data embedded"
            )
        for block in _blocks(response, download):
            file.write(block)
            digest.update(block)
            size += len(block)
            received(size)
            if size > download.size:  # never store more than was promised
                break
    if (size, digest.hexdigest()) != (download.size, download.sha256):
        raise DataError(
            f"{download.url} has a wrong checksum: found {size} bytes, SHA-256 "
            f"{digest.hexdigest()}, expected {download.size} bytes, {download.sha256}: nothing "
            "of it was kept; try again, or give --data-dir DIR or --data embedded"
        )


def _blocks(response: "requests.Response", download: Download) -> Iterator[bytes]:
    """Yield the body; an interrupted one raises DataError with how far it came."""
    import requests

    size = 0
    try:
        for block in response.iter_content(chunk_size=BLOCK_BYTES):
            yield block
            size += len(block)
    except requests.RequestException as error:
        raise DataError(
            f"the download of {download.url} broke off after {size} of {download.size} bytes "
            f"({_reason(error)}): nothing of it was kept; try again"
        ) from error


def _open(url: str) -> "requests.Response":
    """Return the response, its body unread, or raise UnreachableError in bounded time.

    Timeouts of sockets do not cover the look-up of a name and count anew for every address, so
    a thread asks and is left behind when it takes too long.
    """
    answer: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(url, answer), daemon=True).start()
    try:
        found = answer.get(timeout=START_TIMEOUT_S)
    except queue.Empty:
        raise UnreachableError(f"{url}: no answer within {START_TIMEOUT_S:g} s") from None
    if isinstance(found, Exception):
        raise UnreachableError(f"{url}: {_reason(found)}") from found
    return found


def _ask(url: str, answer: "queue.SimpleQueue[requests.Response | Exception]") -> None:
    import requests

    try:
        answer.put(requests.get(url, stream=True, timeout=(START_TIMEOUT_S, READ_TIMEOUT_S)))
    except Exception as error:  # handed over to the thread that waits for it
        answer.put(error)


def _reason(error: BaseException) -> str:
    """Return the innermost cause in one line: urllib3 wraps it in several layers."""
    while isinstance(error.args[0] if error.args else None, BaseException):
        error = error.args[0]
    inner = getattr(error, "reason", None) or error
    said = inner.args[0] if inner.args and isinstance(inner.args[0], str) else str(inner)
    text = said.rsplit(">: ", 1)[-1].rsplit("): ", 1)[-1]
    return " ".join(text.split()) or type(inner).__name__
