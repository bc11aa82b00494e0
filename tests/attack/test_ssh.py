"""A guest whose SSH server is the attacker's: what the keeper, which is the client, grants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from ccvm_tui.errors import BootError
from ccvm_tui.ssh import connection, requests
from ccvm_tui.ssh.keys import GuestKeys

BRIDGE = "/run/ccvm/bridge/clipboard.sock"


class Server(asyncssh.SSHServer):
    """The attacker's server. ``connected`` completes with the connection of the keeper."""

    def __init__(self) -> None:
        self.connected: asyncio.Future[asyncssh.SSHServerConnection] = asyncio.get_running_loop().create_future()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connected.set_result(conn)

    def unix_server_requested(self, listen_path: str) -> bool:  # noqa: ARG002 - the bridge is granted, but not used
        return True


@contextlib.asynccontextmanager
async def logged_in(
    path: Path, answer: Callable[[bytes], Awaitable[bytes]] | None = None
) -> AsyncIterator[asyncssh.SSHServerConnection]:
    """Let the keeper log in to the attacker's server. ``answer`` is the keeper's bridge of the clipboard."""
    keys = GuestKeys.make()
    (path / "authorized").write_text(keys.authorized)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path / "s"))
    servers: list[Server] = []

    def serve() -> Server:
        servers.append(Server())
        return servers[-1]

    async with asyncssh.listen(
        sock=listening, server_factory=serve, server_host_keys=[keys.host], encryption_algs=connection.CIPHERS,
        authorized_client_keys=str(path / "authorized"), agent_forwarding=True, x11_forwarding=True,
    ):  # fmt: skip
        client = await connection.connect(path / "s", "dev", keys, lambda _: None)
        if answer is not None:
            await requests.listen(client, str(path / "bridge"), 200, answer)
        yield await servers[0].connected
        client.abort()
        await client.wait_closed()


@pytest.mark.attack
@pytest.mark.parametrize(
    "open_channel",
    [
        lambda server, port: server.create_connection(asyncssh.SSHTCPSession, "127.0.0.1", port, "127.0.0.1", port),
        lambda server, port: server.create_connection(asyncssh.SSHTCPSession, "localhost", port),
        lambda server, _: server.create_unix_connection(asyncssh.SSHUNIXSession, "/run/user/0/bus"),
        lambda server, _: server.create_unix_connection(asyncssh.SSHUNIXSession, BRIDGE),
        lambda server, _: server.open_agent_connection(),
        lambda server, _: server.create_x11_connection(asyncssh.SSHTCPSession),
    ],
    ids=["address", "name", "socket", "bridge of another connection", "agent", "display"],
)
async def test_the_keeper_accepts_no_channel_that_it_did_not_ask_for(
    tmp_path: Path, open_channel: Callable[..., Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    monkeypatch.setenv("DISPLAY", ":0")
    reached: list[object] = []
    listener = await asyncio.start_server(lambda *streams: reached.append(streams), "127.0.0.1", 0)
    agent = await asyncio.start_unix_server(lambda *streams: reached.append(streams), tmp_path / "agent")
    async with listener, agent, logged_in(tmp_path) as server:
        with pytest.raises((asyncssh.Error, OSError)):
            await open_channel(server, listener.sockets[0].getsockname()[1])
    assert reached == []


@pytest.mark.attack
async def test_connections_to_the_bridge_do_not_accumulate(tmp_path: Path) -> None:
    """The bridge of the clipboard waits some seconds for a request, and for the user's terminal."""
    waiting = 0

    async def answer(_: bytes) -> bytes:
        nonlocal waiting
        waiting += 1
        await asyncio.Event().wait()
        return b""

    async with logged_in(tmp_path, answer) as server:
        opened = refused = 0
        for _ in range(300):
            try:
                await server.create_unix_connection(asyncssh.SSHUNIXSession, str(tmp_path / "bridge"))
                opened += 1
            except asyncssh.ChannelOpenError:
                refused += 1
        assert opened <= requests.CONNECTIONS_MAX
        assert refused >= 300 - requests.CONNECTIONS_MAX


GARBAGE: dict[str, bytes] = {
    "a banner without an end": b"SSH-2.0-" + b"x" * (4 << 20),
    "lines without an end": b"hello\r\n" * (1 << 19),
    "another protocol": b"HTTP/1.1 200 OK\r\n\r\n" * 1000,
    "version 1": b"SSH-1.5-x\r\n",
    "nothing": b"",
    "a packet of 4 GiB": b"SSH-2.0-x\r\n\xff\xff\xff\xff" + bytes(1 << 20),
    "a packet of length 0": b"SSH-2.0-x\r\n" + bytes(1000),
    "random packets": b"SSH-2.0-x\r\n" + os.urandom(1 << 16),
    "padding longer than the packet": b"SSH-2.0-x\r\n\0\0\0\x0c\xff\x14" + bytes(100),
    "an incomplete key exchange": b"SSH-2.0-x\r\n\0\0\0\x0c\x04\x14" + bytes(100),
}


@pytest.mark.attack
@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_what_is_not_ssh_fails_and_takes_little_memory(tmp_path: Path, data: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"):
        tracemalloc.start()
        try:
            async with asyncio.timeout(30):
                with pytest.raises(BootError, match="cannot log in"):
                    await connection.connect(tmp_path / "s", "dev", GuestKeys.make(), lambda _: None)
            assert tracemalloc.get_traced_memory()[1] < 24 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.attack
async def test_another_host_key_is_refused(tmp_path: Path) -> None:
    """The guest's key is replaced, as by another guest that answers on this guest's port."""
    keys, other = GuestKeys.make(), GuestKeys.make()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    async with asyncssh.listen(sock=listening, server_host_keys=[other.host], encryption_algs=connection.CIPHERS):
        with pytest.raises(BootError, match=r"[Hh]ost key"):
            await connection.connect(tmp_path / "s", "dev", keys, lambda _: None)
