"""HTTPS to the hosts of logins, verified with the certificate authorities of the system."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h11

from ccvm_tui.agents.logins import Place
from ccvm_tui.broker.tokens import BODY_MAX
from ccvm_tui.egress import outer
from ccvm_tui.egress.outer import Outer

TIMEOUT = 30.0
"""Seconds for a request of the keeper itself, and for a handshake."""

CHUNK = 1 << 16
"""Bytes per read from a host."""

HEAD_MAX = 1 << 16
"""Maximum length of the head of a response in bytes."""


class Failed(Exception):
    """The host was not reached, or gave no valid response. The text is the reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response."""

    status: int
    body: bytes = field(repr=False)


Post = Callable[[Place, bytes], Awaitable[Reply]]
"""A function that sends a request with JSON to a place. Raises Failed."""


def client_context() -> ssl.SSLContext:
    """Return the context for connections to hosts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def encrypt(writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str) -> None:
    """Begin TLS on a connection. Raises Failed if the host's certificate is not valid for its name."""
    try:
        await writer.start_tls(context, server_hostname=host, ssl_handshake_timeout=TIMEOUT)
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"the certificate of {host} is not valid: {error.verify_message}") from None
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"no TLS with {host}: {getattr(error, 'reason', None) or error.strerror or 'it failed'}") from None


async def read_whole(reader: asyncio.StreamReader, client: h11.Connection) -> Reply:
    """Return the response to a request that was sent. Raises Failed if it is too long, or encoded."""
    status, body = 0, b""
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:  # its text could contain a part of the response
            raise Failed("the response is not valid HTTP") from None
        match event:
            case h11.NEED_DATA:
                client.receive_data(await reader.read(CHUNK))
            case h11.Response():
                if is_encoded(event):
                    raise Failed("the response is compressed, although that was not accepted")
                status = event.status_code
            case h11.Data():
                body += event.data
                if len(body) > BODY_MAX:
                    raise Failed("the response is too long")
            case h11.EndOfMessage():
                return Reply(status, body)
            case h11.InformationalResponse():
                pass
            case _:
                raise Failed("the host ended in the middle of a response")


def is_encoded(response: h11.Response) -> bool:
    """Return whether the content of a response is compressed, so that it cannot be examined."""
    return any(name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers)


def poster(context: ssl.SSLContext, proxies: Outer | None = None) -> Post:
    """Return a function that sends requests of the keeper itself, through the ``proxies`` of this machine."""

    async def post(place: Place, body: bytes) -> Reply:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _post(place, body, context, proxies or Outer())
        except TimeoutError:
            raise Failed(f"{place.host} did not answer within {TIMEOUT:.0f} s") from None

    return post


async def _post(place: Place, body: bytes, context: ssl.SSLContext, proxies: Outer) -> Reply:
    proxy = proxies.proxy_for(place.host, place.port)
    try:
        if proxy is not None:
            reader, writer = await outer.tunnel(proxy, place.host, place.port, CHUNK)
        else:
            reader, writer = await asyncio.open_connection(place.host, place.port)
    except OSError as error:
        raise Failed(f"{place.host} cannot be reached: {error.strerror or error}") from None
    try:
        await encrypt(writer, context, place.host)
        client = h11.Connection(h11.CLIENT, HEAD_MAX)
        host = place.host if place.port == 443 else f"{place.host}:{place.port}"
        headers = {
            "Host": host, "Content-Type": "application/json", "Content-Length": str(len(body)),
            "Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close",
        }  # fmt: skip
        head = client.send(h11.Request(method="POST", target=place.paths[0], headers=list(headers.items())))
        writer.write((head or b"") + (client.send(h11.Data(body)) or b"") + (client.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return await read_whole(reader, client)
    except OSError as error:
        raise Failed(f"the connection to {place.host} broke: {error.strerror or 'it was closed'}") from None
    finally:
        writer.transport.abort()
