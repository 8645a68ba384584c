"""Passes a connection on to a server of this machine, which may die at any moment."""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import NamedTuple

CHUNK = 65536  # bytes at once


class Server(NamedTuple):
    """Where a server listens, and whether its process still lives.

    Once it is dead any other program may listen there: nothing is said to that.
    """

    host: str
    port: int
    alive: Callable[[], bool]


async def relay(head: bytes, reader: StreamReader, writer: StreamWriter, server: Server) -> bool:
    """Pass on what a visitor says to a server, and its answers, until the server is done.

    Return False, with nothing said to anybody, where the server is dead.
    """
    try:
        theirs, ours = await asyncio.open_connection(server.host, server.port, limit=CHUNK)
    except OSError:
        return False
    if not server.alive():  # asked after the connection: what dies after that had the port
        ours.transport.abort()
        return False
    ours.write(head)
    asks = asyncio.create_task(_pass_on(reader, ours))
    try:
        await _pass_on(theirs, writer)
        return True
    finally:
        asks.cancel()
        ours.transport.abort()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asks


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass on all that comes; a reader that is reset ends the writer's connection, too."""
    try:
        while said := await reader.read(CHUNK):
            writer.write(said)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
        raise


async def drop(reader: StreamReader, length: int) -> None:
    """Read so many bytes, or up to the end."""
    while length > 0 and (read := await reader.read(min(length, CHUNK))):
        length -= len(read)
