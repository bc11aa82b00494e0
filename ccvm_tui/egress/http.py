"""HTTP/1.1: the proxy for programs (CONNECT, and requests with a whole URL), and plain HTTP that is examined.

Requests are parsed and written anew by h11, so that both ends agree on where each one ends. The host in the URL, in the
header ``Host`` and of the connection must be the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

import h11

from ccvm_tui.egress import hosts, refusal
from ccvm_tui.egress.connect import CHUNK, Connector, Refused, Reply, Unreachable, Upstream
from ccvm_tui.egress.hosts import Host, InvalidHost
from ccvm_tui.egress.link import Stream, StreamLost
from ccvm_tui.egress.policy import HTTP, HTTPS

HEAD_MAX = 1 << 16
"""Maximum length of a request's or a response's head in bytes."""

_HOP_BY_HOP = (
    b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"te", b"upgrade", b"trailer",
)  # fmt: skip
"""Headers that are about one connection only (RFC 9110, 7.6.1)."""

_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class BadRequest(Exception):
    """The request cannot be served. The text is the reason."""


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of a request: the host, and the path for that host."""

    host: Host
    port: int
    path: bytes


async def tunnel(
    stream: Stream,
    connector: Connector,
    via: str,
    host: Host,
    port: int,
    *,
    refuse: Reply,
    fail: Reply,
    accept: bytes = b"",
) -> None:
    """Connect a stream to a host; see ``Connector.tunnel``. Requests of plain HTTP are examined if they must be."""

    async def serve_http(stream: Stream, upstream: Upstream) -> None:
        await _Requests(stream, connector, (host, port), upstream).serve()

    await connector.tunnel(stream, via, host, port, refuse=refuse, fail=fail, serve_http=serve_http, accept=accept)


async def serve(stream: Stream, connector: Connector, fixed: tuple[Host, int] | None = None) -> None:
    """Serve the requests of a program that uses a proxy or, if ``fixed`` is set, has connected to that host."""
    await _Requests(stream, connector, fixed).serve()


class _Requests:
    """The requests on one stream. Consecutive requests to one host use one connection, which is ``upstream``."""

    def __init__(
        self, stream: Stream, connector: Connector, fixed: tuple[Host, int] | None, upstream: Upstream | None = None
    ) -> None:
        self._stream = stream
        self._connector = connector
        self._fixed = fixed
        self._server = h11.Connection(h11.SERVER, HEAD_MAX)
        self._given = upstream
        self._upstream: Upstream | None = None
        self._client: h11.Connection
        self._stack = contextlib.AsyncExitStack()

    async def serve(self) -> None:
        """Serve requests until the program or the host ends the connection."""
        async with self._stack:
            if self._given is not None:
                self._use(self._given)
            while await self._serve_one():
                self._server.start_next_cycle()

    async def _serve_one(self) -> bool:
        """Serve a request, and return whether another one can follow."""
        try:
            request = await self._next_event()
            if not isinstance(request, h11.Request):
                return False
            if request.method == b"CONNECT" and self._fixed is None:
                await self._connect(request)
                return False
            if self._fixed is None and _asks_for_page(request):
                await self._answer("200 OK", _page(self._connector.refusals))
                return False
            target = self._target(request)
            await self._provide(target)
        except Refused as error:
            await self._answer("403 Forbidden", error.message)
        except Unreachable as error:
            await self._answer("502 Bad Gateway", str(error))
        except (BadRequest, h11.RemoteProtocolError) as error:
            await self._answer("400 Bad Request", f"{error}\n")
        else:
            return await self._exchange(request, target)
        return False

    async def _answer(self, status: str, text: str) -> None:
        await refusal.answer(self._stream, refusal.http_response(text, status))

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._server.next_event()) is h11.NEED_DATA:
            self._server.receive_data(await self._stream.read())
        return event

    async def _connect(self, request: h11.Request) -> None:
        """Serve a CONNECT request."""
        host, port = _authority(request.target.decode("ascii"), HTTPS)
        self._stream.unread(self._server.trailing_data[0])
        await tunnel(
            self._stream,
            self._connector,
            "connect",
            host,
            port,
            refuse=lambda text: self._answer("403 Forbidden", text),
            fail=lambda text: self._answer("502 Bad Gateway", text),
            accept=_CONNECTED,
        )

    def _target(self, request: h11.Request) -> Target:
        """Return the target of a request. Raises BadRequest if it has none, Refused if its hosts differ."""
        target = request.target.decode("ascii")
        header = next((value.decode("ascii", "replace") for name, value in request.headers if name == b"host"), "")
        if target.startswith("/") or target == "*":
            if self._fixed is None:
                raise BadRequest("this is a proxy: the request needs a whole URL")
            named, path = _authority(header, self._fixed[1]), request.target
        else:
            url = urlsplit(target)
            if url.scheme != "http" or not url.netloc or "@" in url.netloc:
                raise BadRequest("only URLs with http: are served here; for https: use CONNECT")
            named = _authority(url.netloc, HTTP)
            if header and _authority(header, HTTP) != named:
                self._refuse_name(named, header)
            path = (url._replace(scheme="", netloc="", fragment="").geturl() or "/").encode()
        if self._fixed is not None and isinstance(self._fixed[0], str) and named != self._fixed:
            self._refuse_name(self._fixed, header)
        host, port = self._fixed or named
        return Target(host, port, path)

    def _refuse_name(self, allowed: tuple[Host, int], header: str) -> NoReturn:
        """Refuse a request whose header names another host than the connection or the URL. Raises Refused."""
        reason = f"the host in its request is {header[: hosts.NAME_MAX]}"
        self._connector.refuse("http", *allowed, reason, self._stream.destination.session)

    # --- the connection to the host -----------------------------------------------------------------------

    async def _provide(self, target: Target) -> None:
        """Connect to the target's host unless the current connection leads there. Raises Refused or Unreachable."""
        current = self._upstream
        if current is not None and (current.host, current.port) == (target.host, target.port):
            usable = self._client.our_state is h11.IDLE and not current.reader.at_eof()
            if usable:
                return
        await self._stack.aclose()
        self._upstream = None
        attempt = await self._connector.admit("http", target.host, target.port, self._stream.destination.session)
        self._use(await self._connector.dial(attempt, target.host, target.port))
        assert self._upstream is not None
        await self._stack.enter_async_context(self._connector.using(self._stream, self._upstream))

    def _use(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._client = h11.Connection(h11.CLIENT, HEAD_MAX)

    async def _exchange(self, request: h11.Request, target: Target) -> bool:
        """Transfer a request and its response, and return whether another request can follow."""
        assert self._upstream is not None
        upstream, client = self._upstream, self._client
        headers = [(name, value) for name, value in request.headers if name not in _HOP_BY_HOP]
        if any(name == b"transfer-encoding" for name, _ in headers):
            # a host that believes the length would see another end of the request (RFC 9112, 6.1)
            headers = [(name, value) for name, value in headers if name != b"content-length"]
        path = target.path
        if (relay := upstream.relay) is not None:
            path = f"http://{hosts.text(target.host, target.port)}".encode() + path
            headers += relay.headers
        upstream.writer.write(client.send(h11.Request(method=request.method, target=path, headers=headers)))
        upload = asyncio.ensure_future(self._upload(client, upstream))
        try:
            await self._download(client, upstream)
            await upload
        except (StreamLost, ConnectionError, h11.ProtocolError):
            return False
        finally:
            upload.cancel()
        if client.our_state is h11.DONE and client.their_state is h11.DONE:
            client.start_next_cycle()
        done = self._server.our_state is h11.DONE and self._server.their_state is h11.DONE
        if not done:
            self._stream.write_eof()
        return done

    async def _upload(self, client: h11.Connection, upstream: Upstream) -> None:
        while True:
            event = await self._next_event()
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                raise StreamLost("the program ended in the middle of a request")
            upstream.writer.write(client.send(event) or b"")
            await upstream.writer.drain()
            if isinstance(event, h11.EndOfMessage):
                return

    async def _download(self, client: h11.Connection, upstream: Upstream) -> None:
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await upstream.reader.read(CHUNK))
                continue
            if isinstance(event, h11.Response | h11.InformationalResponse):
                event = type(event)(
                    status_code=event.status_code,
                    reason=event.reason,
                    headers=[(name, value) for name, value in event.headers if name not in _HOP_BY_HOP],
                )
            elif not isinstance(event, h11.Data | h11.EndOfMessage):
                raise ConnectionError("the host ended in the middle of a response")
            await self._stream.write(self._server.send(event) or b"")
            if isinstance(event, h11.EndOfMessage):
                return


def _asks_for_page(request: h11.Request) -> bool:
    """Return whether a request is for the page of the proxy itself, and not a bad one for another host."""
    header = next((value.decode("ascii", "replace") for name, value in request.headers if name == b"host"), "")
    own = header.startswith("127.") or header.partition(":")[0] == "localhost"
    return own and (request.method, request.target) == (b"GET", b"/")


def _page(refusals: Collection[str]) -> str:
    """Return the page of the proxy itself, which says what a program with an error of TLS does not."""
    if not refusals:
        return "No connection of this guest has been refused.\n"
    return "Refused connections of this guest, the newest last:\n\n" + "\n".join(refusals)


def _authority(text: str, port: int) -> tuple[Host, int]:
    """Return host and port of an authority (RFC 3986, 3.2); ``port`` is the default. Raises BadRequest."""
    host, colon, number = text.rpartition(":")
    if not colon or number.endswith("]"):
        host, number = text, str(port)
    try:
        value = int(number) if number.isascii() and number.isdigit() and len(number) <= 5 else 0
        if not 0 < value < 1 << 16:
            raise BadRequest(f"not a port: {number[:20]!r}")
        return hosts.parse(host), value
    except InvalidHost as error:
        raise BadRequest(str(error)) from error
