"""Who may come in: the token of every Ray, and the private folder of one that starts here.

Ray reads all of it from the environment, so `grant` must come before Ray is imported.
"""

import functools
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from search.errors import UsageError
from search.scratch import scratch_folder

# On Linux Ray takes the machine's outer address as its own and listens on all of them. Where a
# cluster is ruled out, as by default on macOS and Windows, it takes 127.0.0.1 everywhere.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_OTHER_TOKENS = ("RAY_AUTH_TOKEN", "RAY_ENABLE_K8S_TOKEN_AUTH")
DASHBOARD_HOST = "127.0.0.1"


def grant(address: str) -> None:
    """Let this process, and those it starts, into the Ray at `address`; "local" is a new one.

    A new one gets a fresh token and lives in `private_folder()`. An existing one must be joined
    with its token, and Ray looks for that in the same places as `token_mistakes`.

    Raises:
        UsageError: a Ray is to be joined, and there is no token to do it with.
    """
    if address == "local":
        for name in _OTHER_TOKENS:  # these would come before the file
            os.environ.pop(name, None)
        os.environ.update(_ALONE, RAY_AUTH_TOKEN_PATH=str(token_file()))
        if os.path.expanduser("~") == "~":  # a user without a name or $HOME: Ray wants one
            os.environ["HOME"] = str(private_folder())
    else:
        wrong = token_mistakes(address)
        if wrong:
            raise UsageError(wrong)
    os.environ["RAY_AUTH_MODE"] = "token"  # Ray's own default joins an address without one


def dashboard_line(url: str, address: str) -> str:
    """Return what a user needs to open the dashboard, without the token itself."""
    local = address == "local"
    token = token_file() if local else token_place()
    how = f"cat {token}" if isinstance(token, Path) else f"in ${token}"
    when = "starts when you open it, and" if local else "it"
    return f"Ray dashboard: http://{url} ({when} asks for a token: {how})"


# As Ray names the longest of its sockets, and the longest path one may have (macOS; Linux: 107).
_SOCKET = "trellis-12345678/ray/session_2026-11-28_12-00-00_123456_1234567/sockets/plasma_store"
_SOCKET_BYTES = 103


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    # Ray's default, /tmp/ray, is made writable for everybody, with the code that workers run.
    return scratch_folder(_place())


def _place() -> str:
    """Return where Ray's folder is made: $RAY_TMPDIR, the folder for temporary files, or /tmp.

    Python finds that folder: $TMPDIR where it can be written. It is taken where Ray's sockets can
    be bound there: on macOS, and in jobs of many batch systems, its path is too long for that.
    """
    if named := os.environ.get("RAY_TMPDIR"):
        return os.path.abspath(named)
    usual = os.path.abspath(tempfile.gettempdir())
    return usual if len(os.fsencode(os.path.join(usual, _SOCKET))) <= _SOCKET_BYTES else "/tmp"


def place_mistakes() -> list[str]:
    """Return a line if there is nowhere to make the private folder."""
    try:
        place = _place()
    except OSError as error:  # none of all that Python knows
        return [f"no folder for temporary files: {error.strerror}; name one in TMPDIR"]
    if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
        return []
    what = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    return [f"{place}: no folder that can be written, for Ray's files; name one in {what}"]


def private_folder() -> Path:
    """Return a folder that only this user can enter; it is removed when this process ends.

    Should it be killed, the next one removes it.
    """
    return Path(_folder().name)


def remove_private_folder() -> None:
    """Remove it now, where this process ends in a way that skips what is due at its end."""
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder().name, ignore_errors=True)


@functools.cache
def token_file() -> Path:
    """Return the file, mode 600, with the token of the Ray that this process starts."""
    path = private_folder() / "token"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def token_place() -> str | Path:
    """Return where Ray finds the token of an existing Ray: a variable's name, or a file."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    # Not Path.home, which raises where there is none.
    return Path(named or os.path.expanduser("~/.ray/auth_token"))


def past_proxies(url: str) -> None:
    """Let Ray's client go straight to a URL's host, past any proxy that the environment names.

    A proxy would get the token, with which whoever has it may run anything on the cluster.
    """
    host = urlsplit(url).hostname or ""
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "")
        if host not in known.split(","):
            os.environ[name] = f"{known},{host}" if known else host


def address_mistakes(address: str) -> list[str]:
    """Return a line if `address` is neither a word for a Ray nor HOST:PORT."""
    host, _, port = address.rpartition(":")
    sound = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if address in ("local", "auto") or (host and "://" not in host and sound):
        return []
    return [f"--address {address}: must be local, auto or HOST:PORT, such as 10.0.0.1:6379"]


def token_mistakes(address: str) -> list[str]:
    """Return a line if the Ray at `address` cannot be joined for want of a safe token."""
    if address == "local" or isinstance(place := token_place(), str):
        return []
    try:
        mode = place.stat().st_mode
        token = place.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "not text"
    else:
        if token and not mode & (stat.S_IRWXG | stat.S_IRWXO):
            return []
        if token:
            return [f"--address {address}: others can read {place}; run chmod 600 {place}"]
        found = "empty"
    return [
        f"--address {address}: no token to join it with ({place}: {found}); put the token of that "
        f"Ray there, chmod 600, or name its file in RAY_AUTH_TOKEN_PATH"
    ]
