"""The proxy: every connection of a guest ends here, and another begins here if the policy allows it."""

from __future__ import annotations

from ccvm_tui.egress import hosts, http, refusal, socks
from ccvm_tui.egress.connect import Connector
from ccvm_tui.egress.hosts import InvalidHost
from ccvm_tui.egress.link import Stream
from ccvm_tui.egress.policy import HTTP
from ccvm_tui.egress.resolve import LookupFailed, NoSuchName, Resolver
from ccvm_tui.image.guest.agent import tunnel


class Proxy:
    """The proxy of one guest."""

    def __init__(self, connector: Connector, resolver: Resolver) -> None:
        self._connector = connector
        self._resolver = resolver

    async def lookup(self, name: str) -> int:
        """Return whether ``name`` exists, as a code of the tunnel.

        A name that the policy does not allow is not looked up, since the query itself would leave this machine. It
        counts as existing, so that the program connects, and the refusal has a reason.
        """
        try:
            host = hosts.parse(name)
        except InvalidHost:
            return tunnel.MISSING
        if not isinstance(host, str) or not self._connector.policy.allows_lookup(host):
            return tunnel.EXISTS
        if self._connector.behind_proxy(host):
            return tunnel.EXISTS
        try:
            await self._resolver.resolve(host)
        except NoSuchName:
            return tunnel.MISSING
        except LookupFailed:
            return tunnel.FAILED
        return tunnel.EXISTS

    async def serve(self, stream: Stream) -> None:
        """Serve a connection of the guest. Raises StreamLost if the guest ends it early."""
        if stream.destination.proxy:
            await self._serve_client(stream)
            return
        try:
            host = hosts.parse(stream.destination.name)
        except InvalidHost:
            return
        port = stream.destination.port
        if port == HTTP and (self._connector.policy.mode.by_name or self._connector.relay(host, port) is not None):
            await http.serve(stream, self._connector, (host, port))
            return
        await http.tunnel(
            stream,
            self._connector,
            "tcp",
            host,
            port,
            refuse=lambda text: refusal.refuse_unknown(stream, text),
            fail=lambda _: _reset(stream),
        )

    async def _serve_client(self, stream: Stream) -> None:
        """Serve a program that uses the proxy, and recognize its protocol by its first byte."""
        first = await stream.read()
        stream.unread(first)
        if first[:1] == bytes([socks.VERSION]):
            await socks.serve(stream, self._connector)
        else:
            await http.serve(stream, self._connector)


async def _reset(stream: Stream) -> None:
    stream.reset()
