"""The server's side of TLS with a program in the guest, on a stream of its tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from ccvm_tui.egress.link import Stream, StreamLost

HANDSHAKE_TIMEOUT = 30.0
"""Seconds for a handshake. Emulated guests are slow."""

_PIECE = 1 << 16


class TlsStream:
    """An encrypted stream. ``connect`` creates it. One task may read while another one writes."""

    def __init__(self, stream: Stream, context: ssl.SSLContext) -> None:
        self._stream = stream
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._sending = asyncio.Lock()

    @classmethod
    async def accept(cls, stream: Stream, context: ssl.SSLContext) -> TlsStream:
        """Perform the handshake with a client. Raises StreamLost if it fails."""
        new = cls(stream, context)
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                while not await new._try_handshake():
                    await new._receive()
        except TimeoutError:
            raise StreamLost("the program did not complete the handshake") from None
        return new

    async def _try_handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            await self._flush()
            return False
        except ssl.SSLError as error:
            await self._flush()  # the alert
            self._stream.write_eof()
            raise StreamLost(f"the handshake failed: {error.reason}") from None
        await self._flush()
        return True

    async def _receive(self) -> None:
        """Wait for encrypted bytes. Raises StreamLost if there are none."""
        data = await self._stream.read()
        if not data:
            raise StreamLost("the program ended the connection")
        self._received.write(data)

    async def _flush(self) -> None:
        async with self._sending:  # records must stay in their order
            while data := self._to_send.read(_PIECE):
                await self._stream.write(data)

    async def read(self, limit: int = _PIECE) -> bytes:
        """Return received bytes, at most ``limit``, or nothing at the end. Raises StreamLost."""
        while True:
            try:
                return self._tls.read(limit)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._receive()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise StreamLost(f"invalid TLS: {error.reason}") from None

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the guest has consumed most of them. Raises StreamLost."""
        view = memoryview(data)
        while view:
            try:
                count = self._tls.write(view[:_PIECE])
            except ssl.SSLError as error:
                raise StreamLost(f"invalid TLS: {error.reason}") from None
            view = view[count:]
            await self._flush()

    async def close(self) -> None:
        """End the direction to the guest. Raises StreamLost."""
        with contextlib.suppress(ssl.SSLError):  # the program need not have ended its own direction
            self._tls.unwrap()
        await self._flush()
        self._stream.write_eof()
