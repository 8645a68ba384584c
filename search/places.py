"""Where studies lie: a folder, or a URI of shared storage with a folder here that mirrors it."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from trainables import store

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Of a Windows path the drive has one letter.
_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
# A name and a password before the host, wherever a URI has them; abfs://container@account is none.
_PASSWORD = re.compile(r"://[^/@]*:[^/]*@")
# Settings after the ? that are secrets, such as those of Azure.
_SECRET = re.compile(r"secret|passw|token|_key$|^sig$")
EXAMPLE = "s3://bucket/folder"


def is_remote(text: str) -> bool:
    """Tell whether `text` is a URI of a store: any but file://."""
    return bool(_URI.match(text)) and not text.lower().startswith("file://")


def check_place(text: str) -> str:
    """Read a place of studies.

    Raises:
        ValueError: a URI that names no place, or has a password in it.
    """
    if _ONE_SLASH.match(text):
        raise ValueError(f"must be a URI such as {EXAMPLE}")
    if not _URI.match(text):
        return text
    parts = urlsplit(text)
    if not text.isprintable() or parts.fragment:
        raise ValueError(f"must be a URI such as {EXAMPLE}")
    if parts.scheme.lower() == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.strip("/") or parts.query:
            raise ValueError("must be file:// and an absolute path: file:///shared/results")
    elif "@" in parts.netloc and parts.scheme.startswith(("s3", "gs", "gcs")):
        raise ValueError(
            "holds a key, which would be written to study.json; give it by the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or in ~/.aws"
        )
    elif has_password(text):
        raise ValueError(
            "holds a password, which would be written to study.json; give it by the environment "
            f"or by settings that the package for {parts.scheme}:// reads, such as fsspec's in "
            "~/.config/fsspec"
        )
    elif not parts.netloc and not parts.path.strip("/"):
        raise ValueError(f"names no bucket; such as {EXAMPLE}")
    return text


def has_password(uri: str) -> bool:
    """Tell whether a URI holds one: before its host, or in a setting after the ?."""
    settings = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    secret = any(_SECRET.search(name.lower()) for name, _ in settings)
    return secret or bool(_PASSWORD.search(uri))


def local_path(text: str) -> Path:
    """Return the folder of a place that is a path or file://, with ~ replaced."""
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    return Path(os.path.expanduser(text))


def place(text: str) -> Path | str:
    """Read a place of studies for a reading command: a path, or the URI of a store.

    Raises:
        ValueError: see `check_place`.
    """
    return text if is_remote(check_place(text)) else local_path(text)


def below(uri: str, name: str) -> str:
    """Return the URI of `name` in a place; what follows a ? stays at the end."""
    path, mark, settings = uri.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{settings}"


def uri_of(study: str, results: Path | str) -> str | None:
    """Return the URI of a study as a reading command names it; None for one in a folder."""
    if is_remote(study):
        return study
    return below(str(results), study) if is_remote(str(results)) else None


def above(uri: str) -> tuple[str, str]:
    """Return the URI of the place that a URI lies in, and its name there."""
    path, mark, settings = uri.partition("?")
    place, _, name = path.rstrip("/").rpartition("/")
    return f"{place}{mark}{settings}", name


def mirror_of(uri: str, kind: str = "mirrors") -> Path:
    """Return the folder here that stands for a place in a store, in the cache.

    `kind` keeps apart what a driver, a worker on another node and a reader have of it.
    """
    path, _, settings = uri.partition("?")
    name = f"{path.rstrip('/')}?{settings}"
    return store.root() / kind / hashlib.sha256(name.encode()).hexdigest()[:16]


def working_folder(text: str) -> Path:
    """Return the folder in which a driver works on the studies of a place."""
    return mirror_of(text) if is_remote(text) else local_path(text)
