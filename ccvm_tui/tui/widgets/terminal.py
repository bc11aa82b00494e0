"""A session's live screen: frames drawn, keys and mouse passed in. The heart of the dashboard.

Frames are drawn past Textual's update timer, straight to the outer terminal, whenever nothing lies above this
widget: an echoed key must not wait for the next sixtieth of a second. Textual's compositor remembers no cells, it
asks the widget again whenever it draws; so both ways always show the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import Exited
from ccvm_tui.terminal.cells import Cursor, Frame, Mode
from ccvm_tui.terminal.keys import PRESS, Stroke
from ccvm_tui.text import plain
from ccvm_tui.tui import workers
from ccvm_tui.tui.attention import SessionKey
from ccvm_tui.tui.grid import EMPTY, Grid, Line, Mark, Painter, window
from ccvm_tui.tui.guest_input import GuestInput
from ccvm_tui.tui.live import Live
from ccvm_tui.tui.outer_screen import OuterScreen, outer_of
from ccvm_tui.tui.reading import Reading
from ccvm_tui.tui.selection import Selection
from ccvm_tui.tui.strokes import key_name, stroke_of
from ccvm_tui.tui.widgets.terminal_mouse import TerminalMouse

LEAVING = {"enter": "close", "escape": "close", "q": "close", "space": "close", "ctrl+c": "close", "r": "again"}
"""What keys do once the session has ended."""

UNAWARE = 0.5
"""Seconds after the end for which keys were still meant for the program."""


class Terminal(TerminalMouse, Widget, can_focus=True):
    """Shows ``key``'s session while mounted. ``reading`` is set while the scrollback is read."""

    DEFAULT_CSS = "Terminal { width: 1fr; height: 1fr; }"

    @dataclass
    class Changed(Message):
        """Title, history or mode changed: the pane's line above shows it."""

        terminal: Terminal

    @dataclass
    class Resized(Message):
        """The layout gave the terminal another size, and the session is about to hear of it."""

        terminal: Terminal

    @dataclass
    class Left(Message):
        """The session has ended, and the user has read its last screen: ``what`` is "close" or "again"."""

        terminal: Terminal
        what: str

    @dataclass
    class Selected(Message):
        """The user finished selecting with the mouse or asked for a copy: fetch and copy it."""

        terminal: Terminal
        selection: Selection

    @dataclass
    class NeedsLines(Message):
        """The reader wants lines of the scrollback."""

        terminal: Terminal
        first: int
        count: int

    @dataclass
    class LinkClicked(Message):
        terminal: Terminal
        address: str

    def __init__(self, key: SessionKey, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.key = key
        self.grid = Grid()
        self.reading: Reading | None = None
        self.selection: Selection | None = None
        self.trouble = ""
        self.ended: Exited | None = None
        self._over = asyncio.Event()
        self._ended_at = 0.0
        self._left = False
        self._strips: dict[int, Strip] = {}
        self.left = self.up = 0
        self._painter: Painter | None = None
        self._live: Live | None = None
        self.guest_input = GuestInput(self.grid)
        self.dragging = False
        self._told = ("", 0, 0)
        self._outer: OuterScreen = outer_of(self.app)

    # --- life ----------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._painter = Painter(self._outer.style_book())
        self.call_after_refresh(self._connect)

    def _connect(self) -> None:
        self._live = Live(self.key, self, self._term_size(), self._outer.colours)
        workers.start(self, self._live.run, f"view of {self.key}", "view")

    def on_unmount(self) -> None:
        self._outer.leave(self)

    def _term_size(self) -> TermSize:
        cell = self.guest_input.cell = self._outer.cell
        return TermSize(max(1, self.size.width), max(1, self.size.height)).with_cell(cell)

    def outer_changed(self) -> None:
        """The outer terminal has other colours, or cells of another size."""
        if self._live is not None:
            self._live.recolour(self._outer.colours)
            self._live.resize(self._term_size())

    def on_resize(self, event: events.Resize) -> None:
        self._strips.clear()
        self.left = self.up = 0
        self._scrolled_window()
        if self._live is not None and self.size.width > 1:
            self._live.resize(self._term_size())
            self.post_message(self.Resized(self))
        if self.reading is not None:
            self.reading.resized(self.size.height, self.size.width)
        self._place_cursor()

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._focus_report(has_focus)
        if has_focus:
            self._place_cursor()
        else:
            self._outer.leave(self)
        self._redraw_cursor()

    def _redraw_cursor(self) -> None:
        """A cursor that is drawn as a cell comes and goes with the focus."""
        if self.reading is not None or not self._outer.real:
            self._strips.clear()
            self.refresh()

    def outer_focus(self, gained: bool) -> None:
        """The outer terminal gained or lost the focus; the program is told if this is the focused session."""
        if self.has_focus:
            self._focus_report(gained)

    def _focus_report(self, gained: bool) -> None:
        if self.grid.modes.has(Mode.FOCUS_EVENTS):
            self.send(b"\x1b[I" if gained else b"\x1b[O")

    # --- what the stream brings ----------------------------------------------------------------------------

    async def drawn(self) -> None:
        """Returns once the outer terminal has what was drawn."""
        await self._outer.flushed()

    def show_frame(self, frame: Frame) -> None:
        before, cols = self.grid.modes, self.grid.cols
        changed = self.grid.apply(frame)
        assert self._painter is not None
        if self._painter.book.program_colours(self.grid.colours, reverse=self.grid.modes.has(Mode.REVERSE_SCREEN)):
            changed = set(range(self.grid.rows))
        if self.trouble:
            self.trouble = ""
            changed = set(range(self.grid.rows))
        if self.reading is None:
            if self._scrolled_window():
                self._strips.clear()
                changed = set(range(self.size.height))
            rows = {row - self.up for row in changed}
            for row in rows:
                self._strips.pop(row, None)
            self._show(rows)
        else:
            (self.reading.reflowed if self.grid.cols != cols else self.reading.forgetting)()
        if self.selection is not None and self.reading is None and changed:
            self._drop_touched_selection(changed)
        told = (frame.title, frame.history, frame.modes.flags & Mode.ALTERNATE_SCREEN)
        if told != self._told:
            self._told = told
            self.post_message(self.Changed(self))
        if before != self.grid.modes:
            self._outer.modes_changed(self)

    def show_end(self, end: Exited) -> None:
        self.ended = end
        self._ended_at = time.monotonic()
        self._over.set()
        self._outer.leave(self)
        self.post_message(self.Changed(self))

    async def told_end(self, within: float) -> Exited | None:
        """How the session ended; None when that was not told ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._over.wait()
        return self.ended

    def show_trouble(self, text: str) -> None:
        self.trouble = plain(text)
        self._over.set()
        self._outer.leave(self)
        self._strips.clear()
        self.refresh()
        self.post_message(self.Changed(self))

    def _drop_touched_selection(self, changed: set[int]) -> None:
        """A selection on rows that the program has just overwritten would lie."""
        selection = self.selection
        if selection is None or self.dragging:
            return
        touched = {self.grid.top + row for row in changed}
        if any(selection.first.line <= line <= selection.last.line for line in touched):
            self.selection = None
            self.repaint_all()

    def _scrolled_window(self) -> bool:
        """Where the session is larger than the widget, show the part with the cursor. True when that moved."""
        cursor, size = self.grid.cursor, self.size
        left = window(self.left, cursor.x, size.width, self.grid.cols)
        up = window(self.up, cursor.y, size.height, self.grid.rows)
        moved = (left, up) != (self.left, self.up)
        self.left, self.up = left, up
        return moved

    # --- drawing -------------------------------------------------------------------------------------------

    def _show(self, rows: set[int]) -> None:
        """Draw ``rows`` at once where that is possible, else let Textual do it."""
        height = self.size.height
        wanted = sorted(row for row in rows if 0 <= row < height)
        cursor = self._wanted_cursor()
        if not self._outer.paint(self, wanted, cursor) and wanted:
            self.refresh(*(Region(0, row, self.size.width, 1) for row in wanted))
            self._outer.place(self, cursor)

    def new_theme(self) -> None:
        if self._painter is not None:
            self._painter.book = self._outer.style_book()
            self.repaint_all()

    def repaint_all(self) -> None:
        self._strips.clear()
        self.refresh()
        self._place_cursor()

    def strip_at(self, row: int) -> Strip:
        """The strip of a row of the widget."""
        strip = self._strips.get(row)
        if strip is None:
            painter = self._painter
            assert painter is not None
            painter.width = self.size.width
            painter.origin = self.content_region.x
            number, line = self.line_at(row)
            left = 0 if self.reading is not None else self.left
            strip = painter.strip(line, left, self._marks(row, number, line))
            self._strips[row] = strip
        return strip

    def line_at(self, row: int) -> tuple[int, Line]:
        """The absolute number and the cells of the line in a row of the widget."""
        if self.reading is not None:
            number = self.reading.top + row
            return number, self.reading.line(number)
        at = row + self.up
        return self.grid.top + at, self.grid.lines[at] if 0 <= at < len(self.grid.lines) else EMPTY

    def lines_at_hand(self) -> dict[int, Line]:
        """The lines that need not be fetched, by absolute number."""
        if self.reading is not None:
            return self.reading.lines
        return {self.grid.top + row: line for row, line in enumerate(self.grid.lines)}

    def _marks(self, row: int, number: int, line: Line) -> list[Mark]:
        marks: list[Mark] = []
        if self.reading is not None:
            marks += self.reading.marks(number)
        if self.selection is not None and (span := self.selection.span(number, line)) is not None:
            marks.append(Mark(span[0], min(span[1], self.left + self.size.width), "selection"))
        cursor = self._drawn_cursor()
        if cursor is not None and cursor[1] == row:
            marks.append(Mark(cursor[0], cursor[0] + 1, "cursor"))
        return marks

    def _drawn_cursor(self) -> tuple[int, int] | None:
        """Where a cursor is drawn as a cell: where there is no real one to show (pictures, reading)."""
        if self.reading is not None:
            point = self.reading.cursor
            return (point.column, point.line - self.reading.top) if self.has_focus else None
        cursor = self.grid.cursor
        if self._outer.real or not cursor.visible or not self.has_focus:
            return None
        return cursor.x, cursor.y - self.up

    def render_lines(self, crop: Region) -> list[Strip]:
        """Straight from the cells: no border, padding or filter is between them and the outer terminal."""
        if self._strips and self._painter is not None and self._painter.origin != self.content_region.x:
            self._strips.clear()
        if self._painter is None or not self.size:
            return [Strip.blank(crop.width)] * crop.height
        strips = [self.strip_at(row) for row in range(crop.y, crop.bottom)]
        if (crop.x, crop.width) != (0, self.size.width):
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        return self.strip_at(y)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def _wanted_cursor(self) -> Cursor | None:
        """The real cursor, relative to the widget; None hides it."""
        cursor = self.grid.cursor
        if self.reading is not None or self.trouble or self.ended or not cursor.visible:
            return None
        x, y = cursor.x - self.left, cursor.y - self.up
        if not (0 <= x < self.size.width and 0 <= y < self.size.height):
            return None
        return Cursor(x, y, True, cursor.shape, cursor.blink)

    def _place_cursor(self) -> None:
        self._outer.place(self, self._wanted_cursor())

    # --- input ---------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if data and self._live is not None and self.ended is None:
            self._live.type(data)

    def take_stroke(self, stroke: Stroke) -> None:
        """A key for the program (or for the reader, while the scrollback is read)."""
        if self.ended is not None:
            aware = time.monotonic() - self._ended_at > UNAWARE and stroke.action == PRESS
            if aware and not self._left and (what := LEAVING.get(key_name(stroke))):
                self._left = True
                self.post_message(self.Left(self, what))
            return
        if self.reading is not None and self.reading.takes(stroke):
            self.reading.stroke(stroke)
            return
        self.leave_scrollback()
        if self.selection is not None:
            self.selection = None
            self.repaint_all()
        self.send(self.guest_input.stroke(stroke))

    def take_paste(self, data: bytes) -> None:
        if self.reading is None or self.reading.glancing:
            self.leave_scrollback()
            self.send(self.guest_input.paste(data))
        else:
            self.notify("Pasting is for the program: q goes back to it", timeout=3, markup=False)

    def on_key(self, event: events.Key) -> None:
        """Keys that come as Textual events: from tests, and from drivers that know no strokes."""
        event.stop()
        event.prevent_default()
        self.take_stroke(stroke_of(event.key, event.character))

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.take_paste(event.text.encode())

    # --- scrollback ----------------------------------------------------------------------------------------

    def read_scrollback(self, scroll: int = 0, *, glancing: bool = False) -> None:
        """Begin to read what scrolled away; new output goes on beneath, unseen. Typing ends a mere glance."""
        if self.ended is not None:
            return  # its history went with it
        if self.reading is None:
            self.reading = Reading(self, self.grid, self.size.height, self.size.width)
            self.reading.glancing = glancing
            self.post_message(self.Changed(self))
        self.reading.glancing &= glancing
        if scroll:
            self.reading.wheel(scroll)
        self.repaint_all()

    def leave_scrollback(self) -> None:
        if self.reading is not None:
            self.reading = None
            self.selection = None
            self._scrolled_window()
            self.repaint_all()
            self.post_message(self.Changed(self))
