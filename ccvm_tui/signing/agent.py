"""The filter between a guest and the user's SSH agent: keys can be listed, and used with the user's consent.

Everything else is refused, such as adding, removing and locking keys. The filter parses each message and writes it
anew, so that neither side receives anything that is not understood. It binds no connection to a host key
(session-bind@openssh.com), so an agent refuses to use keys that are limited to certain hosts (``ssh-add -h``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ccvm_tui.aio import ByteReader, ByteWriter
from ccvm_tui.signing import wire
from ccvm_tui.signing.purpose import Purpose, fingerprint, purpose
from ccvm_tui.signing.wire import Malformed
from ccvm_tui.text import plain

log = logging.getLogger(__name__)

LIST_TIMEOUT = 10.0
"""Seconds within which the agent must list its keys."""

SIGN_TIMEOUT = 120.0
"""Seconds within which the agent must sign. It may ask for a touch or a PIN itself."""

COMMENT_MAX = 80
"""Characters of a key's comment that are shown."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Use:
    """The use of a key for one signature.

    ``key`` is the key's fingerprint, ``comment`` its printable comment, ``digest`` the SHA-256 of the request. Two uses
    are equal if all of that is.
    """

    key: str
    comment: str
    purpose: Purpose
    digest: bytes


class AgentFilter:
    """The filter for the agent that listens on the socket ``agent``.

    ``confirm`` is awaited with each use of a key and returns whether it is allowed. It is cancelled if the program that
    wants the signature goes away.
    """

    def __init__(self, agent: str, confirm: Callable[[Use], Awaitable[bool]]) -> None:
        self._agent = agent
        self._confirm = confirm

    async def serve(self, reader: ByteReader, writer: ByteWriter) -> None:
        """Answer the requests of a connection until it ends, or until it violates the protocol."""
        incoming = _Incoming(reader)
        with contextlib.suppress(OSError, Malformed):
            while (message := await incoming.next()) is not None:
                answer = await incoming.unless_ended(self.answer(message))
                if answer is None:
                    return
                writer.write(wire.framed(answer))
                await writer.drain()

    async def answer(self, message: bytes) -> bytes:
        """Return the answer to a message from the guest, which may be hostile."""
        try:
            if message == bytes([wire.REQUEST_IDENTITIES]):
                return wire.pack_identities(await self._identities())
            if message[:1] == bytes([wire.SIGN_REQUEST]):
                return await self._sign(wire.parse_sign_request(message))
        except (OSError, TimeoutError, Malformed) as error:
            log.info("a request to the SSH agent failed: %s", type(error).__name__)
        return wire.REFUSED

    async def _identities(self) -> tuple[wire.Identity, ...]:
        async with asyncio.timeout(LIST_TIMEOUT):
            return wire.parse_identities(await self._ask(bytes([wire.REQUEST_IDENTITIES])))

    async def _sign(self, request: wire.SignRequest) -> bytes:
        comments = {one.key: one.comment for one in await self._identities()}
        if request.key not in comments:
            return wire.REFUSED
        message = wire.pack_sign_request(request)
        use = Use(
            fingerprint(request.key),
            plain(comments[request.key], COMMENT_MAX),
            purpose(request.data, request.key),
            hashlib.sha256(message).digest(),
        )
        if not await self._confirm(use):
            return wire.REFUSED
        async with asyncio.timeout(SIGN_TIMEOUT):
            return wire.pack_signature(wire.parse_signature(await self._ask(message)))

    async def _ask(self, message: bytes) -> bytes:
        """Return the agent's answer. Raises OSError if it cannot be reached, Malformed if it is not valid."""
        reader, writer = await asyncio.open_unix_connection(self._agent)
        try:
            writer.write(wire.framed(message))
            answer = await _Incoming(reader).next()
        finally:
            writer.close()
        if answer is None:
            raise ConnectionError("the agent has closed the connection")
        return answer


class _Incoming:
    """The messages that arrive on a connection."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._messages = wire.Messages()
        self._waiting: list[bytes] = []
        self._ended = False

    async def next(self) -> bytes | None:
        """Return the next message, None at the end. Raises OSError or Malformed if there is no valid one."""
        while not self._waiting and not self._ended:
            await self._read()
        return self._waiting.pop(0) if self._waiting else None

    async def _read(self) -> None:
        data = await self._reader.read(_CHUNK)
        self._ended = not data
        self._waiting += self._messages.feed(data)

    async def unless_ended(self, work: Awaitable[bytes]) -> bytes | None:
        """Return the result of ``work``, or cancel it and return None if the connection ends before."""
        if self._waiting:  # reading on could fill the memory
            return await work
        working = asyncio.ensure_future(work)
        reading = asyncio.ensure_future(self._read())
        try:
            await asyncio.wait({working, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not self._ended and reading.exception() is None:
                await working  # the other side has sent its next request already
            return working.result() if working.done() else None
        finally:
            for task in (working, reading):
                task.cancel()
            await asyncio.gather(working, reading, return_exceptions=True)
