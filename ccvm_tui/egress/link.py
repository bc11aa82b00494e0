"""The keeper's end of the tunnel to the gate of a guest; ``ccvm_tui.image.guest.agent.tunnel`` is the protocol.

The guest may be hostile. What it can do here is limited: a number of streams, a window of buffered bytes for each, a
number of pending lookups. A violation of the protocol ends all streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from ccvm_tui.aio import Background
from ccvm_tui.image.guest.agent import tunnel
from ccvm_tui.image.guest.agent.tunnel import Destination

log = logging.getLogger(__name__)

LOOKUPS_MAX = 256
"""Maximum number of lookups at a time. More are answered with a failure."""

WRITE_BUFFER = 256 << 10
"""Bytes in the buffer of the port above which streams wait. It delays other streams, so it is short."""

WAKE_INTERVAL = 2.0
"""Seconds between two WAKE frames while there are streams or lookups."""


class StreamLost(OSError):
    """The guest or the end of its tunnel has ended the stream."""


class Stream:
    """A connection of a program in the guest, to ``destination``.

    It is a stream of bytes in each direction. ``received`` and ``sent`` count the bytes from and to the guest.
    """

    def __init__(self, number: int, destination: Destination, send: Callable[[int, int, bytes], None]) -> None:
        self.number = number
        self.destination = destination
        self.received = self.sent = 0
        self._send = send
        self._input = bytearray()
        self._unacknowledged = 0
        self._ended = self._sent_end = False
        self.lost = asyncio.Event()
        """An event that is set when the stream has ended in both directions."""
        self.ended = asyncio.Event()
        """An event that is set when the direction from the guest has ended, even if bytes were not read yet."""
        self._credit = tunnel.WINDOW_IN
        self._readable, self._writable, self.link_writable = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def read(self, limit: int = 1 << 16) -> bytes:
        """Return received bytes, at most ``limit``, or nothing at the end. Raises StreamLost if the stream is lost."""
        while not self._input:
            if self.lost.is_set():
                raise StreamLost("the guest has closed the connection")
            if self._ended:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._input[:limit])
        del self._input[:limit]
        self._unacknowledged += len(data)
        if not self.lost.is_set() and self._unacknowledged >= tunnel.WINDOW_OUT // 4:
            self._send(tunnel.WINDOW, self.number, tunnel.number(self._unacknowledged))
            self._unacknowledged = 0
        return data

    def unread(self, data: bytes) -> None:
        """Let the next ``read`` return ``data`` first."""
        self._input[:0] = data
        self._unacknowledged -= len(data)

    async def write(self, data: bytes) -> None:
        """Send bytes to the guest, and wait until it has consumed most of them. Raises StreamLost."""
        view = memoryview(data)
        while view:
            await self.link_writable.wait()
            if self.lost.is_set():
                raise StreamLost("the guest has closed the connection")
            if not self._credit:
                self._writable.clear()
                await self._writable.wait()
                continue
            count = min(len(view), self._credit, tunnel.PIECE)
            self._send(tunnel.DATA, self.number, bytes(view[:count]))
            self._credit -= count
            self.sent += count
            view = view[count:]

    def write_eof(self) -> None:
        """End the direction to the guest."""
        if not self.lost.is_set() and not self._sent_end:
            self._sent_end = True
            self._send(tunnel.END, self.number, b"")

    def close(self) -> None:
        """End the stream. If ``write_eof`` was called, the guest receives everything that was written before."""
        if not self.lost.is_set() and self._sent_end:
            self._send(tunnel.CLOSE, self.number, b"")
            self.lose()
        self.reset()

    def reset(self) -> None:
        """End the stream in both directions. The program in the guest gets "connection reset"."""
        if not self.lost.is_set():
            self._send(tunnel.RESET, self.number, b"")
        self.lose()

    # --- called by the link -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Handle received bytes. Raises TunnelError if they exceed the window or follow the end."""
        self._input += data
        self.received += len(data)
        if self._ended or len(self._input) + self._unacknowledged > tunnel.WINDOW_OUT:
            raise tunnel.TunnelError("more data than allowed")
        self._readable.set()

    def feed_eof(self) -> None:
        """Handle the end of the direction from the guest."""
        self._ended = True
        self.ended.set()
        self._readable.set()

    def grant(self, count: int) -> None:
        """Handle the consumption of ``count`` bytes by the guest. Raises TunnelError if it is more than was sent."""
        self._credit += count
        if self._credit > tunnel.WINDOW_IN:
            raise tunnel.TunnelError("more credit than allowed")
        self._writable.set()

    def lose(self) -> None:
        """Handle the end of the stream in both directions."""
        self.lost.set()
        self.ended.set()
        self._readable.set()
        self._writable.set()
        self.link_writable.set()

    def __repr__(self) -> str:
        return f"Stream({self.number}, {self.destination.name!r}:{self.destination.port})"


Serve = Callable[[Stream], Coroutine[Any, Any, None]]
"""A function that serves a stream, which is closed when the function returns."""

Lookup = Callable[[str], Coroutine[Any, Any, int]]
"""A function that returns a code (``tunnel.EXISTS`` and others) for a name."""


class Link(asyncio.Protocol):
    """The connection to the egress port of a guest. ``attach`` creates it."""

    def __init__(self, serve: Serve, lookup: Lookup) -> None:
        self._serve = serve
        self._lookup = lookup
        self._frames = tunnel.Frames()
        self._streams: dict[int, Stream] = {}
        self._serving: dict[Stream, asyncio.Task[None]] = {}
        self._lookups = 0
        self._generation = 0
        self._transport: asyncio.Transport
        self._background = Background("egress")
        self._writable = True
        self.connected = False
        """True once the gate of the guest has reported."""

    @classmethod
    async def attach(cls, sock: socket.socket, serve: Serve, lookup: Lookup) -> Link:
        """Use the connected ``sock`` and take ownership of it."""
        link = cls(serve, lookup)
        await asyncio.get_running_loop().create_connection(lambda: link, sock=sock)
        link._background.start(link._keep_awake(), "keepalive")
        return link

    async def close(self) -> None:
        """End all streams and close the connection."""
        self._transport.abort()
        self._drop_streams()
        await self._background.close()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER)

    def connection_lost(self, _: Exception | None) -> None:
        """End all streams."""
        self.connected = False
        self._drop_streams()

    def data_received(self, data: bytes) -> None:
        """Handle frames."""
        try:
            for kind, number, body in self._frames.feed(data):
                self._dispatch(kind, number, body)
        except tunnel.TunnelError as error:
            log.warning("the guest violated the protocol of the tunnel: %s", error)
            self._drop_streams()
            self.connected = False
            self._frames = tunnel.Frames()  # until the next HELLO

    def pause_writing(self) -> None:
        """Let streams wait."""
        self._writable = False
        for stream in self._streams.values():
            stream.link_writable.clear()

    def resume_writing(self) -> None:
        """Let streams continue."""
        self._writable = True
        for stream in self._streams.values():
            stream.link_writable.set()

    # --- frames -------------------------------------------------------------------------------------------

    def _dispatch(self, kind: int, number: int, body: bytes) -> None:
        """Handle a frame. Raises TunnelError if it is invalid."""
        match kind:
            case tunnel.HELLO:
                self._drop_streams()
                self._generation += 1
                self.connected = True
                self._transport.write(tunnel.MAGIC + body)
            case tunnel.OPEN:
                self._open(number, Destination.parse(body))
            case tunnel.LOOKUP:
                self._look_up(number, body)
            case _ if number in self._streams:  # otherwise the keeper has ended it, and the guest did not know yet
                self._dispatch_to(self._streams[number], kind, body)

    def _dispatch_to(self, stream: Stream, kind: int, body: bytes) -> None:
        match kind:
            case tunnel.DATA:
                stream.feed(body)
            case tunnel.END:
                stream.feed_eof()
            case tunnel.WINDOW:
                stream.grant(tunnel.parse_number(body))
            case tunnel.RESET:
                del self._streams[stream.number]
                self._end(stream)

    def _send(self, kind: int, number: int, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(tunnel.frame(kind, number, body))

    def _open(self, number: int, destination: Destination) -> None:
        if number in self._streams or len(self._streams) >= tunnel.STREAMS_MAX:
            raise tunnel.TunnelError("a stream too many")
        stream = Stream(number, destination, self._send)
        if self._writable:
            stream.link_writable.set()
        self._streams[number] = stream
        self._serving[stream] = self._background.start(self._run(stream), f"stream {number}")

    async def _run(self, stream: Stream) -> None:
        try:
            with contextlib.suppress(StreamLost):
                await self._serve(stream)
        finally:
            self._serving.pop(stream, None)
            if self._streams.get(stream.number) is stream:
                del self._streams[stream.number]
                stream.close()

    def _look_up(self, number: int, body: bytes) -> None:
        if self._lookups >= LOOKUPS_MAX or len(body) > tunnel.NAME_MAX:
            self._send(tunnel.FOUND, number, bytes([tunnel.FAILED]))
            return
        self._lookups += 1
        self._background.start(self._answer_lookup(number, body.decode("utf-8", "replace")), "lookup")

    async def _answer_lookup(self, number: int, name: str) -> None:
        code, generation = tunnel.FAILED, self._generation
        try:
            code = await self._lookup(name)
        finally:
            self._lookups -= 1
            if generation == self._generation:  # otherwise another gate uses the number
                self._send(tunnel.FOUND, number, bytes([code]))

    def _drop_streams(self) -> None:
        """End all streams, without messages to the guest, which may not know them."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        """End a stream that the guest has ended.

        Its task is cancelled, because it may be waiting for a host, and a guest can open and reset streams for ever.
        """
        stream.lose()
        if (task := self._serving.pop(stream, None)) is not None:
            task.cancel()

    async def _keep_awake(self) -> None:
        while True:
            await asyncio.sleep(WAKE_INTERVAL)
            if self._streams or self._lookups:
                self._send(tunnel.WAKE, 0, b"")
