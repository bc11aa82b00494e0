"""A still picture of a session's screen: its text and colours, no input, and no size of its own."""

from __future__ import annotations

import msgspec
from rich.segment import Segment
from textual import work
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.client import connection
from ccvm_tui.errors import CcvmError
from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import FrameData
from ccvm_tui.terminal.cells import decode_frame
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.grid import EMPTY, Grid, Painter
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.outer_screen import outer_of


class Preview(Widget):
    def __init__(self) -> None:
        super().__init__()
        self._key: SessionKey | None = None
        self._grid = Grid()
        self._painter: Painter | None = None

    def on_mount(self) -> None:
        self._painter = Painter(outer_of(self.app).style_book())

    def show(self, key: SessionKey | None, size: TermSize = TermSize()) -> None:  # noqa: B008 - it is frozen
        """The session's picture; ``size`` is the session's own, so that looking changes nothing in it."""
        if key != self._key:
            self._key = key
            self._look(key, size)

    @work(exclusive=True)
    async def _look(self, key: SessionKey | None, size: TermSize) -> None:
        """One frame is enough: the picture need not move."""
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
        """Straight from the cells, as the terminal itself."""
        left = self.content_region.x - self.region.x
        lines = [self._row(row) for row in range(crop.y, crop.bottom)]
        if left:  # the border
            edge = Strip([Segment("│" + " " * (left - 1), inks_of(self).ink("line", "panel"))], left)
            return [Strip.join([edge, line]) for line in lines]
        return lines

    def _row(self, y: int) -> Strip:
        painter, grid = self._painter, self._grid
        if painter is None:
            return Strip.blank(self.size.width)
        painter.width = self.size.width
        painter.origin = self.content_region.x
        last = max((row for row, line in enumerate(grid.lines) if line.runs), default=0)
        above = max(0, last + 1 - self.size.height)
        row = y + above
        return painter.strip(grid.lines[row] if row < len(grid.lines) else EMPTY)
