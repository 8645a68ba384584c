"""torchvision's ImageNet weights of Inception-v3, fetched once by torch's hub in bounded time."""

import contextlib
import http.client
import os
import queue
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch

from trainables.data.source import Progress
from trainables.errors import WeightsError
from trainables.files import sha256_of
from trainables.locks import acquired
from trainables.vision import import_torchvision

# Seconds until a server has been found, reached and has begun to answer: a user without a network
# is told within ten, the start of Python and torchvision included.
START_TIMEOUT_S = 4.0
# Seconds without a byte after which a download that had begun is given up.
READ_TIMEOUT_S = 20.0
_WATCH_S = 0.5
_WHAT = "downloading pretrained weights"
_WAITING = "waiting for another process that downloads pretrained weights"


def imagenet_file(progress: Progress) -> Path:
    """Return the file in torch's hub folder, where torchvision itself looks; fetch it if missing.

    Raises:
        WeightsError: no network, an answer that is no such file, or no place for it. Nothing
            that looks like the file is left behind then.
    """
    url = imagenet_url()
    target = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    match = re.search(r"-([0-9a-f]{8,})\.", target.name)  # the beginning of its SHA-256
    prefix = match[1] if match else None
    if not target.exists():
        _fetch(url, target, prefix, progress)
    elif prefix and target.is_file() and not sha256_of(target).startswith(prefix):
        raise WeightsError(f"{target} is damaged; remove it, and it is downloaded again")
    return target


def imagenet_url() -> str:
    """Return the address of the weights, from torchvision."""
    return str(import_torchvision().models.Inception_V3_Weights.IMAGENET1K_V1.url)


def _fetch(url: str, target: Path, prefix: str | None, progress: Progress) -> None:
    try:
        total = _size(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_of(target, progress)
        with lock or contextlib.nullcontext():
            if not target.exists():  # another process may have fetched it meanwhile
                _download(url, target, prefix, total, progress, alone=lock is not None)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise WeightsError(
            f"no pretrained weights: {url} was not downloaded to {target.parent} "
            f"({_reason(error)}); fetch it elsewhere and give --weights PATH, or try out "
            "without pretrained weights by --weights random"
        ) from error
    size = target.stat().st_size
    progress(_WHAT, size, size)


def _lock_of(target: Path, progress: Progress) -> AbstractContextManager[object] | None:
    """Return the lock of a download, held; None on a file system without locks."""
    try:
        return acquired(target.with_name(f".{target.name}.lock"), _WAITING, progress)
    except (OSError, NotImplementedError):
        return None  # or nothing can be written there, which the download tells


def _download(
    url: str,
    target: Path,
    prefix: str | None,
    total: int | None,
    progress: Progress,
    *,
    alone: bool,
) -> None:
    """Fetch the file; where the caller holds the lock, `alone`, under a name of our own first.

    What bears such a name is then of a killed process, and goes. Other programs that fetch the
    same file through torch's hub hold no lock, and have other names.
    """
    aside = target.with_name(f".{target.name}.fetched") if alone else target
    for left in target.parent.glob(f"{aside.name}*") if alone else ():
        left.unlink()
    with _socket_timeout(READ_TIMEOUT_S), _watched(aside, total, progress):
        torch.hub.download_url_to_file(url, str(aside), prefix, progress=False)
    if alone:
        os.replace(aside, target)


def _size(url: str) -> int | None:
    """Return how many bytes the server announces, None if it does not say.

    Timeouts of sockets do not cover the look-up of a name and count anew for every address, so
    a thread asks and is left behind when it takes too long.

    Raises:
        OSError: no server answers, or not with the file.
    """
    answer: queue.SimpleQueue[str | Exception | None] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(url, answer), daemon=True).start()
    try:
        found = answer.get(timeout=START_TIMEOUT_S)
    except queue.Empty:
        raise TimeoutError(f"no answer within {START_TIMEOUT_S:g} s") from None
    if isinstance(found, Exception):
        raise found
    return int(found) if found and found.isdecimal() else None


def _ask(url: str, answer: "queue.SimpleQueue[str | Exception | None]") -> None:
    request = Request(url, headers={"User-Agent": "torch.hub"})
    try:
        with urlopen(request, timeout=START_TIMEOUT_S) as response:
            answer.put(response.headers.get("Content-Length"))
    except Exception as error:  # handed over to the thread that waits for it
        answer.put(error)


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Bound every wait of new sockets: torch's hub sets no timeout of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _watched(target: Path, total: int | None, progress: Progress) -> Iterator[None]:
    """Tell twice a second how much is there: torch's hub tells it to a terminal only."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_S):
            # The hub's name for what is not yet whole.
            parts = target.parent.glob(f"{target.name}.*.partial")
            with contextlib.suppress(OSError):  # renamed meanwhile
                states = [part.stat() for part in parts]
                if states:
                    progress(_WHAT, max(states, key=lambda s: s.st_mtime).st_size, total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _reason(error: Exception) -> str:
    """Return what went wrong in a few words, on one line."""
    if isinstance(error, HTTPError):
        return f"it answered {error.code} {error.reason}"
    if str(error).startswith("invalid hash"):
        return "its checksum is wrong, or it was cut short"
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner)
    return " ".join(text.split()) or type(inner).__name__
