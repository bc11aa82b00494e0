"""A session's terminal: frames are drawn, keys and mouse events are sent to the program or used for copy mode.

Frames are painted directly, past Textual's update timer, if nothing covers the widget (see ``HostTerminal``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.guest import TermSize
from ccvm_tui.protocol import Exited
from ccvm_tui.terminal.cells import Frame, Mode
from ccvm_tui.terminal.keys import Stroke
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.last_screen_keys import LastScreenKeys
from ccvm_tui.tui.model.grid import Grid, Line
from ccvm_tui.tui.model.key_names import stroke_of
from ccvm_tui.tui.model.pending_keys import Typed
from ccvm_tui.tui.model.scrollback import CopyMode, Intent, Match
from ccvm_tui.tui.model.session_stream import GuestInput, SessionStream
from ccvm_tui.tui.model.sessions import SessionKey
from ccvm_tui.tui.model.text_selection import Shape, TextSelection
from ccvm_tui.tui.model.viewport import Viewport
from ccvm_tui.tui.terminal_io.app import host_of
from ccvm_tui.tui.terminal_io.host_terminal import FocusedState
from ccvm_tui.tui.terminal_io.mouse_events import button_code
from ccvm_tui.tui.terminal_io.view_strips import ViewStrips
from ccvm_tui.tui.widgets.controls import ActionRequested, run_in_background
from ccvm_tui.tui.widgets.edge_scroll import EdgeScroll

WHEEL_LINES = 3
"""The number of lines that one step of the mouse wheel scrolls."""


class Terminal(Widget, can_focus=True):
    """The terminal of the session ``key``, which is connected while the widget is mounted.

    ``trouble`` is why no frames are received, or empty. ``ended`` is the end of the session, or None.
    """

    DEFAULT_CSS = "Terminal { width: 1fr; height: 1fr; }"

    @dataclass
    class Changed(Message):
        """The title, the scrollback, the mode or the state of the connection has changed."""

    @dataclass
    class CopyModeToggled(Message):
        """Copy mode was entered or left, or has become active."""

    @dataclass
    class Resized(Message):
        """The layout has changed the terminal's size."""

    @dataclass
    class Copied(Message):
        """The user has copied the selected text."""

        terminal: Terminal
        selection: TextSelection

    @dataclass
    class LinesNeeded(Message):
        """Copy mode needs lines of the scrollback."""

        terminal: Terminal
        first: int
        count: int

    @dataclass
    class Requested(Message):
        """The user has requested something in copy mode that needs the keeper or another widget."""

        terminal: Terminal
        intent: Intent

    @dataclass
    class LinkClicked(Message):
        """The user has clicked a link."""

        address: str

    def __init__(self, key: SessionKey, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.key = key
        self.trouble = ""
        self.ended: Exited | None = None
        self.last_screen_keys: LastScreenKeys | None = None
        self._view = Viewport()
        self._input = GuestInput(self._view.grid)
        self._host = host_of(self)
        self._strips: ViewStrips | None = None
        self._stream: SessionStream | None = None
        self._over = asyncio.Event()
        self._shown_state = ("", 0, 0)
        self._program_drag = False
        self._edge_scroll = EdgeScroll(lambda seconds, tick: self.set_interval(seconds, tick), self._scroll_at_edge)

    @property
    def grid(self) -> Grid:
        """The session's screen."""
        return self._view.grid

    @property
    def copy_mode(self) -> CopyMode | None:
        """The state of copy mode, or None while the live screen is shown."""
        return self._view.copy_mode

    # --- connection ----------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Connect to the session once the layout is known."""
        self._strips = ViewStrips(self._view, self._host.style_book())
        self.call_after_refresh(self._connect)

    def _connect(self) -> None:
        self._stream = SessionStream(self.key, self, self._term_size(), self._host.colours)
        run_in_background(self, self._stream.run, f"view of {self.key}", group="view")

    def on_unmount(self) -> None:
        """Return the host terminal's cursor and modes."""
        self._host.release(self)

    def _term_size(self) -> TermSize:
        cell = self._input.cell = self._host.cell
        return TermSize(max(1, self.size.width), max(1, self.size.height)).with_cell(cell)

    def host_changed(self) -> None:
        """Send the colours and the cell size of the host terminal, which have changed."""
        if self._stream is not None:
            self._stream.recolour(self._host.colours)
            self._stream.resize(self._term_size())

    def on_resize(self, event: events.Resize) -> None:
        """Adapt the view, and send the size to the session."""
        self._view.resize(self.size.height, self.size.width)
        if self._strips is not None:
            self._strips.forget_all()  # frames that arrived while there was no space have changed rows
        if self._stream is not None and self.size.width > 1:
            self._stream.resize(self._term_size())
            self.post_message(self.Resized())
        if self.copy_mode is not None:
            self._copy_mode_changed()
        self._update_host()

    async def wait_for_end(self, timeout: float) -> Exited | None:
        """Return how the session has ended, or None if that was not reported within ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._over.wait()
        return self.ended

    # --- the stream's frames -------------------------------------------------------------------------------

    async def drawn(self) -> None:
        """Wait until the host terminal has received everything that was drawn."""
        await self._host.flushed()

    def show_frame(self, frame: Frame) -> None:
        """Draw a frame."""
        assert self._strips is not None
        rows = self._view.apply(frame)
        grid = self.grid
        recoloured = self._strips.book.set_program_colours(grid.colours, reverse=grid.modes.has(Mode.REVERSE_SCREEN))
        if recoloured or self.trouble:
            self.trouble = ""
            rows = self._view.all_rows()
        self._strips.forget(rows)
        self._draw(rows)
        if self.copy_mode is not None:
            self._request_lines()
        state = (frame.title, frame.history, frame.modes.flags & Mode.ALTERNATE_SCREEN)
        if state != self._shown_state:
            self._shown_state = state
            self.post_message(self.Changed())

    def show_end(self, end: Exited) -> None:
        """Keep the last screen."""
        self.ended = end
        self.last_screen_keys = LastScreenKeys(time.monotonic())
        self._over.set()
        self._host.release(self)
        self.post_message(self.Changed())

    def show_trouble(self, text: str) -> None:
        """Show why no more frames are received."""
        self.trouble = plain(text)
        self._over.set()
        self._host.release(self)
        self.refresh()
        self.post_message(self.Changed())

    # --- drawing -------------------------------------------------------------------------------------------

    def _draw(self, rows: Iterable[int]) -> None:
        """Paint rows directly if that is possible; if not, let Textual draw them."""
        height = self.size.height
        wanted = sorted(row for row in rows if 0 <= row < height)
        state = self._focused_state() if self.has_focus else None
        if self._host.can_paint(self):
            self._host.paint(self, list(zip(wanted, self._rows(wanted), strict=True)), state)
        elif wanted:
            self.refresh(*(Region(0, row, self.size.width, 1) for row in wanted))
            self._update_host()

    def repaint(self) -> None:
        """Draw everything again."""
        if self._strips is not None:
            self._strips.forget_all()
        self.refresh()
        self._update_host()

    def theme_changed(self) -> None:
        """Draw everything again in the colours of the new theme."""
        if self._strips is not None:
            self._strips.book = self._host.style_book()
            self.repaint()

    def _rows(self, rows: Iterable[int]) -> list[Strip]:
        assert self._strips is not None
        self._strips.place(self.size.width, self.content_region.x)
        cursor = self._drawn_cursor()
        return [self._strips.strip(row, cursor) for row in rows]

    def _drawn_cursor(self) -> tuple[int, int] | None:
        """Return column and row of a cursor that is drawn as a cell: in copy mode, and in pictures."""
        if not self.has_focus:
            return None
        if (mode := self.copy_mode) is not None:
            return mode.cursor.column, mode.cursor.line - mode.top
        cursor = self.grid.cursor
        if self._host.is_real or not cursor.visible:
            return None
        return cursor.x, cursor.y - self._view.above

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw the cells. There is no border, padding or filter between them and the host terminal."""
        if self._strips is None or not self.size:
            return [Strip.blank(crop.width)] * crop.height
        strips = self._rows(range(crop.y, crop.bottom))
        if self.copy_mode is not None:
            self._request_lines()
        if (crop.x, crop.width) != (0, self.size.width):
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        return strips

    # --- the focus -----------------------------------------------------------------------------------------

    def watch_has_focus(self, has_focus: bool) -> None:
        """Take or return the host terminal's cursor and modes, and report the focus to the program."""
        super().watch_has_focus(has_focus)
        self._report_focus(has_focus)
        if has_focus:
            self._update_host()
        else:
            self._host.release(self)
        if self.copy_mode is not None or not self._host.is_real:  # a cursor that is drawn as a cell
            self.repaint()

    def host_focus(self, gained: bool) -> None:
        """Report to the program that the host terminal has gained or lost the focus, if the session has it."""
        if self.has_focus:
            self._report_focus(gained)

    def _report_focus(self, gained: bool) -> None:
        if self.grid.modes.has(Mode.FOCUS_EVENTS):
            self.send(b"\x1b[I" if gained else b"\x1b[O")

    def _update_host(self) -> None:
        if self.has_focus:
            self._host.focus(self, self._focused_state())

    def _focused_state(self) -> FocusedState:
        if self.trouble or self.ended is not None:
            return FocusedState()
        grid, modes = self.grid, self.grid.modes
        return FocusedState(self._view.cursor, grid.colours.cursor, modes.kitty, modes.other_keys, modes.mouse == 1003)

    # --- keys ----------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send input to the program, unless the session has ended."""
        if data and self._stream is not None and self.ended is None:
            self._stream.type(data)

    def take_input(self, typed: Typed) -> None:
        """Handle a key or a paste."""
        if isinstance(typed, bytes):
            self.take_paste(typed)
        else:
            self.take_stroke(typed)

    def take_stroke(self, stroke: Stroke) -> None:
        """Handle a key: it is for copy mode, for the last screen, or for the program."""
        if self.last_screen_keys is not None:
            if (action := self.last_screen_keys.action_for(stroke, time.monotonic())) is not None:
                self.post_message(ActionRequested(action))
            return
        if (mode := self.copy_mode) is not None and mode.handles(stroke):
            self._fulfil(mode.stroke(stroke))
            return
        self.leave_copy_mode()
        if self._view.selection is not None:
            self._view.selection = None
            self.repaint()
        self.send(self._input.stroke(stroke))

    def take_paste(self, data: bytes) -> None:
        """Send a paste to the program, which is not possible in copy mode."""
        if self.copy_mode is None or self.copy_mode.passive:
            self.leave_copy_mode()
            self.send(self._input.paste(data))
        else:
            self.notify("Cannot paste in copy mode; press q to leave it", timeout=3, markup=False)

    def on_key(self, event: events.Key) -> None:
        """Handle keys that arrive as events of Textual, from tests and from other drivers."""
        event.stop()
        event.prevent_default()
        self.take_stroke(stroke_of(event.key, event.character))

    def on_paste(self, event: events.Paste) -> None:
        """Handle pastes that arrive as events of Textual."""
        event.stop()
        self.take_paste(event.text.encode())

    # --- copy mode -----------------------------------------------------------------------------------------

    def enter_copy_mode(self, scroll: int = 0, *, passive: bool = False) -> None:
        """Enter copy mode, and scroll by a number of lines. In passive mode, typing leaves it."""
        if self.ended is not None:
            return  # the keeper has dropped its scrollback
        mode = self._view.enter_copy_mode(passive=passive)
        self.post_message(self.CopyModeToggled())
        self._fulfil(mode.wheel(scroll) if scroll else None)

    def leave_copy_mode(self) -> None:
        """Return to the live screen."""
        if self._view.leave_copy_mode():
            self._copy_mode_changed()
            self.post_message(self.CopyModeToggled())

    def add_lines(self, lines: dict[int, Line]) -> None:
        """Add lines that copy mode has requested."""
        if self.copy_mode is not None:
            self.copy_mode.add_lines(lines)
            self._copy_mode_changed()

    def show_matches(self, needle: str, matches: list[Match], total: int, *, backwards: bool) -> None:
        """Show the matches of a search in copy mode."""
        if self.copy_mode is not None:
            self.copy_mode.show_matches(needle, matches, total, backwards=backwards)
            self._copy_mode_changed()

    def available_lines(self) -> dict[int, Line]:
        """Return the lines that need not be fetched, by absolute number."""
        return self._view.available_lines()

    def _fulfil(self, intent: Intent | None) -> None:
        """Fulfil what the user has asked for in copy mode, as far as the terminal can."""
        match intent:
            case Intent.LEAVE:
                self.leave_copy_mode()
                return
            case Intent.COPY if self._view.selection is not None:
                self.post_message(self.Copied(self, self._view.selection))
            case Intent.SEARCH_FORWARDS | Intent.SEARCH_BACKWARDS | Intent.SAVE:
                self.post_message(self.Requested(self, intent))
        self._copy_mode_changed()

    def _copy_mode_changed(self) -> None:
        self.repaint()
        self.post_message(self.Changed())

    def _request_lines(self) -> None:
        if self.copy_mode is not None:
            for first, count in self.copy_mode.take_requests():
                self.post_message(self.LinesNeeded(self, first, count))

    # --- mouse ---------------------------------------------------------------------------------------------

    def _is_for_program(self, event: events.MouseEvent) -> bool:
        """Return whether the program gets a mouse event: it has requested the mouse, and Shift is not held.

        A program that has received a press gets everything up to the release, even if Shift is held meanwhile.
        """
        if self._program_drag:
            return True
        return bool(self.grid.modes.mouse) and not event.shift and self.copy_mode is None and not self._view.selecting

    def _send_mouse(self, event: events.MouseEvent) -> None:
        x, y = int(event.x) + self._view.left, int(event.y) + self._view.above
        self.send(self._input.mouse(button_code(event), x, y, pressed=not isinstance(event, events.MouseUp)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Send a press to the program, or begin a selection."""
        self._program_drag = False
        if self._is_for_program(event):
            event.stop()
            self._program_drag = True
            self.focus()
            self.capture_mouse()
            self._send_mouse(event)
        elif event.button == 1:
            event.stop()
            shape = Shape.BLOCK if event.meta or event.ctrl else Shape.CHARACTERS
            self._view.begin_selection(int(event.x), int(event.y), shape)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Send a motion to the program, or extend the selection."""
        if self._is_for_program(event):
            event.stop()
            self._send_mouse(event)
        elif self._view.selecting:
            event.stop()
            self._drag_beyond_edge(-1 if event.y < 0 else 1 if event.y >= self.size.height else 0)
            if self._view.extend_selection(int(event.x), int(event.y)):
                self.repaint()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Send a release to the program, or copy the selection."""
        self.release_mouse()
        if self._is_for_program(event):
            event.stop()
            self._program_drag = False
            self._send_mouse(event)
        elif self._view.selecting:
            event.stop()
            self._edge_scroll.stop()
            if (selection := self._view.end_selection()) is not None:
                self.post_message(self.Copied(self, selection))
            else:
                self.repaint()

    def _drag_beyond_edge(self, direction: int) -> None:
        """Scroll while the pointer is above (-1) or below (1) the terminal. Dragging up enters copy mode."""
        if direction < 0 and self.copy_mode is None and self.grid.history and not self.grid.alternate:
            self.enter_copy_mode(passive=True)
        if self.copy_mode is not None:
            self._edge_scroll.turn(direction)

    def _scroll_at_edge(self, direction: int) -> None:
        if self.copy_mode is None or not self._view.selecting:
            self._edge_scroll.stop()
            return
        self.copy_mode.scroll(direction)
        column = self._view.selection.head.column if self._view.selection is not None else 0
        self._view.extend_selection(column, 0 if direction < 0 else self.size.height - 1)
        self._copy_mode_changed()

    def on_click(self, event: events.Click) -> None:
        """Follow a link, or select and copy a word or a line."""
        if self._is_for_program(event):
            return
        event.stop()
        x, y = int(event.x), int(event.y)
        if event.chain == 1 and (event.ctrl or event.meta):
            if address := self._view.link_at(x, y):
                self.post_message(self.LinkClicked(address))
        elif event.chain >= 2:
            selection = self._view.select_at(x, y, Shape.WORDS if event.chain == 2 else Shape.LINES)
            self.repaint()
            self.post_message(self.Copied(self, selection))

    def _scroll(self, event: events.MouseEvent, direction: int) -> None:
        event.stop()
        if self._is_for_program(event):
            self._send_mouse(event)
        elif self.copy_mode is not None:
            self._fulfil(self.copy_mode.wheel(direction * WHEEL_LINES))
        elif self.grid.alternate:
            self.send(self._input.wheel_as_keys(direction, WHEEL_LINES))
        elif direction < 0 and self.grid.history:
            self.enter_copy_mode(scroll=-WHEEL_LINES, passive=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll back, or send the wheel to the program."""
        self._scroll(event, -1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll forwards, or send the wheel to the program."""
        self._scroll(event, 1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft | events.MouseScrollRight) -> None:
        """Send the wheel to the program."""
        if self._is_for_program(event):
            self._send_mouse(event)

    on_mouse_scroll_right = on_mouse_scroll_left
