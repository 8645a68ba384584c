"""Was a worker killed by the kernel for memory? Counts of such kills, before and after its death.

A process dead of SIGKILL does not tell who sent it, and Ray does not either. The kernel counts the
processes that it killed for memory; a worker notes the count of its node when it takes a trial,
and the driver looks again when the worker is dead.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

NOTE_NAME = "process.json"
_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_SYSTEM = Path("/proc/vmstat")


def counter(cgroups: Path = _CGROUPS, own: Path = _OWN, system: Path = _SYSTEM) -> Path | None:
    """Return the file that counts this process's kind: its control group, else the system.

    The group comes first because the system's counter includes other containers.
    """
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                found = _version_2(cgroups, path)
            else:
                found = _version_1(cgroups, path) if "memory" in controllers.split(",") else None
            if found:
                return found
    return system if count(system) is not None else None


def _version_2(cgroups: Path, path: str) -> Path | None:
    files = (group / "memory.events" for group in (cgroups / path.lstrip("/"), cgroups))
    return next((file for file in files if count(file) is not None), None)


def _version_1(cgroups: Path, path: str) -> Path | None:
    """Return the counter of the victims in a group itself: it is told of no group above or below.

    A container sees its own as the topmost one.
    """
    top = cgroups / "memory"
    group = top / path.lstrip("/")
    if not group.is_dir():
        members = (top / "cgroup.procs").read_text().split()
        group = top if str(os.getpid()) in members else group
    file = group / "memory.oom_control"
    return file if count(file) is not None else None


def count(file: Path | str) -> int | None:
    """Return the kills in a counter's file, None if it holds none."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(file).read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def note(folder: Path, node: str) -> None:
    """Keep in a trial's folder which process of which node has it, and the node's count."""
    file = counter()
    content = {
        "host": socket.gethostname(),
        "node": node,
        "process": os.getpid(),
        "counter": str(file) if file else None,
        "kills": count(file) if file else None,
    }
    with contextlib.suppress(OSError):  # a full disk is told by what matters, not by this
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NOTE_NAME).write_text(json.dumps(content), encoding="utf-8")


class Kills:
    """Tells of each death whether it was for memory; every kill counted explains one death."""

    def __init__(self, elsewhere: Callable[[str, str], int | None], node: str) -> None:
        """Read the counters of this `node`; `elsewhere(node, file)` reads those of other nodes."""
        self._elsewhere = elsewhere
        self._node = node
        self._explained: dict[tuple[str, str], int] = {}

    def explain(self, folder: Path) -> bool:
        """Tell whether the process that had the trial of `folder` was killed for memory.

        False where nobody can know: no counter, no note, a node that is gone.
        """
        try:
            noted = json.loads((folder / NOTE_NAME).read_text(encoding="utf-8"))
            node, file, before = noted["node"], noted["counter"], noted["kills"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if file is None or before is None:
            return False
        # By Ray's name: machines may have been copied with the names of their hosts.
        now = count(file) if node == self._node else self._elsewhere(node, file)
        known = max(before, self._explained.get((node, file), 0))
        if now is None or now <= known:
            return False
        self._explained[node, file] = known + 1
        return True
