"""On which addresses a study's processes listen, read from /proc of Linux."""

import contextlib
import ipaddress
import os
from pathlib import Path


def processes(first: int, token_file: Path) -> list[Path]:
    """Return /proc/<pid> of a study, `first`, and of all that Ray started for it."""
    own = f"RAY_AUTH_TOKEN_PATH={token_file}".encode()
    found = [Path(f"/proc/{first}")]
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if own in (path / "environ").read_bytes().split(b"\0"):
                found.append(path)
    return found


def listeners(folders: list[Path]) -> set[tuple[str, int]]:
    """Return address and port of every TCP socket on which the processes listen."""
    inodes = {}
    for family in ("tcp", "tcp6"):
        for line in Path("/proc/net", family).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":  # LISTEN
                inodes[f"socket:[{words[9]}]"] = words[1]
    open_files = set()
    for folder in folders:
        with contextlib.suppress(OSError):  # a process may end meanwhile
            for descriptor in os.listdir(folder / "fd"):
                with contextlib.suppress(OSError):
                    open_files.add(os.readlink(folder / "fd" / descriptor))
    return {decode(inodes[name]) for name in open_files & set(inodes)}


def decode(text: str) -> tuple[str, int]:
    """Read ADDRESS:PORT of /proc/net/tcp: words of 32 bits in the order of this machine."""
    digits, port = text.split(":")
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    inner = getattr(address, "ipv4_mapped", None)
    return str(inner or address), int(port, 16)
