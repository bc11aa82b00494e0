"""The requests of one connection of a guest to a host with logins, which the keeper serves in place of that host.

Requests and responses are parsed and written anew by h11, and streamed without a buffer in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import h11

from ccvm_tui.agents.logins import Subscription
from ccvm_tui.broker import tokens as oauth
from ccvm_tui.broker.git import GitLogin, GitLogins
from ccvm_tui.broker.judge import Denied, Exchange, Git, Headers, Inject, Mint, Plain, judge, with_credential
from ccvm_tui.broker.scrub import Scrubber
from ccvm_tui.broker.sentinels import NoCredential, Sentinels
from ccvm_tui.broker.tls import TlsStream
from ccvm_tui.broker.upstream import CHUNK, HEAD_MAX, Failed, Reply, encrypt, is_encoded, read_whole
from ccvm_tui.egress.connect import Dial, Refused, Unreachable, Upstream
from ccvm_tui.egress.link import Stream, StreamLost

log = logging.getLogger(__name__)

REPLAY_MAX = 32 << 20
"""Maximum length in bytes of the body of a request that is sent again if the host has rejected the token."""

LINGER = 5.0
"""Seconds within which a program must read a refusal."""

_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"te", b"upgrade", b"trailer"),
        b"alt-svc",  # another way to the host, which does not exist in a guest
    }
)

_ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}


class Logins(Protocol):
    """The part of the broker that a connection needs."""

    sentinels: Sentinels
    subscription: Subscription | None
    git: GitLogins | None
    context: ssl.SSLContext

    async def refresh(self, sentinel: str) -> bytes:
        """Return the response to a request for new tokens. Raises NoCredential."""

    async def capture(self, body: bytes) -> bytes:
        """Keep the tokens in a response, and return the response for the guest. Raises UnknownForm."""

    def capture_key(self, body: bytes) -> bytes:
        """Keep the API key in a response, and return the response for the guest. Raises UnknownForm."""


@dataclass(eq=False)
class _Body:
    """The body of a request, as far as it was received."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    complete: bool = False

    @property
    def replayable(self) -> bool:
        return self.complete and self.size <= REPLAY_MAX

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= REPLAY_MAX:
            self.pieces.append(data)
        else:
            self.pieces.clear()


@dataclass(frozen=True, eq=False)
class _Use:
    """The use of a credential in a request.

    ``headers`` contain it, and ``secrets`` are the texts that the response must not contain. ``replace`` returns the
    use of another credential after this one was rejected.
    """

    headers: Headers = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    replace: Callable[[], Awaitable[_Use | None]] | None = None


class _Again(Exception):
    """The request must be sent once more, in this way."""

    def __init__(self, use: _Use) -> None:
        super().__init__("again")
        self.use = use


async def serve(stream: Stream, host: str, port: int, dial: Dial, context: ssl.SSLContext, logins: Logins) -> None:
    """Serve a connection to ``host``. ``context`` is that of the server in the guest's eyes. Raises StreamLost."""
    tls = await TlsStream.accept(stream, context)
    connection = _Connection(tls, host, port, dial, logins)
    serving = asyncio.ensure_future(connection.serve())
    ended = asyncio.ensure_future(stream.ended.wait())  # with TLS, a program does not wait for a response after that
    try:
        await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        if not serving.done():
            serving.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await serving


class _Connection:
    def __init__(self, tls: TlsStream, host: str, port: int, dial: Dial, logins: Logins) -> None:
        self._tls = tls
        self._host = host
        self._port = port
        self._dial = dial
        self._logins = logins
        self._server = h11.Connection(h11.SERVER, HEAD_MAX)
        self._stack = contextlib.AsyncExitStack()
        self._upstream: Upstream | None = None
        self._client: h11.Connection

    async def serve(self) -> None:
        """Serve requests until the program or the host ends the connection. Raises StreamLost."""
        async with self._stack:
            while await self._serve_one():
                self._server.start_next_cycle()
            await self._tls.close()

    async def _serve_one(self) -> bool:
        """Serve a request, and return whether another one can follow."""
        try:
            request = await self._next_event()
            if not isinstance(request, h11.Request):
                return False
            headers = list(request.headers)
            plan = judge(
                self._host, self._port, request.method, request.target, headers,
                self._logins.sentinels, self._logins.subscription, self._logins.git,
            )  # fmt: skip
            match plan:
                case Exchange():
                    await self._exchange(request, headers)
                case Mint(inject=inject):
                    await self._mint(request, headers, inject)
                case _:
                    await self._forward(request, headers, plan)
        except Denied as error:
            await self._refuse(error.status, str(error))
        except NoCredential as error:
            await self._refuse(401, str(error))
        except Refused as error:
            await self._refuse(403, error.message)
        except (Unreachable, Failed, oauth.UnknownForm) as error:
            await self._refuse(502, str(error))
        except h11.RemoteProtocolError as error:
            await self._refuse(400, str(error))
        return self._server.our_state is h11.DONE and self._server.their_state is h11.DONE

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._server.next_event()) is h11.NEED_DATA:
            self._server.receive_data(await self._tls.read())
        return event

    async def _send(self, event: h11.Event) -> None:
        await self._tls.write(self._server.send(event) or b"")

    # --- answers of the keeper ----------------------------------------------------------------------------

    async def _refuse(self, status: int, text: str) -> None:
        """Answer a request that is not forwarded, and end the connection. Nothing is sent after a response's head."""
        if self._server.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise StreamLost("the response was not completed")
        log.info("refused a request to %s with status %d", self._host, status)
        error = {"type": _ERRORS.get(status, "api_error"), "message": f"ccvm: {text.strip()}"}
        await self._answer(status, json.dumps({"type": "error", "error": error}).encode(), close=True)
        with contextlib.suppress(TimeoutError, StreamLost):
            await self._tls.close()
            async with asyncio.timeout(LINGER):
                while await self._tls.read():
                    pass

    async def _answer(self, status: int, body: bytes, *, close: bool = False) -> None:
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("X-Ccvm-Broker", "1")]
        if close:
            headers.append(("Connection", "close"))
        await self._send(h11.Response(status_code=status, headers=headers))
        await self._send(h11.Data(body))
        await self._send(h11.EndOfMessage())

    # --- tokens -------------------------------------------------------------------------------------------

    async def _read_body(self) -> bytes:
        """Return the body of a request for tokens. Raises Denied if it is too long."""
        if self._server.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        body = b""
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise StreamLost("the program ended in the middle of a request")
            body += event.data
            if len(body) > oauth.REQUEST_MAX:
                raise Denied(413, "the request for tokens is too long")
        return body

    async def _exchange(self, request: h11.Request, headers: Headers) -> None:
        """Serve a request for tokens. The keeper itself refreshes them; a new login is forwarded."""
        if request.method != b"POST":
            raise Denied(405, "this path is for requests for tokens")
        body = await self._read_body()
        try:
            asked = oauth.parse_request(body)
        except oauth.UnknownForm as error:
            raise Denied(400, str(error)) from None
        match asked.get("grant_type"):
            case "refresh_token":
                try:
                    await self._answer(200, await self._logins.refresh(asked.get("refresh_token", "")))
                except NoCredential as error:
                    reason = {"error": "invalid_grant", "error_description": f"ccvm: {error}"}
                    await self._answer(400, json.dumps(reason).encode())
            case "authorization_code":
                reply = await self._request(request, headers, body)
                if reply.status == 200:
                    await self._answer(200, await self._logins.capture(reply.body))
                else:
                    await self._answer(reply.status, oauth.error_response(reply.body))
            case _:
                raise Denied(400, "only a new login, and a refresh, can be requested")

    async def _mint(self, request: h11.Request, headers: Headers, inject: Inject | Plain) -> None:
        """Serve a request for a new API key."""
        body = await self._read_body()
        if isinstance(inject, Inject):
            headers = with_credential(headers, inject, await inject.entry.source.current())
        reply = await self._request(request, headers, body)
        if reply.status // 100 == 2:
            await self._answer(reply.status, self._logins.capture_key(reply.body))
        else:
            await self._answer(reply.status, oauth.error_response(reply.body))

    async def _request(self, request: h11.Request, headers: Headers, body: bytes) -> Reply:
        """Send a request with a body of which everything is known, and return the whole response. Raises Failed."""
        await self._provide()
        assert self._upstream is not None
        named = (b"content-length", b"transfer-encoding", b"expect")
        kept = [header for header in _forwarded(headers, identity=True) if header[0] not in named]
        kept.append((b"content-length", str(len(body)).encode()))
        head = h11.Request(method=request.method, target=request.target, headers=kept)
        sent = [self._client.send(event) or b"" for event in (head, h11.Data(body), h11.EndOfMessage())]
        self._upstream.writer.write(b"".join(sent))
        reply = await read_whole(self._upstream.reader, self._client)
        self._reuse()
        return reply

    # --- the connection to the host -----------------------------------------------------------------------

    async def _provide(self) -> bool:
        """Connect to the host unless there is a usable connection, and return whether there was one.

        Raises Refused, Unreachable or Failed.
        """
        if self._upstream is not None and self._client.our_state is h11.IDLE and not self._upstream.reader.at_eof():
            return True
        await self._drop()
        upstream = await self._stack.enter_async_context(self._dial())
        await encrypt(upstream.writer, self._logins.context, self._host)
        self._upstream = upstream
        self._client = h11.Connection(h11.CLIENT, HEAD_MAX)
        return False

    async def _drop(self) -> None:
        self._upstream = None
        await self._stack.aclose()

    def _reuse(self) -> None:
        if self._client.our_state is h11.DONE and self._client.their_state is h11.DONE:
            self._client.start_next_cycle()

    # --- other requests -----------------------------------------------------------------------------------

    async def _forward(self, request: h11.Request, headers: Headers, plan: Plain | Inject | Git) -> None:
        """Forward a request and its response. The request is sent again once if its credential was rejected."""
        use = await self._use(headers, plan)
        body = _Body()
        for last in (False, True):
            try:
                await self._transfer(request, use, body, last=last)
                return
            except _Again as again:
                use = again.use
                await self._drop()

    async def _use(self, headers: Headers, plan: Plain | Inject | Git) -> _Use:
        """Return the headers with the credential of a plan. Raises NoCredential."""
        match plan:
            case Inject(entry=entry):
                return _with_token(headers, plan, await entry.source.current())
            case Git(repository=repository):
                assert self._logins.git is not None
                with contextlib.suppress(NoCredential):  # the repository may be public
                    return self._with_login(headers, plan, await self._logins.git.get(*self._place, repository))
        return _Use(headers)

    @property
    def _place(self) -> tuple[str, int]:
        return self._host, self._port

    def _with_login(self, headers: Headers, plan: Git, login: GitLogin) -> _Use:
        async def replace() -> _Use | None:
            assert self._logins.git is not None
            other = await self._logins.git.after_rejection(*self._place, plan.repository, login)
            return self._with_login(headers, plan, other) if other is not None else None

        value = f"Basic {login.encoded}".encode("latin-1")
        return _Use([*headers, (b"authorization", value)], (login.password, login.encoded), replace)

    async def _transfer(self, request: h11.Request, use: _Use, body: _Body, *, last: bool) -> None:
        used_before = await self._provide()
        assert self._upstream is not None
        upstream, client = self._upstream, self._client
        kept = _forwarded(use.headers, identity=bool(use.secrets))
        head = h11.Request(method=request.method, target=request.target, headers=kept)
        upstream.writer.write(client.send(head) or b"")
        upload = asyncio.ensure_future(self._upload(client, upstream, body))
        try:
            event = await self._response(client, upstream)
            if event is None:
                if used_before and body.replayable and not last:
                    raise _Again(use)  # the host had ended an idle connection
                raise Failed(f"{self._host} ended the connection without a response")
            if event.status_code == 401 and use.replace is not None:
                other = await use.replace()
                if other is not None and body.replayable and not last:
                    raise _Again(other)
            if use.secrets and is_encoded(event):
                raise Failed("the response is compressed, although that was not accepted")
            scrubber = Scrubber(use.secrets)
            await self._send(_response_for_guest(event, scrubber))
            await self._download(client, upstream, scrubber)
            await upload
        except h11.LocalProtocolError as error:
            raise StreamLost(f"the response cannot be forwarded: {error}") from None
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)  # two tasks cannot read at once
        self._reuse()

    async def _upload(self, client: h11.Connection, upstream: Upstream, body: _Body) -> None:
        for piece in body.pieces:
            upstream.writer.write(client.send(h11.Data(piece)) or b"")
        while not body.complete:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                body.add(bytes(event.data))
                upstream.writer.write(client.send(event) or b"")
            elif isinstance(event, h11.EndOfMessage):
                body.complete = True
            else:
                raise StreamLost("the program ended in the middle of a request")
            await upstream.writer.drain()
        upstream.writer.write(client.send(h11.EndOfMessage()) or b"")
        await upstream.writer.drain()

    async def _response(self, client: h11.Connection, upstream: Upstream) -> h11.Response | None:
        """Return the head of the response, or None if the host has ended the connection."""
        while True:
            try:
                event = client.next_event()
                if event is h11.NEED_DATA:
                    client.receive_data(await upstream.reader.read(CHUNK))
                    continue
            except (h11.RemoteProtocolError, ConnectionError):
                return None
            if isinstance(event, h11.InformationalResponse):
                if self._server.they_are_waiting_for_100_continue and event.status_code == 100:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                continue
            return event if isinstance(event, h11.Response) else None

    async def _download(self, client: h11.Connection, upstream: Upstream, scrubber: Scrubber) -> None:
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await upstream.reader.read(CHUNK))
            elif isinstance(event, h11.Data):
                if data := scrubber.feed(bytes(event.data)):
                    await self._send(h11.Data(data))
            elif isinstance(event, h11.EndOfMessage):
                if data := scrubber.end():
                    await self._send(h11.Data(data))
                await self._send(h11.EndOfMessage())
                return
            else:
                raise StreamLost("the host ended in the middle of a response")


def _with_token(headers: Headers, plan: Inject, credential: str) -> _Use:
    async def replace() -> _Use | None:
        other = await plan.entry.source.after_rejection(credential)
        return _with_token(headers, plan, other) if other is not None else None

    return _Use(with_credential(headers, plan, credential), (credential,), replace)


def _forwarded(headers: Headers, *, identity: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers for the host. With ``identity``, the response must not be compressed."""
    kept = [(name, value) for name, value in headers if name not in _HOP_BY_HOP]
    if any(name == b"transfer-encoding" for name, _ in kept):  # RFC 9112, 6.3
        kept = [(name, value) for name, value in kept if name != b"content-length"]
    if identity:
        kept = [(name, value) for name, value in kept if name != b"accept-encoding"]
        kept.append((b"accept-encoding", b"identity"))
    return kept


def _response_for_guest(response: h11.Response, scrubber: Scrubber) -> h11.Response:
    kept = [(name, scrubber.whole(bytes(value))) for name, value in response.headers if name not in _HOP_BY_HOP]
    return h11.Response(status_code=response.status_code, reason=response.reason, headers=kept)
