"""The port of a server that has not been started: a request starts it, and waits for it."""

import socket
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import wait
from socketserver import ThreadingTCPServer
from typing import Any

# Browsers open connections before they have anything to say.
_PATIENCE_S = 30.0
_MOST_BYTES = 2**20


class Doorbell:
    """Listens on a port, so that nobody else takes it, until somebody asks it for something.

    One thread waits for that, hands the port over and tells who asked; others may `ring_off`.
    """

    def __init__(self, host: str, ports: Iterable[int], unheard: Collection[str] = ()) -> None:
        """Listen on the first port that is free. Requests for a path of `unheard` start nothing.

        Raises:
            OSError: none is free.
        """
        self._server = _bound(host, ports)
        self._server.bell = self
        self.port: int = self._server.server_address[1]
        self._unheard = unheard
        self._there = False
        self._told = threading.Event()
        self._ear, self._button = socket.socketpair()

    def rung(self) -> bool:
        """Wait until somebody asks; return False if `ring_off` came first."""
        while self._ear not in wait([self._server.socket, self._ear]):
            self._server.handle_request()  # in a thread of its own
        return bool(self._ear.recv(1))

    def hand_over(self) -> None:
        """Stop listening, so that the server can. Who has asked is kept waiting."""
        self._server.socket.close()

    def tell(self, there: bool) -> None:
        """Send who waits to the server, which listens on the port now; or say that none does."""
        self._there = there
        self._told.set()

    def ring_off(self) -> None:
        """Let `rung` return, now or later."""
        self._button.close()

    def close(self) -> None:
        """Give the port back, if it is still held; nobody may be in `rung` any more."""
        self.ring_off()
        self.hand_over()
        self._ear.close()
        self._told.set()

    def status_of(self, path: str) -> HTTPStatus:
        """Ring for a request, unless it is one of the unheard, and wait for what to answer."""
        if path in self._unheard:
            return HTTPStatus.OK
        with suppress(OSError):  # rung off
            self._button.send(b"!")
        self._told.wait()
        return HTTPStatus.TEMPORARY_REDIRECT if self._there else HTTPStatus.SERVICE_UNAVAILABLE


class _Visit(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server: "_Server"

    def _visit(self) -> None:
        # What is left unread would be answered by a reset.
        self.rfile.read(min(_MOST_BYTES, int(self.headers.get("Content-Length", 0))))
        status = self.server.bell.status_of(self.path)
        self.send_response(status)
        if status is HTTPStatus.TEMPORARY_REDIRECT:
            # Two slashes would be the beginning of another server's address.
            self.send_header("Location", "/" + self.path.lstrip("/"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _visit

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is the study's."""


class _Server(ThreadingTCPServer):
    bell: Doorbell
    daemon_threads = True
    allow_reuse_address = True  # what listens next finds connections that are still open

    def handle_error(self, *_: Any) -> None:
        """Say nothing of visitors that are gone before their answer."""


def _bound(host: str, ports: Iterable[int]) -> _Server:
    error = OSError("no port to try")
    for port in ports:
        try:
            return _Server((host, port), _Visit)
        except OSError as why:
            error = why
    raise error
