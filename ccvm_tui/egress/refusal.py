"""Refusals that a program and its user can read, in the protocol that the program speaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ccvm_tui.egress import tls
from ccvm_tui.egress.hosts import Host, text
from ccvm_tui.egress.link import Stream, StreamLost
from ccvm_tui.egress.policy import Verdict

FIRST_BYTES_TIMEOUT = 2.0
"""Seconds within which a program that is refused must send something, from which its protocol is recognized."""

LINGER = 1.0
"""Seconds for which the input of a refused program is read, so that it can read the refusal before a reset."""

METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE ")
"""The beginnings of HTTP requests."""

Refuse = Callable[[str], Awaitable[None]]
"""A function that refuses a connection with a text for the user."""


def explain(guest: str, host: Host, port: int, verdict: Verdict) -> str:
    """Return the text of a refusal: what was refused, why, and the command that would allow it.

    The guest learns no address of the host's networks that it does not know: if its resolver gives a name such an
    address, only the command on the host shows it.
    """
    target = text(host, port)
    if verdict.address is not None and isinstance(host, str):
        return (
            f"ccvm refused the connection to {target}: its address is not on the internet.\n"
            f"To allow it, run this on the host: ccvm-tui egress {guest} --allow ADDRESS\n"
            f"with the address that `ccvm-tui egress {guest}` shows there.\n"
        )
    reason = f": {verdict.reason}" if verdict.reason else ""
    message = f"ccvm refused the connection to {target}{reason}.\n"
    if not verdict.remedy:
        return message
    return f"{message}To allow it, run this on the host: ccvm-tui egress {guest} {verdict.remedy}\n"


def http_response(message: str, status: str = "403 Forbidden") -> bytes:
    """Return a complete HTTP response with ``message`` as its text."""
    body = message.encode()
    refused = "" if status.startswith("2") else "X-Ccvm-Egress: refused\r\n"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n{refused}\r\n"
    )
    return head.encode() + body


async def answer(stream: Stream, data: bytes) -> None:
    """Send the last bytes of a stream, and give the program time to read them."""
    with contextlib.suppress(StreamLost, TimeoutError):
        await stream.write(data)
        stream.write_eof()
        async with asyncio.timeout(LINGER):
            while await stream.read():
                pass


async def refuse_unknown(stream: Stream, message: str, first: bytes = b"") -> None:
    """Refuse a program whose protocol is not known yet: TLS by an alert, HTTP by a response, the others by a reset."""
    with contextlib.suppress(StreamLost, TimeoutError):
        if not first:
            async with asyncio.timeout(FIRST_BYTES_TIMEOUT):
                first = await stream.read()
        if first[:1] == bytes([tls.RECORD]):
            await answer(stream, tls.ACCESS_DENIED)
        elif first.startswith(METHODS):
            await answer(stream, http_response(message))
