"""A queue of messages to one client, written by a task of its own, so that a slow client delays only itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ccvm_tui import protocol
from ccvm_tui.protocol import ToClient

log = logging.getLogger(__name__)

TRANSPORT_BUFFER = 1 << 16
"""Bytes that are passed to the transport before ``run`` waits."""


class Outbox:
    """A queue of encoded messages. ``on_empty`` is called each time that all queued messages have been written."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._frames: list[bytes] = []
        self._queued = 0
        self._filled = asyncio.Event()
        self._closing = False
        self.on_empty: Callable[[], None] = lambda: None
        writer.transport.set_write_buffer_limits(high=TRANSPORT_BUFFER)

    def put(self, message: ToClient) -> None:
        """Queue a message without waiting."""
        frame = protocol.pack(message)
        self._frames.append(frame)
        self._queued += len(frame)
        self._filled.set()

    @property
    def queued(self) -> int:
        """The number of queued bytes, without those already passed to the transport."""
        return self._queued

    def drop(self) -> None:
        """Discard the queued messages."""
        self._frames.clear()
        self._queued = 0

    def close(self) -> None:
        """Make ``run`` return after the queued messages have been written."""
        self._closing = True
        self._filled.set()

    async def run(self) -> None:
        """Write messages until the queue is closed or the client has disconnected."""
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._frames:
                    batch, self._frames = self._frames, []
                    self._queued = 0
                    for frame in batch:
                        self._writer.write(frame)
                    await self._writer.drain()
                if self._closing:
                    return
                self.on_empty()
        except (ConnectionError, TimeoutError):
            log.debug("the client disconnected with %d bytes queued", self._queued)
