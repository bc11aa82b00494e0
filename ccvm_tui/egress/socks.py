"""SOCKS5 (RFC 1928) without authentication, for connections only. The name is resolved on the host."""

from __future__ import annotations

import ipaddress

from ccvm_tui.egress import hosts, http, refusal
from ccvm_tui.egress.connect import Connector
from ccvm_tui.egress.hosts import Host, InvalidHost
from ccvm_tui.egress.link import Stream, StreamLost

VERSION = 5
"""The first byte of a client."""

_NO_AUTHENTICATION, _NO_METHOD = 0, 0xFF
_CONNECT = 1
_IPV4 = 1
_SUCCEEDED, _NOT_ALLOWED, _UNREACHABLE, _BAD_COMMAND, _BAD_ADDRESS = 0, 2, 4, 7, 8


async def serve(stream: Stream, connector: Connector) -> None:
    """Serve a client. Raises StreamLost."""
    _, count = await _exactly(stream, 2)
    methods = await _exactly(stream, count)
    if _NO_AUTHENTICATION not in methods:
        await refusal.answer(stream, bytes([VERSION, _NO_METHOD]))
        return
    await stream.write(bytes([VERSION, _NO_AUTHENTICATION]))
    _, command, _, kind = await _exactly(stream, 4)
    host = await _host(stream, kind)
    port = int.from_bytes(await _exactly(stream, 2), "big")
    if host is None or command != _CONNECT:
        await refusal.answer(stream, _reply(_BAD_ADDRESS if host is None else _BAD_COMMAND))
        return
    await http.tunnel(
        stream,
        connector,
        "socks",
        host,
        port,
        refuse=lambda _: refusal.answer(stream, _reply(_NOT_ALLOWED)),
        fail=lambda _: refusal.answer(stream, _reply(_UNREACHABLE)),
        accept=_reply(_SUCCEEDED),
    )


async def _host(stream: Stream, kind: int) -> Host | None:
    """Return the host of a request, or None if it is not valid."""
    match kind:
        case 1:  # the kinds of addresses
            return ipaddress.IPv4Address(await _exactly(stream, 4))
        case 4:
            return hosts.plain(ipaddress.IPv6Address(await _exactly(stream, 16)))
        case 3:
            (length,) = await _exactly(stream, 1)
            try:
                return hosts.parse((await _exactly(stream, length)).decode("utf-8", "replace"))
            except InvalidHost:
                return None
    return None


def _reply(code: int) -> bytes:
    return bytes([VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0])


async def _exactly(stream: Stream, count: int) -> bytes:
    """Read ``count`` bytes. Raises StreamLost if there are fewer."""
    data = b""
    while len(data) < count:
        data += (piece := await stream.read(count - len(data)))
        if not piece:
            raise StreamLost("the client ended in the middle of a message")
    return data
