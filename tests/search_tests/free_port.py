"""A port for a server of another process, which takes it seconds later."""

import random
import socket

# Below those that the kernel gives away itself (from 32768): a Ray that starts takes a dozen.
_RANGE = range(20000, 28000)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now; another each time."""
    for port in random.SystemRandom().sample(_RANGE, 100):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port free from {_RANGE[0]} to {_RANGE[-1]}")
