"""The host terminal: its colours and cells, direct painting, and the cursor and modes of the focused session.

Rows of a focused session are painted directly, without Textual's update timer, if nothing covers them: the echo of a
key must not wait for the next sixtieth of a second. Textual's compositor stores no cells. It queries the widget again
whenever it draws, so both ways show the same.

Sources: xterm's ctlseqs (OSC 10 to 12, CSI 16 t); the colour scheme reports of Contour (CSI ? 997 ; n n).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from textual.app import App
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.guest import DEFAULT_CELL, UNKNOWN_COLOURS, TermColours
from ccvm_tui.terminal.cells import DEFAULT_COLOUR, Cursor, CursorShape
from ccvm_tui.tui.terminal_io import internals
from ccvm_tui.tui.terminal_io.driver import HostDriver
from ccvm_tui.tui.terminal_io.style_book import StyleBook

SYNC_BEGIN = "\x1b[?2026h"
SYNC_END = "\x1b[?2026l"
HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"

_DECSCUSR = {CursorShape.BLOCK: 1, CursorShape.UNDERLINE: 3, CursorShape.BAR: 5, CursorShape.HOLLOW: 1}


@dataclass(frozen=True, slots=True)
class FocusedState:
    """The state that the host terminal takes from the focused session.

    ``cursor`` is relative to the widget, and None hides it. ``kitty`` and ``other_keys`` are the keyboard modes that
    the program has requested, ``all_motion`` is true if it wants mouse motion without a button.
    """

    cursor: Cursor | None = None
    cursor_colour: int = DEFAULT_COLOUR
    kitty: int = 0
    other_keys: int = 0
    all_motion: bool = False


class HostTerminal:
    """The host terminal of one app. Its cursor belongs to the widget of the focused session, or to none.

    ``cell`` is the width and height of a cell in pixels. ``colours`` are those that the terminal has reported.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self.cell = DEFAULT_CELL
        self.colours = self._reported = UNKNOWN_COLOURS
        self._owner: Widget | None = None
        self._state = FocusedState()
        self._visible = False
        self._shape = (0, DEFAULT_COLOUR)

    @property
    def _driver(self) -> HostDriver | None:
        driver = internals.driver_of(self._app)
        return driver if isinstance(driver, HostDriver) else None

    @property
    def is_real(self) -> bool:
        """True if there is a terminal, which has a cursor of its own; false while a test or a picture is made."""
        return self._driver is not None

    def write(self, data: str) -> None:
        """Write to the terminal, if there is one."""
        if data and (driver := self._driver) is not None:
            driver.write(data)

    async def flushed(self) -> None:
        """Wait until everything written so far has reached the terminal."""
        if (driver := self._driver) is not None:
            await driver.flushed()

    # --- reports -------------------------------------------------------------------------------------------

    def set_cell(self, cell: tuple[int, int]) -> bool:
        """Set the size of a cell, unless it is unknown (zeros). Return whether it has changed."""
        if not all(cell) or cell == self.cell:
            return False
        self.cell = cell
        return True

    def handle_report(self, kind: str, text: str) -> bool:
        """Handle a report about colours or cells. Return whether ``cell`` or ``colours`` have changed.

        Colours are used once the last of them was reported, which is when the terminal reports its device attributes.
        A program that is notified of a light terminal queries its colours immediately.
        """
        if (cell := cell_of(kind, text)) is not None:
            return self.set_cell(cell)
        if kind == "?c":
            before, self.colours = self.colours, self._reported
            return self.colours != before
        owns_cursor = self._shape[1] == DEFAULT_COLOUR  # else the report is of a colour that a program has set
        before, self._reported = self._reported, colours_with(self._reported, kind, text, cursor=owns_cursor)
        if kind == "?n" and before.dark is not None and self._driver is not None:  # its other colours have changed too
            self._driver.query_colours()
        return False

    def style_book(self) -> StyleBook:
        """Return a book of styles for the terminal's number of colours and the app's theme."""
        app = self._app
        system = COLOR_SYSTEMS.get(app.console.color_system or "") if self.is_real else ColorSystem.TRUECOLOR
        variables = app.theme_variables
        foreground, background = variables.get("foreground", "#c8d0d9"), variables.get("background", "#12161b")
        book = StyleBook(system, foreground, background, app.ansi_theme)
        if not app.current_theme.dark:
            book.marks |= {"selection": ("#1b2128", "#bcd3e3"), "cursor": (background, foreground)}
        return book

    # --- direct painting -----------------------------------------------------------------------------------

    def can_paint(self, widget: Widget) -> bool:
        """Return whether rows of ``widget`` can be painted directly: nothing covers it, and no layout is pending."""
        if self._driver is None or not internals.is_uncovered(widget):
            return False
        region = widget.content_region
        return bool(region) and region.size == widget.size

    def paint(self, widget: Widget, rows: Sequence[tuple[int, Strip]], state: FocusedState | None) -> None:
        """Paint rows of ``widget`` directly. ``state`` is that of the session if it has the focus, else None."""
        if state is not None:
            self._take(widget, state)
        if not rows:
            self.write(self.cursor_restored())
            return
        region, console = widget.content_region, self._app.console
        synchronized = internals.uses_synchronized_output(self._app)
        out = [SYNC_BEGIN if synchronized else "", self.cursor_hidden()]
        for row, strip in rows:
            out.append(f"\x1b[{region.y + row + 1};{region.x + 1}H")
            out.append(strip.render(console))
        out.append(self.cursor_restored())
        if synchronized:
            out.append(SYNC_END)
        self.write("".join(out))

    # --- the focused session -------------------------------------------------------------------------------

    def focus(self, widget: Widget, state: FocusedState) -> None:
        """Take over the state of the focused session, unless it is covered by a dialog since before it was focused."""
        if widget is self._owner or widget.screen is self._app.screen:
            self._take(widget, state)
            self.write(self.cursor_restored())

    def _take(self, widget: Widget, state: FocusedState) -> None:
        self._owner, self._state = widget, state
        if (driver := self._driver) is not None:
            driver.request_keyboard(state.kitty, state.other_keys)
            driver.request_all_motion(state.all_motion)

    def release(self, widget: Widget) -> None:
        """Restore cursor and modes, if ``widget`` was the one that had the focus."""
        if self._owner is not widget:
            return
        self._owner, self._state = None, FocusedState()
        if (driver := self._driver) is not None:
            driver.request_keyboard(0, 0)
            driver.request_all_motion(False)
            self.write(self.cursor_hidden() + self._shaped(0, DEFAULT_COLOUR))

    def reset(self) -> None:
        """Forget the cursor, because another program has used the terminal."""
        self._visible = False
        self._shape = (0, DEFAULT_COLOUR)

    # --- the cursor ----------------------------------------------------------------------------------------

    def cursor_hidden(self) -> str:
        """Hide the cursor while cells are drawn. Return the sequence to write, empty if the cursor is hidden."""
        if not self._visible:
            return ""
        self._visible = False
        return HIDE_CURSOR

    def cursor_restored(self) -> str:
        """Show the cursor of the focused session. Return the sequence to write."""
        owner, cursor = self._owner, self._state.cursor
        if owner is None or cursor is None or owner.screen is not self._app.screen:
            return self.cursor_hidden()
        region = owner.content_region
        shape = _DECSCUSR.get(CursorShape(cursor.shape), 1) + (0 if cursor.blink else 1)
        out = self._shaped(shape, self._state.cursor_colour)
        out += f"\x1b[{region.y + cursor.y + 1};{region.x + cursor.x + 1}H"
        if not self._visible:
            self._visible = True
            out += SHOW_CURSOR
        return out

    def _shaped(self, shape: int, colour: int) -> str:
        if (shape, colour) == self._shape:
            return ""
        old_colour = self._shape[1]
        self._shape = (shape, colour)
        out = f"\x1b[{shape} q"
        if colour != old_colour:
            out += f"\x1b]12;#{colour & 0xFFFFFF:06x}\x1b\\" if colour >= 0 else "\x1b]112\x1b\\"
        return out


# --- parsing reports --------------------------------------------------------------------------------------------

_RGB = re.compile(r"rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})(/[0-9a-fA-F]{1,4})?")
_HASH = re.compile(r"#([0-9a-fA-F]{6})")
_CELL = re.compile(r"6;([0-9]{1,4});([0-9]{1,4})")
_DARK = {"997;1": True, "997;2": False}


def colour_of(text: str) -> int | None:
    """Return 0xrrggbb for ``rgb:12/34/56``, with 1 to 4 digits each, or ``#123456``; None for any other text."""
    if match := _RGB.fullmatch(text):
        red, green, blue = (int(part, 16) * 255 // int("f" * len(part), 16) for part in match.groups()[:3])
        return red << 16 | green << 8 | blue
    if match := _HASH.fullmatch(text):
        return int(match[1], 16)
    return None


def colours_with(known: TermColours, kind: str, text: str, *, cursor: bool) -> TermColours:
    """Return ``known`` updated with a report. A report about the cursor's colour is ignored unless ``cursor``."""
    if kind == "?n" and text in _DARK:
        return replace(known, dark=_DARK[text])
    number, _, rest = text.partition(";")
    if kind != "osc" or (colour := colour_of(rest)) is None:
        return known
    match number:
        case "10":
            return replace(known, foreground=colour)
        case "11":
            return replace(known, background=colour)
        case "12" if cursor:
            return replace(known, cursor=colour)
    return known


def cell_of(kind: str, text: str) -> tuple[int, int] | None:
    """Return width and height of a cell in pixels from the reply to CSI 16 t, or None for any other report."""
    match = _CELL.fullmatch(text) if kind == "t" else None
    return (int(match[2]), int(match[1])) if match else None
