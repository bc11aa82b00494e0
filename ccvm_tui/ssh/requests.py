"""A listener in the guest: programs send one request each and receive the answer, through the SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncssh

_REQUEST_WITHIN = 5.0


async def listen(
    connection: asyncssh.SSHClientConnection, path: str, limit: int, answer: Callable[[bytes], Awaitable[bytes]]
) -> None:
    """Listen on the unix socket ``path`` of the guest until the connection ends.

    ``answer`` is awaited with each request, of which at most ``limit`` bytes are read. Raises OSError if the guest's
    server refuses to listen.
    """

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
        await connection.start_unix_server(lambda: serve, path, encoding=None)
    except asyncssh.Error as error:
        raise ConnectionError(str(error)) from error
