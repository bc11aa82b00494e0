"""Connections from a guest to the hosts that the policy allows: admission, resolution, and transfer of bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from ccvm_tui.egress import hosts, refusal, resolve
from ccvm_tui.egress.decide import ASKED, Connection, Decider
from ccvm_tui.egress.first_bytes import First, problem, receive
from ccvm_tui.egress.hosts import Address, Host
from ccvm_tui.egress.link import Stream, StreamLost
from ccvm_tui.egress.policy import Effect, Policy, Verdict
from ccvm_tui.egress.record import Attempt, Record
from ccvm_tui.egress.resolve import LookupFailed, NoSuchName, Resolver

CHUNK = 1 << 17
"""Bytes per read from a host."""

_GIVEN_UP = "the program has given up"
"""The reason that is recorded for an attempt that the guest ends before it has succeeded or failed."""


class Refused(Exception):
    """The policy or the user refuses the connection. ``message`` is the text for the program."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(Exception):
    """The host cannot be reached. The text is the reason."""


@dataclass(eq=False)
class Upstream:
    """A connection to a host, which the policy allows.

    ``sent`` and ``received`` are the stream's counts
    at its beginning.
    """

    host: Host
    port: int
    address: Address
    attempt: Attempt
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    sent: int = 0
    received: int = 0


Dial = Callable[[], Awaitable[Upstream]]
"""A function that connects to the host of an allowed attempt. Raises Refused or Unreachable."""

Intercept = Callable[[Stream, str, int, Dial], Awaitable[None]]
"""A function that serves the connections to one host in place of that host.

It receives the stream, the name, the port, and a function that connects to the host itself. The connection is allowed;
its TLS, if any, begins with the first bytes of the stream.
"""

Reply = Callable[[str], Awaitable[None]]
"""A function that tells the program, in the protocol that it speaks, why it is not connected."""

ServeHttp = Callable[[Stream, Upstream], Awaitable[None]]
"""A function that serves the requests of a program that is connected, each of which must be examined."""


class Connector:
    """The maker of connections for one guest, whose name is ``guest``."""

    def __init__(
        self,
        guest: str,
        decider: Decider,
        record: Record,
        resolver: Resolver,
        intercepts: Mapping[tuple[str, int], Intercept],
    ) -> None:
        self._guest = guest
        self._decider = decider
        self._record = record
        self._resolver = resolver
        self._intercepts = intercepts

    @property
    def policy(self) -> Policy:
        """The current policy."""
        return self._decider.policy

    async def admit(self, via: str, host: Host, port: int) -> Attempt:
        """Return the attempt to connect to a host, which is recorded. Raises Refused."""
        attempt = self._record.begin(via, host, port)
        try:
            verdict = await self._decider.for_host(host, port, lambda: self._record.hold(attempt))
        except asyncio.CancelledError:
            self._record.fail(attempt, _GIVEN_UP)
            raise
        self.judge(attempt, host, port, verdict)
        return attempt

    def judge(self, attempt: Attempt, host: Host, port: int, verdict: Verdict) -> None:
        """Record a verdict. Raises Refused unless it allows the connection."""
        self._record.decide(attempt, verdict)
        if not verdict.allowed:
            raise Refused(refusal.explain(self._guest, host, port, verdict))

    def refuse(self, via: str, host: Host, port: int, reason: str) -> NoReturn:
        """Record a request for another host than ``host``, for which the connection is. Raises Refused."""
        verdict = Verdict(Effect.DENY, "name", reason)
        self._record.decide(self._record.begin(via, host, port), verdict)
        raise Refused(refusal.explain(self._guest, host, port, verdict))

    async def dial(self, attempt: Attempt, host: Host, port: int) -> Upstream:
        """Connect to an admitted host, at an address that the policy allows. The name is not resolved again.

        Raises Refused if the policy allows none of its addresses, Unreachable if none answers. Both are recorded.
        """
        try:
            addresses = await self._resolver.resolve(host)
            allowed = self._allowed(attempt, host, port, addresses)
            reader, writer = await resolve.connect(allowed, port, CHUNK)
        except asyncio.CancelledError:
            self._record.fail(attempt, _GIVEN_UP)
            raise
        except NoSuchName:
            reason = f"{hosts.text(host)} does not exist"
        except LookupFailed:
            reason = f"the name {hosts.text(host)} cannot be resolved at the moment"
        except OSError as error:
            reason = f"{hosts.text(host, port)} cannot be reached: {error.strerror or error}"
        else:
            address = hosts.parse(writer.get_extra_info("peername")[0])
            assert not isinstance(address, str)
            self._record.open(attempt, str(address))
            return Upstream(host, port, address, attempt, reader, writer)
        self._record.fail(attempt, reason)
        raise Unreachable(f"{reason}\n")

    def _allowed(self, attempt: Attempt, host: Host, port: int, addresses: tuple[Address, ...]) -> list[Address]:
        if attempt.rule == ASKED and not isinstance(host, str):  # the user was asked about this very address
            return list(addresses)
        verdicts = [(address, self.policy.for_address(address, port)) for address in addresses]
        allowed = [address for address, verdict in verdicts if verdict.allowed]
        if not allowed:
            self.judge(attempt, host, port, verdicts[0][1])
        return allowed

    def intercept(self, host: Host, port: int) -> Intercept | None:
        """Return the function that serves a host in its place, if any."""
        return self._intercepts.get((host, port)) if isinstance(host, str) else None

    @contextlib.asynccontextmanager
    async def using(self, stream: Stream, upstream: Upstream) -> AsyncIterator[None]:
        """While the block runs, reset the stream if the policy comes to deny it. Then close the connection."""
        upstream.sent, upstream.received = stream.sent, stream.received
        try:
            with self._decider.connected(Connection(upstream.host, upstream.port, upstream.address, stream.reset)):
                yield
        finally:
            upstream.writer.transport.abort()
            self._record.end(upstream.attempt, stream.received - upstream.received, stream.sent - upstream.sent)

    async def tunnel(
        self,
        stream: Stream,
        via: str,
        host: Host,
        port: int,
        *,
        refuse: Reply,
        fail: Reply,
        serve_http: ServeHttp,
        accept: bytes = b"",
    ) -> None:
        """Connect a stream to a host, if the policy allows it, and transfer bytes until both have ended.

        ``accept`` is sent to the program once the connection is made.
        """
        try:
            attempt = await self.admit(via, host, port)
            if (serve := self.intercept(host, port)) is not None:
                await stream.write(accept)
                await serve(stream, str(host), port, lambda: self.dial(attempt, host, port))
                return
            upstream = await self.dial(attempt, host, port)
        except Refused as error:
            await refuse(error.message)
            return
        except Unreachable as error:
            await fail(str(error))
            return
        async with self.using(stream, upstream):
            await stream.write(accept)
            first = First(b"")
            download = asyncio.ensure_future(_download(stream, upstream))
            try:
                if self.policy.mode.by_name:
                    first = await receive(stream)
                    if (reason := problem(first, host, port)) is not None:
                        download.cancel()
                        await self._refuse_late(stream, upstream, first, reason)
                        return
                    if first.is_http and not download.done() and stream.sent == upstream.sent + len(accept):
                        download.cancel()
                        await asyncio.gather(download, return_exceptions=True)  # two tasks cannot read at once
                        stream.unread(first.data)
                        await serve_http(stream, upstream)
                        return
                await asyncio.gather(_upload(stream, upstream, first.data), download)
            except (StreamLost, ConnectionError):
                pass
            finally:
                download.cancel()

    async def _refuse_late(self, stream: Stream, upstream: Upstream, first: First, reason: str) -> None:
        """Refuse a connection because of its first bytes."""
        verdict = Verdict(Effect.DENY, "name", reason)
        try:
            self.judge(upstream.attempt, upstream.host, upstream.port, verdict)
        except Refused as error:
            await refusal.refuse_unknown(stream, error.message, first.data)


async def _upload(stream: Stream, upstream: Upstream, data: bytes) -> None:
    writer = upstream.writer
    writer.write(data)
    while data := await stream.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _download(stream: Stream, upstream: Upstream) -> None:
    while data := await upstream.reader.read(CHUNK):
        await stream.write(data)
    stream.write_eof()
