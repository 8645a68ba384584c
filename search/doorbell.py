"""The port of a server that starts when somebody asks it for something.

What listens on the port stays the same to the end: whoever trusts it, with a token too, never
meets a process that took the port in a moment when it was free.
"""

import asyncio
import contextlib
import re
import socket
import sys
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Collection, Iterable

from search.relay import CHUNK, Server, drop, relay

_REQUEST = re.compile(rb"[A-Z]+ (/\S*) HTTP/1\.[01]\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)
# Browsers open connections before they have anything to say.
_PATIENCE_S = 30.0
_MOST_VISITORS = 100
_LOOK_S = 1.0  # between two looks whether who waits is still there
_OK = b"HTTP/1.1 200 OK"
_NOT_THERE = b"HTTP/1.1 503 Service Unavailable"
_REST = b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Doorbell:
    """Listens on a port, rings for the first request, and then passes all on to the server.

    One thread calls `answer`, waits until it has `rung`, and says `there` or `not_there`. Others
    may `ring_off`. `close` ends it.
    """

    def __init__(self, host: str, ports: Iterable[int], unheard: Collection[bytes] = ()) -> None:
        """Listen on the first port that is free. Requests for a path of `unheard` start nothing.

        Those are answered with 200 and are lost, until the server is there.

        Raises:
            OSError: no port is free.
        """
        self._listening = _bound(host, ports)
        self.port = int(self._listening.getsockname()[1])
        self._unheard = unheard
        self._heard = threading.Event()
        self._off, self._lock = False, threading.Lock()
        self._loop = asyncio.new_event_loop()
        # A visitor that the system has no room for is not the user's concern.
        self._loop.set_exception_handler(lambda *_: None)
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._server: asyncio.Future[Server | None] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._visitors: set[asyncio.Task[None]] = set()

    def answer(self) -> None:
        """Let visitors in, unless it was rung off; until then they wait."""
        with self._lock:
            if not self._off:
                self._thread.start()

    def rung(self) -> bool:
        """Wait until somebody asks for something; False after `ring_off`."""
        self._heard.wait()
        return not self._off

    def ring_off(self) -> None:
        """Let `rung` return False, now or later."""
        with self._lock:
            self._off = True
        self._heard.set()

    def there(self, server: Server) -> None:
        """Pass visitors on to the server, those who wait and all others."""
        self._decide(server)

    def not_there(self) -> None:
        """Tell all visitors that there is no server: 503."""
        self._decide(None)

    def close(self) -> None:
        """Leave all visitors, and give the port back."""
        self.ring_off()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closed.set)
            self._thread.join()
        self._listening.close()
        self._loop.close()

    def _decide(self, server: Server | None) -> None:
        def decide() -> None:
            if not self._server.done():
                self._server.set_result(server)

        with contextlib.suppress(RuntimeError):  # it was closed meanwhile
            self._loop.call_soon_threadsafe(decide)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._visit, sock=self._listening, limit=CHUNK)
        await self._closed.wait()
        self._loop.remove_reader(self._listening.fileno())  # nobody else comes in
        await _turns()  # who was accepted becomes a visitor
        server.close()
        visitors = list(self._visitors)
        for each in visitors:
            each.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)
        await _turns()  # their connections are closed

    async def _visit(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection; a visitor that is gone, or says nothing, is nobody's concern."""
        task = asyncio.current_task()
        assert task is not None
        self._visitors.add(task)
        try:
            if len(self._visitors) <= _MOST_VISITORS:
                await self._let_in(reader, writer)
            writer.close()
            await writer.wait_closed()  # who does not take the end of an answer counts, too
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass
        finally:
            self._visitors.discard(task)
            writer.transport.abort()

    async def _let_in(self, reader: StreamReader, writer: StreamWriter) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            request = _REQUEST.match(head)
            if request is None:
                return
            if request[1] in self._unheard and not (self._server.done() and self._server.result()):
                length = _LENGTH.search(head)
                await drop(reader, int(length[1]) if length else 0)
                writer.write(_OK + _REST)
                return
        self._heard.set()
        server = await self._decided(reader)
        if server is None or not await relay(head, reader, writer, server):
            writer.write(_NOT_THERE + _REST)

    async def _decided(self, reader: StreamReader) -> Server | None:
        """Wait for the server as long as the visitor does; None if there is none."""
        while not self._server.done():
            await asyncio.wait([self._server], timeout=_LOOK_S)
            if reader.at_eof() and not self._server.done():
                raise EOFError
        return self._server.result()


async def _turns() -> None:
    """Let asyncio go on with what it has begun: a connection takes it three or four turns."""
    for _ in range(10):
        await asyncio.sleep(0)


def _bound(host: str, ports: Iterable[int]) -> socket.socket:
    error = OSError("no port to try")
    for port in ports:
        made = socket.socket()
        if sys.platform == "linux":  # where it helps after another's end, and takes nobody's port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, port))
            made.listen()
        except OSError as why:
            made.close()
            error = why
        else:
            return made
    raise error
