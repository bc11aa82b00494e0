"""Listeners in the guest, through the SSH connection: for any connections, and for one request each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncssh

from ccvm_tui.aio import ByteReader, ByteWriter
from ccvm_tui.ssh.tcp import ChannelReader, ChannelWriter

CONNECTIONS_MAX = 32
"""Maximum number of connections at a time. A guest could open any number of them, and leave them."""

_REQUEST_WITHIN = 5.0


async def listen(
    connection: asyncssh.SSHClientConnection, path: str, limit: int, answer: Callable[[bytes], Awaitable[bytes]]
) -> None:
    """Listen on the unix socket ``path`` of the guest until the connection ends. Programs send one request each.

    ``answer`` is awaited with each request, of which at most ``limit`` bytes are read. Raises OSError if the guest's
    server refuses to listen.
    """

    async def serve(reader: ByteReader, writer: ByteWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_REQUEST_WITHIN):
                request = bytearray()
                while len(request) < limit and (data := await reader.read(limit - len(request))):
                    request += data
            writer.write(await answer(bytes(request)))
            writer.write_eof()
        writer.close()

    await serve_streams(connection, path, serve)


async def serve_streams(
    connection: asyncssh.SSHClientConnection, path: str, serve: Callable[[ByteReader, ByteWriter], Awaitable[None]]
) -> asyncssh.SSHListener:
    """Listen on the unix socket ``path`` of the guest, and return the listener.

    ``serve`` is awaited with each connection, and closes it. Raises OSError if the guest's server refuses to listen.
    """
    slots = CONNECTIONS_MAX

    def accept() -> Callable[[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]], Awaitable[None]]:
        nonlocal slots
        if not slots:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many connections")
        slots -= 1
        return serve_and_free

    async def serve_and_free(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        nonlocal slots
        try:
            await serve(ChannelReader(reader), ChannelWriter(writer))
        finally:
            slots += 1

    try:
        return await connection.start_unix_server(accept, path, encoding=None)
    except asyncssh.Error as error:
        raise ConnectionError(str(error)) from error
