"""A bounded queue of frames to one client, written by its own task: who reads slowly delays only himself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ccvm_tui import protocol
from ccvm_tui.protocol import ToClient

log = logging.getLogger(__name__)

TRANSPORT_BUFFER = 1 << 16


class Outbox:
    """``put`` never waits. ``on_empty`` is called whenever the queue has run dry after having been filled."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._frames: list[bytes] = []
        self._queued = 0
        self._filled = asyncio.Event()
        self._closing = False
        self.on_empty: Callable[[], None] = lambda: None
        writer.transport.set_write_buffer_limits(high=TRANSPORT_BUFFER)

    def put(self, message: ToClient) -> None:
        frame = protocol.pack(message)
        self._frames.append(frame)
        self._queued += len(frame)
        self._filled.set()

    @property
    def queued(self) -> int:
        """Bytes that wait here, without those already given to the socket."""
        return self._queued

    def drop(self) -> None:
        """Forget what waits: the client will be sent the newest state instead."""
        self._frames.clear()
        self._queued = 0

    def close(self) -> None:
        """No more will be put; ``run`` returns when the rest is written."""
        self._closing = True
        self._filled.set()

    async def run(self) -> None:
        """Write until closed or the client is gone."""
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
            log.debug("client went away with %d bytes queued", self._queued)
