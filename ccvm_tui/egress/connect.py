"""Connections from a guest to the hosts that the policy allows: admission, resolution, and transfer of bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from ccvm_tui.egress import hosts, outer, refusal, resolve
from ccvm_tui.egress.decide import ASKED, Connection, Decider
from ccvm_tui.egress.first_bytes import First, problem, receive
from ccvm_tui.egress.hosts import Address, Host
from ccvm_tui.egress.link import Stream, StreamLost
from ccvm_tui.egress.outer import Outer, OuterProxy, OuterRefused
from ccvm_tui.egress.policy import HTTP, HTTPS, Effect, Policy, Verdict
from ccvm_tui.egress.record import Attempt, Outcome, Record
from ccvm_tui.egress.resolve import LookupFailed, NoSuchName, Resolver

CHUNK = 1 << 17
"""Bytes per read from a host."""

_GIVEN_UP = "the program has given up"
"""The reason that is recorded for an attempt that the guest ends before it has succeeded or failed."""


OUTER_LOOKUP_TIMEOUT = 2.0
"""Seconds for a lookup behind a proxy, where this machine's resolver may not answer for names of the internet."""

REFUSALS_SHOWN = 20
"""The number of refusals that the proxy's page in the guest shows."""


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

    With ``relay``, it is a connection to this machine's proxy, which expects requests of HTTP with whole URLs. ``sent``
    and ``received`` are the stream's counts at its beginning.
    """

    host: Host
    port: int
    address: Address
    attempt: Attempt
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    relay: OuterProxy | None = None
    sent: int = 0
    received: int = 0


Dial = Callable[[], contextlib.AbstractAsyncContextManager[Upstream]]
"""A function that connects to the host of an allowed attempt, until its context ends. Raises Refused or Unreachable."""

Intercept = Callable[[Stream, str, int, Dial], Awaitable[None]]
"""A function that serves the connections to one host in place of that host.

It receives the stream, the name, the port, and a function that connects to the host itself, which it may call several
times or not at all. The connection is allowed; its TLS, if any, begins with the first bytes of the stream.
"""

Reply = Callable[[str], Awaitable[None]]
"""A function that reports to the program, in its protocol, why it is not connected."""

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
        machine_proxies: Outer | None = None,
    ) -> None:
        self._guest = guest
        self._decider = decider
        self._record = record
        self._resolver = resolver
        self._intercepts = intercepts
        self._outer = machine_proxies or Outer()
        self.refusals: deque[str] = deque(maxlen=REFUSALS_SHOWN)
        """The newest texts of refusals, oldest first."""

    @property
    def policy(self) -> Policy:
        """The current policy."""
        return self._decider.policy

    async def admit(self, via: str, host: Host, port: int, session: str) -> Attempt:
        """Return the attempt of a ``session`` to connect to a host, which is recorded. Raises Refused."""
        attempt = self._record.begin(via, host, port, session)
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
            raise self._refused(host, port, verdict)

    def _refused(self, host: Host, port: int, verdict: Verdict) -> Refused:
        message = refusal.explain(self._guest, host, port, verdict)
        if message not in self.refusals:
            self.refusals.append(message)
        return Refused(message)

    def refuse(self, via: str, host: Host, port: int, reason: str, session: str) -> NoReturn:
        """Record a request for another host than ``host``, for which the connection is. Raises Refused."""
        verdict = Verdict(Effect.DENY, "name", reason)
        self._record.decide(self._record.begin(via, host, port, session), verdict)
        raise self._refused(host, port, verdict)

    def behind_proxy(self, name: str) -> bool:
        """Return whether connections to ``name`` go through this machine's proxy, which resolves it."""
        return self._outer.proxy_for(name, HTTPS) is not None

    def relay(self, host: Host, port: int) -> OuterProxy | None:
        """Return the proxy of this machine that expects requests of HTTP to ``host`` with whole URLs, if any."""
        return self._outer.proxy_for(host, port) if port == HTTP else None

    async def dial(self, attempt: Attempt, host: Host, port: int) -> Upstream:
        """Connect to an admitted host, at an address that the policy allows. The name is not resolved again.

        Behind a proxy, a name that this machine cannot resolve has no address to check. Raises Refused if the policy
        allows none of the host's addresses, Unreachable if none answers. Both are recorded.
        """
        proxy, relay = self._outer.proxy_for(host, port), self.relay(host, port)
        try:
            try:
                async with asyncio.timeout(None if proxy is None else OUTER_LOOKUP_TIMEOUT):
                    addresses = await self._resolver.resolve(host)
            except (NoSuchName, LookupFailed, TimeoutError):
                if proxy is None:
                    raise
            else:
                allowed = self._allowed(attempt, host, port, addresses)
            if relay is not None:
                reader, writer = await outer.connect(relay, CHUNK)
            elif proxy is not None:
                reader, writer = await outer.tunnel(proxy, host, port, CHUNK)
            else:
                reader, writer = await resolve.connect(allowed, port, CHUNK)
        except asyncio.CancelledError:
            self._record.fail(attempt, _GIVEN_UP)
            raise
        except NoSuchName:
            reason = f"{hosts.text(host)} does not exist"
        except LookupFailed:
            reason = f"the name {hosts.text(host)} cannot be resolved at the moment"
        except OSError as error:
            target = hosts.text(host, port)
            self._record.fail(attempt, f"{target} cannot be reached: {error.strerror or error}")
            # without the address, which may be of the host's network
            reason = os.strerror(error.errno) if error.errno else "it does not answer"
            reason = str(error) if isinstance(error, OuterRefused) else reason
            raise Unreachable(f"{target} cannot be reached: {reason}\n") from error
        else:
            address = hosts.parse(writer.get_extra_info("peername")[0])
            assert not isinstance(address, str)
            self._record.open(attempt, "" if proxy else str(address))
            return Upstream(host, port, address, attempt, reader, writer, relay)
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
    async def using(self, stream: Stream, upstream: Upstream, *, whole: bool = False) -> AsyncIterator[None]:
        """While the block runs, reset the stream if the policy comes to deny it. Then close the connection.

        The bytes of the stream from now on are recorded or, if it serves one host only, the ``whole`` stream.
        """
        if not whole:
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
            attempt = await self.admit(via, host, port, stream.destination.session)
            if (serve := self.intercept(host, port)) is not None:
                await stream.write(accept)
                await self._serve_instead(serve, stream, attempt, host, port)
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

    async def _serve_instead(self, serve: Intercept, stream: Stream, attempt: Attempt, host: Host, port: int) -> None:
        """Let a function serve the stream, and record the connection."""

        @contextlib.asynccontextmanager
        async def dial() -> AsyncIterator[Upstream]:
            upstream = await self.dial(attempt, host, port)
            async with self.using(stream, upstream, whole=True):
                yield upstream

        try:
            await serve(stream, str(host), port, dial)
        finally:
            if attempt.outcome is Outcome.HELD:  # served without the host
                self._record.open(attempt, "")
            self._record.end(attempt, stream.received, stream.sent)

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
