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

    The group comes first because the system's counter includes other containers. Version 1 of
    control groups counts for each group by itself only, so there the system's is taken.
    """
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            number, _, path = line.split(":", 2)
            if number == "0":
                groups = (cgroups / path.lstrip("/"), cgroups)
                found = (group / "memory.events" for group in groups)
                for file in found:
                    if count(file) is not None:
                        return file
    return system if count(system) is not None else None


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

    def __init__(self, elsewhere: Callable[[str, str], int | None]) -> None:
        """Read this host's counters; `elsewhere(node, file)` reads those of other nodes."""
        self._elsewhere = elsewhere
        self._explained: dict[tuple[str, str], int] = {}

    def explain(self, folder: Path) -> bool:
        """Tell whether the process that had the trial of `folder` was killed for memory.

        False where nobody can know: no counter, no note, a node that is gone.
        """
        try:
            noted = json.loads((folder / NOTE_NAME).read_text(encoding="utf-8"))
            host, file, before = noted["host"], noted["counter"], noted["kills"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if file is None or before is None:
            return False
        here = host == socket.gethostname()
        now = count(file) if here else self._elsewhere(noted["node"], file)
        known = max(before, self._explained.get((host, file), 0))
        if now is None or now <= known:
            return False
        self._explained[host, file] = known + 1
        return True
