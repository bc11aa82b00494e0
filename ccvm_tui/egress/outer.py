"""The proxy behind which this machine is, if its environment names one: connections of guests go through it, too.

The policy decides about names as always. Addresses are checked as far as this machine's own resolver knows them: behind
such a proxy it often knows only the names of its own network, and the proxy resolves the others.

Sources: RFC 9110, 9.3.6 (CONNECT), RFC 7617 (Basic), and curl(1) for the variables.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ccvm_tui.egress.hosts import Host, text
from ccvm_tui.egress.policy import HTTP

ANSWER_TIMEOUT = 30.0
"""Seconds within which the proxy must connect and answer."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OuterRefused(OSError):
    """The proxy does not connect to the host."""


@dataclass(frozen=True, slots=True)
class OuterProxy:
    """One proxy. ``authorization`` is the value of the header ``Proxy-Authorization``, or empty."""

    host: str
    port: int
    encrypted: bool = False
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> OuterProxy | None:
        """Parse the value of a variable such as ``http://proxy.example:3128``; None if it names no proxy for HTTP."""
        if "://" not in url:
            url = f"http://{url}"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return None
        login = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            login = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.scheme == "https", login)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of requests to the proxy."""
        return [(b"Proxy-Authorization", self.authorization.encode())] if self.authorization else []


@dataclass(frozen=True, slots=True)
class Outer:
    """The proxies of this machine: for HTTP, for everything else, and the hosts that are reached without one."""

    http: OuterProxy | None = None
    other: OuterProxy | None = None
    direct: tuple[str, ...] = ()

    @classmethod
    def parse(cls, http: str, https: str, no_proxy: str) -> Outer:
        """Parse the values of the variables ``http_proxy``, ``https_proxy`` and ``no_proxy``, which may be empty."""
        direct = (entry.strip().lower() for entry in no_proxy.replace(",", " ").split())
        return cls(OuterProxy.parse(http), OuterProxy.parse(https), tuple(entry for entry in direct if entry))

    def proxy_for(self, host: Host, port: int) -> OuterProxy | None:
        """Return the proxy for a connection to ``host``, or None if it is made directly."""
        proxy = self.http if port == HTTP else self.other
        return None if proxy is None or any(_covers(entry, host, port) for entry in self.direct) else proxy


def _covers(entry: str, host: Host, port: int) -> bool:
    """Return whether an entry of ``no_proxy`` covers ``host``: a name with all below it, an address, or a network."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and ":" not in name:
        if int(number) != port:
            return False
        entry = name
    if isinstance(host, str):
        entry = entry.removeprefix("*").removeprefix(".")
        return host == entry or host.endswith(f".{entry}")
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
    return host.version == network.version and host in network


async def connect(proxy: OuterProxy, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the proxy itself. Raises OSError."""
    async with asyncio.timeout(ANSWER_TIMEOUT):
        context = ssl.create_default_context() if proxy.encrypted else None
        return await asyncio.open_connection(proxy.host, proxy.port, limit=limit, ssl=context)


async def tunnel(
    proxy: OuterProxy, host: Host, port: int, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a host through the proxy. Raises OuterRefused with the proxy's reason, or another OSError."""
    reader, writer = await connect(proxy, limit)
    try:
        target = text(host, port)
        lines = [f"CONNECT {target} HTTP/1.1".encode(), b"Host: " + target.encode()]
        lines += [name + b": " + value for name, value in proxy.headers]
        writer.write(b"\r\n".join([*lines, b"", b""]))
        async with asyncio.timeout(ANSWER_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise OuterRefused("this machine's proxy did not answer") from error
    except BaseException:
        writer.transport.abort()
        raise
    status = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or not status[1].startswith("2"):
        writer.transport.abort()
        raise OuterRefused(f"this machine's proxy answered {' '.join(status[1:])[:100]!r}")
    return reader, writer
