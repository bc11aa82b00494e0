"""The connection of a terminal widget to its session: frames in, input and sizes out, and the encoding of input."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

import msgspec

from ccvm_tui.aio import Background
from ccvm_tui.bridging import ClipboardWanted
from ccvm_tui.client import connection
from ccvm_tui.client.connection import Stream
from ccvm_tui.client.images import send as send_image
from ccvm_tui.errors import CcvmError, KeeperLost
from ccvm_tui.guest import DEFAULT_CELL, TermColours, TermSize
from ccvm_tui.protocol import Ack, Exited, FrameData, Input, Recolour, Resize
from ccvm_tui.terminal import mouse
from ccvm_tui.terminal.cells import Frame, decode_frame
from ccvm_tui.terminal.keys import Stroke, encode_key
from ccvm_tui.terminal.paste import encode_paste
from ccvm_tui.tui.model.grid import Grid
from ccvm_tui.tui.model.sessions import SessionKey

SETTLE_TIME = 0.06
"""Seconds without another size after which a size is sent."""

DRAWING_SHARE = 0.35
"""The share of the processor that the drawing of one session may use.

After a frame that took t seconds, t/DRAWING_SHARE seconds pass before the next one is requested. A flood of output is
therefore drawn less often. The echo of a key is not delayed, see ``ECHO_TIME``.
"""

ECHO_TIME = 0.15
"""Seconds after a key for which frames are requested immediately, because its echo is among them."""

PIECE = 1 << 16
"""Bytes of input that are sent in one message, and bytes that are kept until the session is connected."""


class FrameSink(Protocol):
    """The receiver of a session's frames, which draws them."""

    def show_frame(self, frame: Frame) -> None:
        """Draw a frame."""

    def show_end(self, end: Exited) -> None:
        """Handle the end of the session."""

    def show_trouble(self, text: str) -> None:
        """Show why no more frames are received."""

    async def drawn(self) -> None:
        """Wait until the host terminal has received everything that was drawn."""


class SessionStream:
    """A stream of one session's frames. ``run`` until it is cancelled or the session ends.

    Sizes, colours and input may be given at any time, also before the stream is connected.
    """

    def __init__(self, key: SessionKey, sink: FrameSink, size: TermSize, colours: TermColours) -> None:
        self.key = key
        self._sink = sink
        self._size = self._sent_size = size
        self._colours = self._sent_colours = colours
        self._stream: Stream | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._typed = 0.0
        self._early: list[bytes] = []
        self._images = Background(f"clipboard of {key}")

    async def run(self) -> None:
        """Connect to the session and receive its frames. Errors are shown by the sink."""
        try:
            self._sent_size, self._sent_colours = self._size, self._colours
            stream = await connection.view(self.key.guest, self.key.session, self._size, self._colours)
        except CcvmError as error:
            self._sink.show_trouble(str(error))
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
            self._sink.show_trouble(str(error))
        except (CcvmError, msgspec.DecodeError) as error:
            self._sink.show_trouble(f"invalid data from the keeper of {self.key.guest}: {error}")
        finally:
            self._stream = None
            if self._settling is not None:
                self._settling.cancel()
            await self._images.close()
            with contextlib.suppress(CcvmError):
                await stream.close()

    async def _receive(self, stream: Stream) -> None:
        while True:
            message = await stream.receive()
            match message:
                case FrameData(frame=data):
                    began = time.perf_counter()
                    self._sink.show_frame(decode_frame(data))
                    await self._pause(time.perf_counter() - began)
                    stream.send(Ack())
                case ClipboardWanted():
                    self._images.start(send_image(stream, message), "clipboard")
                case Exited():
                    self._sink.show_end(message)
                    return
                case _:
                    pass

    async def _pause(self, took: float) -> None:
        """Wait until the host terminal has the frame, and leave time for other sessions."""
        wait = took / DRAWING_SHARE - took
        if time.monotonic() - self._typed > ECHO_TIME and wait > 0.004:
            await asyncio.sleep(min(wait, 0.1))
        await self._sink.drawn()

    def type(self, data: bytes) -> None:
        """Send input, in pieces. It is kept until the stream is connected."""
        self._typed = time.monotonic()
        if self._stream is None:
            if sum(map(len, self._early)) < PIECE:
                self._early.append(data)
            return
        if self._settling is not None:  # what is typed after a change of size is meant for the new size
            self._settling.cancel()
            self._send_size()
        for at in range(0, len(data), PIECE):
            self._stream.send(Input(data[at : at + PIECE]))

    def resize(self, size: TermSize) -> None:
        """Send the size once the layout has settled. The last size is always sent."""
        self._size = size
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if size.exact != self._sent_size.exact and self._stream is not None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_TIME, self._send_size)

    def _send_size(self) -> None:
        self._settling = None
        if self._stream is not None and self._size.exact != self._sent_size.exact:
            self._sent_size = self._size
            self._stream.send(Resize(self._size))

    def recolour(self, colours: TermColours) -> None:
        """Send the colours of the host terminal."""
        self._colours = colours
        if self._stream is not None and colours != self._sent_colours:
            self._sent_colours = colours
            self._stream.send(Recolour(colours))


class GuestInput:
    """The encoder of input for the program on ``grid``. ``cell`` is the width and height of a cell in pixels."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last_position = (-1, -1)
        self.cell = DEFAULT_CELL

    def stroke(self, stroke: Stroke) -> bytes:
        """Encode a key. The host terminal's own bytes are used if they do not depend on a mode."""
        modes = self._grid.modes
        return stroke.raw if stroke.raw and not modes.kitty else encode_key(stroke, modes)

    def paste(self, data: bytes) -> bytes:
        """Encode a paste."""
        return encode_paste(data, self._grid.modes)

    def mouse(self, code: int, x: int, y: int, *, pressed: bool) -> bytes:
        """Encode a mouse report, or return nothing if the pointer has not moved to another cell.

        ``code`` is xterm's button byte with modifiers and motion. The position is clamped to the screen.
        """
        grid = self._grid
        position = min(max(0, x), max(0, grid.cols - 1)), min(max(0, y), max(0, grid.rows - 1))
        if code & mouse.MOTION and position == self._last_position:
            return b""
        self._last_position = position
        return mouse.encode_mouse(code, *position, pressed, grid.modes, self.cell)

    def wheel_as_keys(self, direction: int, count: int) -> bytes:
        """Encode the wheel as arrow keys, for programs on the alternate screen (xterm's alternateScroll)."""
        return encode_key(Stroke("up" if direction < 0 else "down"), self._grid.modes) * count
