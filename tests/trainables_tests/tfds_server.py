"""A real HTTP server on 127.0.0.1 that serves files well, badly or not at all, and counts."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FileServer(ThreadingHTTPServer):
    """Serves `files` by path; `faults[path]` is what goes wrong with that path."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.gate = threading.Event()  # while it is clear, a "gated" or "stalled" path waits
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up is part of the test


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        path, server = self.path.lstrip("/"), self.server
        server.requests[path] += 1
        body, fault = server.files.get(path, b""), server.faults.get(path, "")
        if fault in ("stalled", "gated"):
            server.gate.wait(240)
        if fault.isdigit() or path not in server.files:
            self.send_error(int(fault or 404))
            return
        if fault == "hung up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault == "truncated":  # a well-formed answer with too little in it
            body = body[: len(body) // 2]
        if fault == "wrong":  # the right size, another content
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault == "longer":
            body += b"more"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault in ("dropped", "stalled midway"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stalled midway":
                server.gate.wait(240)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
