"""A port that is held for a server: who asks for something waits for that, and is sent to it."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from search.doorbell import Doorbell

HOST = "127.0.0.1"
PORTS = range(18265, 18315)


@pytest.fixture
def door() -> Iterator[Doorbell]:
    made = Doorbell(HOST, PORTS, ["/events"])
    yield made
    made.close()


def aside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Do the work in a thread; what it returns is in the list afterwards."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    return thread, found


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", body)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location", "")


def rung(door: Doorbell) -> tuple[threading.Thread, list[Any]]:
    return aside(door.rung)


class Says(BaseHTTPRequestHandler):
    """A server that says what it was asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_who_asks_waits_for_the_server_and_is_answered_by_it(door: Doorbell) -> None:
    waits, heard = rung(door)
    visitor, answer = aside(lambda: ask(door.port, "/api/nodes?view=summary"))
    waits.join(120)
    assert heard == [True]
    door.hand_over()
    with HTTPServer((HOST, door.port), Says) as server:  # the visitor's connection is still open
        assert answer == []
        door.tell(there=True)
        server.handle_request()
    visitor.join(120)
    assert answer == [(200, "/api/nodes?view=summary")]


def test_who_asks_is_told_if_no_server_came(door: Doorbell) -> None:
    waits, _ = rung(door)
    visitor, answer = aside(lambda: ask(door.port, "/", b"a body that is read before the answer"))
    waits.join(120)
    door.hand_over()
    door.tell(there=False)
    visitor.join(120)
    assert answer == [(503, "")]


def test_nobody_is_sent_to_another_machine(door: Doorbell) -> None:
    waits, _ = rung(door)
    with socket.create_connection((HOST, door.port), timeout=120) as visitor:
        visitor.sendall(b"GET //example.org/x HTTP/1.1\r\nHost: me\r\n\r\n")
        waits.join(120)
        door.tell(there=True)
        lines = visitor.makefile("rb").read().splitlines()
    assert lines[0].startswith(b"HTTP/1.0 307")
    assert [line for line in lines if line.startswith(b"Location")] == [
        b"Location: /example.org/x"
    ]


def test_connections_without_a_request_and_unheard_ones_start_nothing(door: Doorbell) -> None:
    waits, heard = rung(door)
    silent = socket.create_connection((HOST, door.port))
    with socket.create_connection((HOST, door.port)) as other:
        other.sendall(b"\x16\x03\x01 no HTTP\r\n")
        assert other.makefile("rb").read()  # an error of the protocol
    assert ask(door.port, "/events", b"[]") == (200, "")
    assert heard == []
    door.ring_off()
    waits.join(120)
    assert heard == [False]
    silent.close()


def test_a_held_port_is_nobody_elses_until_it_is_given_back(door: Doorbell) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, door.port))
    second = Doorbell(HOST, PORTS)
    assert second.port > door.port
    second.close()
    with pytest.raises(OSError, match="in use"):
        Doorbell(HOST, [door.port])
    door.close()
    Doorbell(HOST, [door.port]).close()
