"""The live picture of one session: its view stream, frames in, input and sizes out. Knows no widget."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

import msgspec

from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.errors import CcvmError, KeeperLost
from ccvm_tui.guest import TermColours, TermSize
from ccvm_tui.protocol import Ack, Exited, FrameData, Input, Recolour, Resize
from ccvm_tui.terminal.cells import Frame, decode_frame
from ccvm_tui.tui.attention import SessionKey

SETTLE = 0.06
"""Seconds without a change after which a size counts as the layout's last word."""

SHARE = 0.35
"""The share of the processor that drawing one session may take: after a frame that took t, t/SHARE passes before
the next is asked for. A flood is then drawn less often; a key's echo is not, see ``HASTE``."""

HASTE = 0.15
"""Seconds after a key within which frames are asked for at once: its echo is among them."""

PIECE = 1 << 16
"""Bytes of input sent in one message."""


class Shows(Protocol):
    """Who draws."""

    def show_frame(self, frame: Frame) -> None: ...
    def show_end(self, end: Exited) -> None: ...
    def show_trouble(self, text: str) -> None: ...

    async def drawn(self) -> None:
        """Returns once what was shown has left for the outer terminal."""


class Live:
    """``run`` until cancelled or the session ends. Sizes and input may be given at any time."""

    def __init__(self, key: SessionKey, shows: Shows, size: TermSize, colours: TermColours) -> None:
        self.key = key
        self._shows = shows
        self._size = size
        self._told_size = size
        self._colours = self._told_colours = colours
        self._stream: Stream | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._typed = 0.0
        self._early: list[bytes] = []

    async def run(self) -> None:
        try:
            self._told_size, self._told_colours = self._size, self._colours
            stream = await connection.view(self.key.guest, self.key.session, self._size, self._colours)
        except CcvmError as error:
            self._shows.show_trouble(str(error))
            return
        self._stream = stream
        try:
            for data in self._early:
                self.type(data)
            self._early.clear()
            self.resize(self._size)
            self.recolour(self._colours)
            await self._receive(stream)
        except KeeperLost as error:
            self._shows.show_trouble(str(error))
        except (CcvmError, msgspec.DecodeError) as error:
            self._shows.show_trouble(f"the keeper of {self.key.guest} sent nonsense: {error}")
        finally:
            self._stream = None
            if self._settling is not None:
                self._settling.cancel()
            with contextlib.suppress(CcvmError):
                await stream.close()

    async def _receive(self, stream: Stream) -> None:
        while True:
            message = await stream.receive()
            match message:
                case FrameData(frame=data):
                    began = time.perf_counter()
                    self._shows.show_frame(decode_frame(data))
                    await self._pause(time.perf_counter() - began)
                    stream.send(Ack())
                case Exited():
                    self._shows.show_end(message)
                    return
                case _:
                    pass

    async def _pause(self, took: float) -> None:
        """Until the next frame may come: the outer terminal has this one, and others had their turn."""
        wait = took / SHARE - took
        if time.monotonic() - self._typed > HASTE and wait > 0.004:
            await asyncio.sleep(min(wait, 0.1))
        await self._shows.drawn()

    def type(self, data: bytes) -> None:
        """Send input, in pieces; before the stream is open it is kept for it."""
        self._typed = time.monotonic()
        if self._stream is None:
            if sum(map(len, self._early)) < PIECE:
                self._early.append(data)
            return
        if self._settling is not None:  # what is typed after a change of size means the new size
            self._settling.cancel()
            self._tell_size()
        for at in range(0, len(data), PIECE):
            self._stream.send(Input(data[at : at + PIECE]))

    def resize(self, size: TermSize) -> None:
        """Tell the guest once the layout settles; the last size always reaches it."""
        self._size = size
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if size.exact != self._told_size.exact and self._stream is not None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE, self._tell_size)

    def _tell_size(self) -> None:
        self._settling = None
        if self._stream is not None and self._size.exact != self._told_size.exact:
            self._told_size = self._size
            self._stream.send(Resize(self._size))

    def recolour(self, colours: TermColours) -> None:
        """Tell the guest what colours the outer terminal has."""
        self._colours = colours
        if self._stream is not None and colours != self._told_colours:
            self._told_colours = colours
            self._stream.send(Recolour(colours))
