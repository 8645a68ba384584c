"""A port that is held for a server: who asks for something waits for it, and speaks with it."""

import contextlib
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from search import doorbell
from search.doorbell import Doorbell
from search.relay import Server

HOST = "127.0.0.1"
PORTS = range(28265, 28315)


@pytest.fixture
def door() -> Iterator[Doorbell]:
    made = Doorbell(HOST, PORTS, [b"/events"])
    made.answer()
    yield made
    made.close()


class Says(BaseHTTPRequestHandler):
    """A server that says what it was asked for, and how long a body was."""

    def do_GET(self) -> None:
        said = f"{self.command} {self.path} ".encode()
        said += str(len(self.rfile.read(int(self.headers.get("Content-Length", 0))))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def place() -> Iterator[Server]:
    with ThreadingHTTPServer((HOST, 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Server(HOST, server.server_port, lambda: True)
        server.shutdown()
        thread.join()


def aside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Do the work in a thread; what it returns is in the list afterwards."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    return thread, found


def ask(door: Doorbell, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Return status and text of an answer; 0 is none."""
    request = urllib.request.Request(f"http://{HOST}:{door.port}{path}", body)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def visitor(door: Doorbell, says: bytes = b"") -> socket.socket:
    made = socket.create_connection((HOST, door.port), timeout=300)
    made.sendall(says)
    return made


@contextlib.contextmanager
def passed_on(door: Doorbell) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Let a visitor in; give both ends of its connection: its own, and the server's."""
    with socket.create_server((HOST, 0)) as server:
        door.there(Server(HOST, server.getsockname()[1], lambda: True))
        with visitor(door, b"GET /stream HTTP/1.1\r\n\r\n") as visiting:
            met, _ = server.accept()
            with met:
                met.settimeout(300)
                yield visiting, met


def is_left(visiting: socket.socket) -> bool:
    """Wait for the end of a connection; it ends without a word."""
    try:
        return visiting.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_asks_waits_for_the_server_and_speaks_with_it(door: Doorbell, place: Server) -> None:
    first, answer = aside(lambda: ask(door, "/api/nodes?view=summary"))
    assert door.rung()
    second, other = aside(lambda: ask(door, "/", bytes(5_000_000)))
    assert not answer + other
    door.there(place)
    first.join()
    second.join()
    assert answer == [(200, "GET /api/nodes?view=summary 0")]
    assert other == [(200, "POST / 5000000")]
    assert ask(door, "/later") == (200, "GET /later 0")
    assert ask(door, "/events", b"[]") == (200, "POST /events 2")  # heard, now that it can be


def test_a_connection_may_be_closed_on_one_side(door: Doorbell, place: Server) -> None:
    door.there(place)
    with visitor(door, b"GET /one HTTP/1.1\r\nHost: me\r\n\r\n") as visiting:
        visiting.shutdown(socket.SHUT_WR)
        assert visiting.makefile("rb").read().endswith(b"GET /one 0")


def test_all_are_told_if_there_is_no_server(door: Doorbell) -> None:
    first, answer = aside(lambda: ask(door, "/"))
    assert door.rung()
    door.not_there()
    first.join()
    assert answer == [(503, "")]
    assert ask(door, "/") == (503, "")
    assert ask(door, "/events", b"[]") == (200, "")  # whose sender would try again and again


def test_a_server_that_does_not_listen_is_none(door: Doorbell) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        door.there(Server(HOST, free.getsockname()[1], lambda: True))
        assert ask(door, "/") == (503, "")


def test_who_takes_the_port_of_a_dead_server_is_told_nothing(door: Doorbell) -> None:
    with socket.create_server((HOST, 0)) as thief:
        door.there(Server(HOST, thief.getsockname()[1], lambda: False))
        assert ask(door, "/?token=secret") == (503, "")
        met, _ = thief.accept()
        with met:
            assert is_left(met)


def test_a_visitor_that_is_gone_is_not_waited_for(
    door: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "_LOOK_S", 0.05)
    visitor(door, b"GET / HTTP/1.1\r\nHost: me\r\n\r\n").close()
    assert door.rung()
    while door._visitors:
        time.sleep(0.02)


def test_a_server_hears_that_its_visitor_was_reset(door: Doorbell) -> None:
    with passed_on(door) as (visiting, met):
        assert met.recv(100).startswith(b"GET /stream ")
        visiting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visiting.close()
        assert is_left(met)
    while door._visitors:
        time.sleep(0.02)


def test_who_does_not_take_an_answer_counts_and_is_left_at_the_end(door: Doorbell) -> None:
    with passed_on(door) as (visiting, met):
        met.settimeout(2)
        with contextlib.suppress(TimeoutError):  # no more goes in: nobody takes it
            while True:
                met.sendall(bytes(100_000))
        met.close()
        time.sleep(0.2)
        assert len(door._visitors) == 1
        door.close()
        with contextlib.suppress(ConnectionResetError):
            while visiting.recv(1_000_000):
                pass


@pytest.mark.parametrize("length", ["1500000", "-1", "x", "99999999999"])
def test_what_is_unheard_is_read_and_starts_nothing(door: Doorbell, length: str) -> None:
    head = f"POST /events HTTP/1.1\r\nHost: me\r\ncontent-length: {length}\r\n\r\n"
    body = bytes(1_500_000 if length == "1500000" else 0)
    with visitor(door, head.encode() + body) as visiting:
        assert visiting.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert not door._heard.is_set()


@pytest.mark.parametrize(
    "says", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET http://else/ HTTP/1.1\r\n\r\n", bytes(99_999)]
)
def test_what_is_no_request_starts_nothing(door: Doorbell, says: bytes) -> None:
    with visitor(door) as visiting:
        with contextlib.suppress(ConnectionError):  # it may be left before it has said all
            visiting.sendall(says)
        assert is_left(visiting)
    assert not door._heard.is_set()


def test_who_says_nothing_is_left(door: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "_PATIENCE_S", 0.1)
    with visitor(door, b"GET / HT") as visiting:
        assert is_left(visiting)
    assert not door._heard.is_set()


def test_a_crowd_is_not_let_in(
    door: Doorbell, place: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "_MOST_VISITORS", 1)
    first, answer = aside(lambda: ask(door, "/"))
    assert door.rung()
    with visitor(door) as second:
        assert is_left(second)
    door.there(place)
    first.join()
    assert answer == [(200, "GET / 0")]


def test_whoever_waits_is_left_when_it_is_closed(door: Doorbell) -> None:
    first, answer = aside(lambda: ask(door, "/"))
    assert door.rung()
    with visitor(door) as silent:
        door.close()
        assert is_left(silent)
    first.join()
    assert answer == [(0, "")]
    assert not door.rung()
    door.there(Server(HOST, 1, lambda: True))  # too late, and no error


def test_ringing_off_ends_the_wait(door: Doorbell) -> None:
    waits, heard = aside(door.rung)
    assert heard == []
    door.ring_off()
    waits.join()
    assert heard == [False]


def test_a_held_port_is_nobody_elses_until_it_is_given_back(door: Doorbell) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind((HOST, door.port))
    second = Doorbell(HOST, PORTS)
    assert second.port != door.port
    second.close()  # it never answered
    with pytest.raises(OSError, match="in use"):
        Doorbell(HOST, [door.port])
    assert door._listening.getsockname()[0] == HOST
    door.close()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((HOST, door.port))
