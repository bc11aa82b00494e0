"""A listener in the guest: programs send one request each and receive the answer, through the SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncssh

CONNECTIONS_MAX = 32
"""Maximum number of connections at a time. A guest could open any number of them, and leave them."""

_REQUEST_WITHIN = 5.0


async def listen(
    connection: asyncssh.SSHClientConnection, path: str, limit: int, answer: Callable[[bytes], Awaitable[bytes]]
) -> None:
    """Listen on the unix socket ``path`` of the guest until the connection ends.

    ``answer`` is awaited with each request, of which at most ``limit`` bytes are read. Raises OSError if the guest's
    server refuses to listen.
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
            await serve(reader, writer)
        finally:
            slots += 1

    async def serve(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncssh.Error):
            async with asyncio.timeout(_REQUEST_WITHIN):
                request = bytearray()
                while len(request) < limit and (data := await reader.read(limit - len(request))):
                    request += data
            writer.write(await answer(bytes(request)))
            writer.write_eof()
        writer.close()

    try:
        await connection.start_unix_server(accept, path, encoding=None)
    except asyncssh.Error as error:
        raise ConnectionError(str(error)) from error
