"""Connections of a guest through the proxy of the host, which here is a real one, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccvm_tui.egress.outer import Outer, OuterProxy
from ccvm_tui.outbound import Egress
from tests.egress.gates import GUEST, Way, way_out
from tests.egress.hosts_of_tests import Names


class Recorder:
    """A proxy for HTTP that notes the heads of requests, and answers itself in place of every host."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.port = 0
        self.answer = b"HTTP/1.1 200 OK\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if not head.startswith("CONNECT"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\noutside")
            else:
                writer.write(self.answer)
                while data := await reader.read(1000):
                    writer.write(data.upper())
        writer.close()


@contextlib.asynccontextmanager
async def behind_proxy(tmp_path: Path, *, no_proxy: str = "", login: str = "") -> AsyncIterator[tuple[Way, Recorder]]:
    """Start a way out behind a proxy, in the mode ``public``, for which some names lead to private addresses."""
    proxy = Recorder()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    url = f"http://{login}127.0.0.1:{proxy.port}"
    spec = Egress("public", http_proxy=url, https_proxy=url, no_proxy=no_proxy)
    names = Names(inside_example=("10.0.0.1",), here_example=("127.0.0.1",))
    async with server, way_out(tmp_path, spec, resolver=names) as out:
        yield out, proxy


async def send(way: Way, data: bytes) -> bytes:
    """Send bytes to the gate's proxy, and return what comes back until its end."""
    reader, writer = await asyncio.open_connection(*way.proxy)
    writer.write(data)
    if data.startswith(b"CONNECT"):
        writer.write_eof()
    received = await reader.read()
    writer.close()
    return received


async def test_a_name_that_only_the_proxy_knows_is_reached_through_it(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path, login="me:s%40cret@") as (out, proxy):
        received = await send(out, b"CONNECT outside.example:443 HTTP/1.1\r\nHost: x\r\n\r\nhello")
        assert received.endswith(b"\r\n\r\nHELLO")
        (head,) = proxy.heads
        assert head.startswith("CONNECT outside.example:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic bWU6c0BjcmV0\r\n" in head
        assert "cret" not in out.log.read_text()


async def test_requests_of_plain_http_have_whole_urls(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as (out, proxy):
        head = b"GET http://outside.example/path?x HTTP/1.1\r\nHost: outside.example\r\nConnection: close\r\n\r\n"
        received = await send(out, head)
        assert received.endswith(b"outside")
        assert proxy.heads[0].startswith("GET http://outside.example:80/path?x HTTP/1.1\r\n")


@pytest.mark.parametrize("target", ["inside.example:443", "10.0.0.1:443", "127.0.0.1:443", "169.254.169.254:80"])
async def test_addresses_that_are_known_here_are_still_checked(tmp_path: Path, target: str) -> None:
    async with behind_proxy(tmp_path) as (out, proxy):
        received = await send(out, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert received.startswith(b"HTTP/1.1 403 ")
        assert proxy.heads == []


async def test_hosts_without_proxy_are_reached_directly(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path, no_proxy="other.example, .outside.example") as (out, proxy):
        received = await send(out, b"CONNECT www.outside.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"does not exist" in received
        assert proxy.heads == []


async def test_the_proxys_refusal_is_reported(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as (out, proxy):
        proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        received = await send(out, b"CONNECT outside.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"this machine's proxy answered '407 Proxy Authentication Required'" in received


async def test_the_page_of_the_gates_proxy_lists_refusals(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as (out, _):
        page = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:3128\r\n\r\n"
        assert b"No connection of this guest has been refused" in await send(out, page)
        await send(out, b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = await send(out, page)
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert b"its address 10.0.0.1 is private" in reply
        assert f"ccvm-tui egress {GUEST} --allow 10.0.0.1:443".encode() in reply


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p.example:3128", OuterProxy("p.example", 3128)),
        ("p.example:3128/", OuterProxy("p.example", 3128)),
        ("https://p.example", OuterProxy("p.example", 443, encrypted=True)),
        ("http://u:p@[::1]:1", OuterProxy("::1", 1, authorization="Basic dTpw")),
        ("socks5://p.example:1080", None),
        ("", None),
        ("http://", None),
        ("http://p.example:99999", None),
    ],
)
def test_variables_are_parsed(url: str, proxy: OuterProxy | None) -> None:
    assert OuterProxy.parse(url) == proxy
    assert "dTpw" not in repr(OuterProxy.parse(url))


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "a.example", True),
        ("example", "a.example", True),
        (".example", "a.example", True),
        ("*.example", "example", True),
        ("b.example,a.example:443", "a.example", True),
        ("a.example:80", "a.example", False),
        ("ample", "a.example", False),
        ("", "a.example", False),
    ],
)
def test_hosts_without_proxy(no_proxy: str, host: str, direct: bool) -> None:
    outer = Outer.parse("http://p:1", "http://p:1", no_proxy)
    assert (outer.proxy_for(host, 443) is None) == direct
