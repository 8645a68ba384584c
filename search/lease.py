"""One driver at a time for a study in a store: a file there, renewed while its driver lives.

What is guaranteed, where reading and listing show what was put before (S3 since 2020, Google's and
Microsoft's stores, any file system): of two drivers one at most goes on. Each puts a file of its
own and then looks for those of others, so that of two that come at once one sees the other, or
both do, and are refused. No conditional put is needed, which pyarrow does not have.

What is not: a driver that stood still for longer than `LEASE_S` (a suspended machine, no network)
may have lost its study to another. It finds that out before it next puts anything, and ends; but
a put under way just then may still arrive. The next round of the other driver puts that right.

A thread renews the file: putting or fetching one large file over a slow connection takes longer
than `LEASE_S`, and pyarrow puts the parts of a file in the background, with no call in between.
"""

import json
import os
import secrets
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from search.errors import StudyFailed, StudyTaken
from search.remote import Entry, Remote, StoreFailed

LEASE_S = 120.0
RENEW_S = 15.0
PREFIX = "driver-"


class Lease:
    """This driver's claim to the study in `remote`; threads may share it."""

    def __init__(self, remote: Remote) -> None:
        """Claim nothing yet."""
        self._remote = remote
        self._name = f"{PREFIX}{secrets.token_hex(8)}.json"
        self._renewed = (0.0, 0.0)
        self._lost = False
        self._lock, self._over = threading.Lock(), threading.Event()

    def take(self) -> None:
        """Become the study's only driver, and stay so until `release` or `stop`.

        A driver that was killed on this machine is known to be dead at once, one elsewhere once
        its file is `LEASE_S` old by the store's clock.

        Raises:
            StudyTaken: another has it, or comes at the same time.
            StoreFailed: the store does not answer.
        """
        self._put(self._remote)
        try:
            mine = self._remote.entry(self._name)
            for name, entry in self._remote.entries().items():
                if name.startswith(PREFIX) and "/" not in name and name != self._name:
                    self._judge(name, entry, mine)
        except BaseException:
            self.release()
            raise
        self._lost, self._over = False, threading.Event()
        arguments = (weakref.ref(self), self._over, self._remote.uri)
        threading.Thread(target=_keep, args=arguments, name="lease", daemon=True).start()

    def _judge(self, name: str, entry: Entry, mine: Entry | None) -> None:
        """Remove another's file if its driver is dead; refuse if it may live."""
        content = self._remote.read(name)
        if content is None:  # it has just ended
            return
        owner = _parsed(content)
        age = _age_s(entry, mine, owner)
        if age < LEASE_S and not _is_dead(owner):
            study = self._remote.uri.partition("?")[0].rpartition("/")[2]
            raise StudyTaken(
                [
                    f"study {study} is being run by process {owner.get('process')} on "
                    f"{owner.get('host')}, which gave a sign of life {max(age, 0):.0f} s ago; if "
                    f"it is gone, try again in {LEASE_S - age:.0f} s"
                ]
            )
        self._remote.remove(name)

    def renew(self) -> None:
        """Say that this driver lives, if it is time; called before anything is put.

        Raises:
            StudyFailed: another driver has taken the study over.
        """
        with self._lock:
            self._renew(self._remote)

    def renew_until(self, over: threading.Event, remote: Remote) -> None:
        """Do the same from another thread, through a `remote` of its own, unless it is over."""
        with self._lock:
            if not over.is_set():
                self._renew(remote)

    def _renew(self, remote: Remote) -> None:
        steady, wall = _clocks()
        # The wall clock tells of a machine that slept, the steady one of a wall clock put back.
        due = max(steady - self._renewed[0], wall - self._renewed[1]) >= RENEW_S
        self._lost = self._lost or (due and remote.entry(self._name) is None)
        if self._lost:
            self._over.set()
            raise StudyFailed(
                f"another driver took {self._remote.uri} over, since this one gave no sign of "
                f"life for {LEASE_S:.0f} s; nothing more is written there"
            )
        if due:
            self._put(remote)

    def release(self) -> None:
        """Give the study up."""
        with self._lock:  # no renewal comes after it
            self._over.set()
            self._remote.remove(self._name)

    def stop(self) -> None:
        """Renew no more, where the store cannot be told: the claim lapses."""
        self._over.set()

    def _put(self, remote: Remote) -> None:
        remote.write(self._name, json.dumps(_here() | {"time": time.time()}).encode())
        self._renewed = _clocks()


def _keep(claim: "weakref.ref[Lease]", over: threading.Event, uri: str) -> None:
    """Renew a lease until it is over, lost, or nobody's any more."""
    remote = None
    while not over.wait(max(RENEW_S, 1.0)):
        lease = claim()
        if lease is None:
            return
        try:
            remote = remote or Remote(uri)  # not every file system may be shared by threads
            lease.renew_until(over, remote)
        except StoreFailed:
            pass  # told by what has to be put; the next time may do
        except StudyFailed:
            return  # told before the next file is put
        del lease


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _here() -> dict[str, Any]:
    """Return what tells this process from all others, of other machines and containers too."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def _machine() -> str:
    """Return which boot of which machine, and which of its spaces of process numbers; "" unknown.

    In another container the same number is another process, or none.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process began, in ticks since the boot; "" if there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _age_s(entry: Entry, mine: Entry | None, owner: dict[str, Any]) -> float:
    """Return how old a claim is: by the store's clock, else by those of the two machines."""
    if mine is not None and mine.changed is not None and entry.changed is not None:
        return mine.changed - entry.changed
    said = owner.get("time")
    return time.time() - said if isinstance(said, int | float) else 0.0


def _is_dead(owner: dict[str, Any]) -> bool:
    """Tell whether an owner was a process of this machine, and is no more."""
    process = owner.get("process")
    if not owner.get("machine") or owner["machine"] != _machine() or not isinstance(process, int):
        return False
    return _started(process) != owner.get("started")
