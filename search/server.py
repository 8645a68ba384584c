"""Watches the processes of a local Ray without which nothing can go on.

Where its control server (gcs_server) is gone, Ray ends the driver after a minute, from C++ and
with no word: no table would be brought up to date, and no user told how to go on. Where its
node's manager (raylet) is gone, no worker can start, and trials would wait for ever.
"""

import subprocess
import threading
from collections.abc import Callable, Mapping

from search.progress import say

_EVERY_S = 1.0
# For closing the study; Ray itself gives 60 from the death on.
_PATIENCE_S = 45.0


class ServerWatch:
    """Calls `end` with a reason when one of `servers`, by what each is called, dies.

    Where the driver has not left its study some time later, `leave` ends the process.
    """

    def __init__(
        self,
        servers: "Mapping[str, subprocess.Popen[bytes]]",
        end: Callable[[str], None],
        leave: Callable[[], None],
    ) -> None:
        """Watch from now on, in a thread."""
        self.lost = False
        self.reason = ""
        self._servers = dict(servers)
        self._end = end
        self._leave = leave
        self._over = threading.Event()
        if servers:
            threading.Thread(target=self._watch, name="server", daemon=True).start()

    def over(self) -> None:
        """Watch no more: the study is left, or about to be. `lost` is up to date then."""
        self._over.set()
        self.lost = self.lost or self._dead() is not None

    def _dead(self) -> str | None:
        """Return what died and how, None while all live."""
        for name, process in self._servers.items():
            if (code := process.poll()) is not None:
                return f"Ray's {name} died ({_how(code)})"
        return None

    def _watch(self) -> None:
        while (reason := self._dead()) is None:
            if self._over.wait(_EVERY_S):
                return
        if self._over.is_set():  # it was ended on purpose
            return
        self.reason = reason
        self.lost = True
        self._end(self.reason)
        # A driver that hangs in Ray hears of nothing. The study is whole on disk at any moment.
        if not self._over.wait(_PATIENCE_S):
            say(f"{self.reason}, and nothing answers; the command to go on stands above")
            self._leave()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
