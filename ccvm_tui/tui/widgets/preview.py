"""A still picture of a session's screen, without input and without an effect on the session's size."""

from __future__ import annotations

from functools import partial

import msgspec
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.client import connection
from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import FrameData
from ccvm_tui.terminal.cells import decode_frame
from ccvm_tui.tui.model.grid import EMPTY, Grid
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.terminal_io.app import host_of, inks_of
from ccvm_tui.tui.terminal_io.strips import Painter
from ccvm_tui.tui.widgets.controls import run_in_background


class Preview(Widget):
    """The picture of one session, or of none."""

    def __init__(self) -> None:
        super().__init__()
        self._key: SessionKey | None = None
        self._grid = Grid()
        self._painter: Painter | None = None

    def on_mount(self) -> None:
        """Get the styles of the host terminal."""
        self._painter = Painter(host_of(self).style_book())

    def show(self, key: SessionKey | None, size: TermSize = TermSize()) -> None:  # noqa: B008 - it is frozen
        """Show a session. ``size`` is the session's own, so that viewing it does not change it."""
        if key != self._key:
            self._key = key
            run_in_background(self, partial(self._fetch, key, size), "preview", group="preview", exclusive=True)

    async def _fetch(self, key: SessionKey | None, size: TermSize) -> None:
        """Fetch a single frame, because the picture does not move."""
        self._grid = Grid()
        if key is not None:
            try:
                async with await connection.view(key.guest, key.session, size) as stream:
                    while not isinstance(message := await stream.receive(), FrameData):
                        pass
                    self._grid.apply(decode_frame(message.frame))
            except (CcvmError, msgspec.DecodeError):
                self._grid = Grid()
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw the cells as the terminal does, without Textual's styles."""
        left = self.content_region.x - self.region.x
        lines = [self._strip(row) for row in range(crop.y, crop.bottom)]
        if left:  # the border
            edge = Strip([Segment("│" + " " * (left - 1), inks_of(self).ink("line", "panel"))], left)
            return [Strip.join([edge, line]) for line in lines]
        return lines

    def _strip(self, row: int) -> Strip:
        painter, grid = self._painter, self._grid
        if painter is None:
            return Strip.blank(self.size.width)
        painter.width = self.size.width
        painter.origin = self.content_region.x
        last = max((number for number, line in enumerate(grid.lines) if line.runs), default=0)
        at = row + max(0, last + 1 - self.size.height)
        return painter.strip(grid.lines[at] if at < len(grid.lines) else EMPTY)
