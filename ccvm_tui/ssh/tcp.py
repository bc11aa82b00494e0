"""TCP connections from the guest's loopback interface, each on its own channel of the SSH connection."""

from __future__ import annotations

import contextlib

import asyncssh

LOCALHOST = "localhost"
"""The name to which the guest's SSH server connects: 127.0.0.1, or ::1 if nothing listens there."""


class ChannelReader:
    """The receiving side, whose errors are instances of OSError."""

    def __init__(self, reader: asyncssh.SSHReader[bytes]) -> None:
        self._reader = reader

    async def read(self, n: int, /) -> bytes:
        """Return up to ``n`` bytes, and none at the end. Raises OSError if the connection is broken."""
        try:
            return await self._reader.read(n)
        except asyncssh.Error as error:
            raise ConnectionError(str(error)) from error


class ChannelWriter:
    """The sending side, whose errors are instances of OSError."""

    def __init__(self, writer: asyncssh.SSHWriter[bytes]) -> None:
        self._writer = writer

    def write(self, data: bytes, /) -> None:
        """Queue data."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the queue is short. Raises OSError if the connection is broken."""
        try:
            await self._writer.drain()
        except asyncssh.Error as error:
            raise ConnectionError(str(error)) from error

    def write_eof(self) -> None:
        """End the data."""
        self._writer.write_eof()

    def close(self) -> None:
        """Close the channel."""
        with contextlib.suppress(OSError):
            self._writer.close()


async def connect(connection: asyncssh.SSHClientConnection, port: int) -> tuple[ChannelReader, ChannelWriter]:
    """Connect to a port of the guest. Raises OSError if nothing listens on it."""
    try:
        reader, writer = await connection.open_connection(LOCALHOST, port, encoding=None)
    except asyncssh.Error as error:
        raise ConnectionError(str(error)) from error
    return ChannelReader(reader), ChannelWriter(writer)
