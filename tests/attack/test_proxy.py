"""Attacks on the proxy of the keeper, with a real gate and real servers in this process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccvm_tui.egress.hosts import Address, Host
from ccvm_tui.egress.link import Link, Stream
from ccvm_tui.egress.resolve import Resolver
from ccvm_tui.image.guest.agent import tunnel
from ccvm_tui.image.guest.agent.tunnel import Destination
from ccvm_tui.outbound import Egress
from tests.egress.gates import Way, way_out
from tests.egress.hosts_of_tests import Names
from tests.waiting import eventually

pytestmark = [pytest.mark.attack, pytest.mark.unmeasured]

ALLOWED, OTHER = "127.0.0.1", "127.0.0.2"


class Server:
    """A server on two addresses of this machine with the same port, of which guests may reach ``ALLOWED`` only."""

    def __init__(self) -> None:
        self.port = 0
        self.received: dict[str, bytes] = {ALLOWED: b"", OTHER: b""}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.received[address] += data
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Server]:
    server = Server()
    first = await asyncio.start_server(server.serve, ALLOWED, 0)
    server.port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(server.serve, OTHER, server.port)
    async with first, second:
        yield server


@contextlib.asynccontextmanager
async def way(tmp_path: Path, server: Server, resolver: Resolver | None = None) -> AsyncIterator[Way]:
    """A way out that leads to a.example and b.example at the server's allowed address."""
    allow = (f"{ALLOWED}:{server.port}", f"a.example:{server.port}", f"b.example:{server.port}")
    names = resolver or Names(a_example=(ALLOWED,), b_example=(ALLOWED,))
    async with way_out(tmp_path, Egress("allowlist", allow, ports=(server.port,)), resolver=names) as out:
        yield out


async def exchange(way: Way, data: bytes) -> bytes:
    """Send bytes to the proxy and return all that it sends, until it ends the connection or stays silent."""
    reader, writer = await asyncio.open_connection(*way.proxy)
    writer.write(data)
    received = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1.5):
            while piece := await reader.read(1 << 16):
                received += piece
    writer.close()
    return received


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"

REQUESTS = {
    "two lengths": "POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 55\r\n\r\n01234"
    + SMUGGLED,
    "length and chunks": "POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunks of another case": "POST {url} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n01234"
    + SMUGGLED,
    "a length with a sign": "POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: +5\r\n\r\n01234" + SMUGGLED,
    "two hosts": "GET {url} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
    "a space after the name": "GET {url} HTTP/1.1\r\nHost: {host}\r\nHost : evil.example\r\n\r\n",
    "a folded header": "GET {url} HTTP/1.1\r\nHost: {host}\r\nX: y\r\n Host: evil.example\r\n\r\n",
    "bare line feeds": "GET {url} HTTP/1.1\nHost: evil.example\n\n",
    "a carriage return in a value": "GET {url} HTTP/1.1\r\nHost: {host}\r\nX: y\rHost: evil.example\r\n\r\n",
    "a user in the URL": "GET http://{host}@evil.example/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a fragment in the URL": "GET http://evil.example#@{host}/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a backslash in the URL": "GET http://evil.example\\@{host}/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "another host in the URL": "GET http://evil.example/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "the next request": "GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n" + SMUGGLED,
    "an upgrade": "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED,
    "a tunnel in a tunnel": "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nCONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "other bytes in a tunnel": "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_no_request_for_another_host_is_smuggled_in(tmp_path: Path, request_: str) -> None:
    async with running() as server, way(tmp_path, server) as out:
        host = f"a.example:{server.port}"
        await exchange(out, request_.format(url=f"http://{host}/", host=host).encode())
        lines = server.received[ALLOWED].lower().split(b"\r\n")
        assert not [line for line in lines if line.startswith((b"host: evil", b"host : evil"))]
        # what the host could take for another request
        heads = server.received[ALLOWED].lower().split(b"\r\n\r\n")
        assert all(head.count(b"content-length:") + head.count(b"transfer-encoding:") <= 1 for head in heads)
        assert server.received[OTHER] == b""


class Rebinding(Resolver):
    """A resolver whose answer changes with each query."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        super().__init__()
        self.answers = [tuple(map(ipaddress.ip_address, answer)) for answer in answers]
        self.queries = 0

    async def resolve(self, host: Host) -> tuple[Address, ...]:
        if not isinstance(host, str):
            return (host,)
        self.queries += 1
        return self.answers[min(self.queries, len(self.answers)) - 1]


def socks(host: str, port: int, command: int = 1) -> bytes:
    """Return a SOCKS5 request for a name or, in its binary form, an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        named = bytes([3, len(host)]) + host.encode()
    else:
        named = bytes([1 if address.version == 4 else 4]) + address.packed
    return b"\5\1\0" + bytes([5, command, 0]) + named + port.to_bytes(2, "big")


@pytest.mark.parametrize("protocol", ["connect", "socks", "http"])
async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(tmp_path: Path, protocol: str) -> None:
    """A name leads to an allowed address when it is checked, and to another one afterwards."""
    resolver = Rebinding((ALLOWED,), (OTHER,))
    async with running() as server, way(tmp_path, server, resolver) as out:
        host = f"a.example:{server.port}"
        get = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        requests = {
            "connect": f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nhello".encode(),
            "socks": socks("a.example", server.port) + b"hello",
            "http": get,
        }
        await exchange(out, requests[protocol])
        assert resolver.queries == 1
        assert server.received[ALLOWED] != b""
        await exchange(out, requests[protocol])
        assert server.received[OTHER] == b""


async def test_of_several_addresses_only_the_allowed_ones_are_used(tmp_path: Path) -> None:
    resolver = Rebinding((OTHER, "10.0.0.1", ALLOWED, "::1"))
    async with running() as server, way(tmp_path, server, resolver) as out:
        assert b"ok" in await exchange(out, socks("a.example", server.port) + b"hello")
        assert server.received == {ALLOWED: b"hello", OTHER: b""}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "::ffff:127.0.0.2",
        "::1",
        "0.0.0.0",
        "::",
        "10.0.2.2",
        "169.254.169.254",
        "64:ff9b::7f00:2",
        "fe80::1",
    ],
)
async def test_no_address_is_reached_through_socks(tmp_path: Path, host: str) -> None:
    async with running() as server, way(tmp_path, server) as out:
        reply = await exchange(out, socks(host, server.port) + b"hello")
        assert reply[:4] == b"\5\0\5\2"
        assert server.received == {ALLOWED: b"", OTHER: b""}


@pytest.mark.parametrize("command", [2, 3, 4, 0, 255], ids=["bind", "udp", "resolve", "zero", "last"])
async def test_socks_offers_connections_only(tmp_path: Path, command: int) -> None:
    async with running() as server, way(tmp_path, server) as out:
        reply = await exchange(out, socks("a.example", server.port, command))
        assert reply[:4] == b"\5\0\5\7"


@pytest.mark.parametrize(
    "head", [b"\4\1\1\xbb\x7f\0\0\2user\0", b"\4\1\1\xbb\0\0\0\1user\0a.example\0"], ids=["4", "4a"]
)
async def test_socks_4_is_not_served(tmp_path: Path, head: bytes) -> None:
    async with running() as server, way(tmp_path, server) as out:
        assert not (await exchange(out, head + b"hello")).startswith(b"\0Z")
        assert server.received == {ALLOWED: b"", OTHER: b""}


# --- floods


@contextlib.asynccontextmanager
async def linked(served: list[Stream]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A guest's end of the port, whose streams wait for something that never happens, such as a host's answer."""

    async def serve(stream: Stream) -> None:
        served.append(stream)
        try:
            await asyncio.Event().wait()
        finally:
            served.remove(stream)

    async def lookup(_: str) -> int:
        await asyncio.Event().wait()
        return tunnel.MISSING

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link = await Link.attach(ours, serve, lookup)
    reader, writer = await asyncio.open_connection(sock=theirs)
    writer.write(tunnel.MAGIC + bytes(tunnel.NONCE_BYTES))
    yield reader, writer
    await link.close()
    writer.close()


OPEN = Destination("example.com", 443).pack()


async def test_streams_that_are_reset_do_not_accumulate() -> None:
    """Each of them would keep a connection to a host that does not answer."""
    served: list[Stream] = []
    async with linked(served) as (_, writer):
        before = len(asyncio.all_tasks())
        for number in range(20_000):
            writer.write(tunnel.frame(tunnel.OPEN, number, OPEN) + tunnel.frame(tunnel.RESET, number))
            await writer.drain()
        writer.write(tunnel.frame(tunnel.OPEN, 1 << 20, OPEN))
        await eventually(lambda: [stream for stream in served if stream.number == 1 << 20])
        assert len(asyncio.all_tasks()) - before < 10
        assert len(served) == 1


async def test_streams_of_gates_that_restart_do_not_accumulate() -> None:
    served: list[Stream] = []
    async with linked(served) as (_, writer):
        for generation in range(200):
            writer.write(tunnel.MAGIC + bytes(tunnel.NONCE_BYTES))
            for number in range(100):
                writer.write(tunnel.frame(tunnel.OPEN, number, OPEN))
            await writer.drain()
            assert len(served) <= 2 * tunnel.STREAMS_MAX, generation
        await eventually(lambda: len(served) == 100)


async def test_names_that_are_looked_up_do_not_accumulate() -> None:
    async with linked([]) as (reader, writer):
        before = len(asyncio.all_tasks())
        for number in range(20_000):
            writer.write(tunnel.frame(tunnel.LOOKUP, number, struct.pack(">I", number) * 10))
            await writer.drain()
        async with asyncio.timeout(20):
            await reader.readexactly((20_000 - 256) * (tunnel.HEAD_BYTES + 1))
        assert len(asyncio.all_tasks()) - before < 300
