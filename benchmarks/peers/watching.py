"""Runs a command and watches all its processes: seconds, CPU seconds, peak of memory."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

CPU_S, MEMORY_S = 0.5, 2.0  # between two looks; reading PSS costs milliseconds per process


@dataclass
class Usage:
    """What the processes of a command took.

    `cpu_s` is the sum over all processes of what each had used when it was last seen, so the
    last half second of each is missing. `peak_mb` is in MiB, of all processes together at one
    moment; `memory` says how it is counted: PSS (shared pages divided by their users) or, where
    the system tells no PSS, RSS (shared pages counted by every user).
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    memory: str = "PSS"
    exit_code: int = 0
    timed_out: bool = False


@dataclass
class Family:
    """A process with all its descendants, those included that outlive their parents."""

    root: psutil.Process
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    members: dict[int, psutil.Process] = field(default_factory=dict)

    def look(self) -> None:
        """Take in new descendants and everybody's CPU seconds."""
        self.members[self.root.pid] = self.root
        # One pass over all processes, oldest first as a rule: a child is seen after its parent.
        for process in psutil.process_iter(["ppid"]):
            if process.info["ppid"] in self.members:
                self.members.setdefault(process.pid, process)
        for process in list(self.members.values()):
            try:
                times = process.cpu_times()
                self.cpu[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                del self.members[process.pid]

    def memory(self) -> tuple[float, str]:
        """Return MiB of all members now, and how they were counted."""
        total, kind = 0.0, "PSS"
        for process in list(self.members.values()):
            with contextlib.suppress(psutil.Error, OSError):
                own = pss(process.pid)
                if own is None:
                    own, kind = process.memory_info().rss, "RSS"
                total += own
        return total / 2**20, kind

    def end(self) -> None:
        """End those who still run: Ray's and others' servers of this run, the latest too."""
        left = self._held()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
                process.resume()
        _, stubborn = psutil.wait_procs(left, timeout=5)
        for process in stubborn:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=60)

    def _held(self) -> list[psutil.Process]:
        """Stop those who run, and those whom they have started meanwhile; return all."""
        held: dict[int, psutil.Process] = {}
        while True:
            self.look()
            running = {pid: each for pid, each in self.members.items() if each.is_running()}
            if not (new := running.keys() - held.keys()):
                return list(held.values())
            for pid in new:
                held[pid] = running[pid]
                with contextlib.suppress(psutil.Error):
                    running[pid].suspend()


def pss(pid: int) -> int | None:
    """Return a process's proportional set size in bytes; None where the system tells none."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    for line in rollup.read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def on_cores(count: int | None) -> Iterator[None]:
    """Let what is started in this block run on so many cores only, where the system can do that.

    None: on all that this process may use.
    """
    if count is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(own)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def watch(
    command: Sequence[str],
    log: Path,
    limit_s: float,
    environment: Mapping[str, str] | None = None,
    cores: int | None = None,
) -> Usage:
    """Run a command to its end, or end it after `limit_s` seconds; its output goes to `log`.

    It may use so many `cores`, whichever threads it starts; None: all.
    """
    usage, began, looked = Usage(), time.monotonic(), -MEMORY_S
    with log.open("wb") as output:
        with on_cores(cores):
            running = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        family = Family(psutil.Process(running.pid))
        try:
            while running.poll() is None and not usage.timed_out:
                family.look()
                now = time.monotonic() - began
                if now - looked >= MEMORY_S:
                    looked = now
                    total, usage.memory = family.memory()
                    usage.peak_mb = max(usage.peak_mb, total)
                usage.timed_out = now > limit_s
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(CPU_S)
            usage.wall_s = time.monotonic() - began
        finally:
            family.end()
    usage.exit_code = running.wait()
    usage.cpu_s = sum(family.cpu.values())
    return usage
