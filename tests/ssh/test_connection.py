"""Failing logins."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from ccvm_tui.errors import BootError
from ccvm_tui.ssh import connection
from ccvm_tui.ssh.keys import GuestKeys


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-OpenSSH_10.0\r\n"])
async def test_shutting_down_the_socket_ends_a_login(tmp_path: Path, banner: bytes) -> None:
    path = tmp_path / "ssh.sock"
    connected = asyncio.Event()
    sockets: list[socket.socket] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await reader.readline()  # the client is in the middle of the login
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(accept, path):
        login = asyncio.ensure_future(
            connection.connect(path, "dev", GuestKeys.make(), lambda _: None, opened=sockets.append)
        )
        await connected.wait()
        sockets[0].shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(5):
            with pytest.raises(BootError, match="cannot log in"):
                await login


async def test_a_missing_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BootError, match="cannot log in"):
        await connection.connect(tmp_path / "none", "dev", GuestKeys.make(), lambda _: None)
