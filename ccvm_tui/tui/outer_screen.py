"""What the focused session needs of the outer terminal: cells at once, the real cursor, the key and mouse modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from textual.app import App
from textual.errors import NoWidget
from textual.widget import Widget

from ccvm_tui.guest import DEFAULT_CELL, UNKNOWN_COLOURS
from ccvm_tui.terminal.cells import DEFAULT_COLOUR, Cursor, CursorShape
from ccvm_tui.tui.driver import OuterDriver
from ccvm_tui.tui.outer_reports import cell_of, colours_with
from ccvm_tui.tui.strips import StyleBook

if TYPE_CHECKING:
    from ccvm_tui.tui.widgets.terminal import Terminal

SYNC_BEGIN = "\x1b[?2026h"
SYNC_END = "\x1b[?2026l"
HIDE_CURSOR = "\x1b[?25l"

_DECSCUSR = {CursorShape.BLOCK: 1, CursorShape.UNDERLINE: 3, CursorShape.BAR: 5, CursorShape.HOLLOW: 1}


class OuterScreen:
    """One per app. The cursor belongs to the terminal widget that has the focus, or to nobody.

    ``cell`` and ``colours`` are what is known of the outer terminal.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self.cell = DEFAULT_CELL
        self.colours = self._heard = UNKNOWN_COLOURS
        self._owner: Terminal | None = None
        self._cursor: Cursor | None = None
        self._visible = False
        self._shape = (0, DEFAULT_COLOUR)

    @property
    def _driver(self) -> OuterDriver | None:
        driver = self._app._driver
        return driver if isinstance(driver, OuterDriver) else None

    @property
    def real(self) -> bool:
        """Whether a terminal is there that has a cursor of its own."""
        return self._driver is not None

    async def flushed(self) -> None:
        """Returns once everything written has reached the outer terminal."""
        if (driver := self._driver) is not None:
            await driver.flushed()

    def measured(self, cell: tuple[int, int]) -> bool:
        """The terminal's cells have this size, zeros if it does not tell; returns whether it is another one."""
        if not all(cell) or cell == self.cell:
            return False
        self.cell = cell
        return True

    def told(self, kind: str, text: str) -> bool:
        """The terminal told something about itself (see `outer_reports`); returns whether that changed anything.

        Colours count once the last of them was told, which is when it says what device it is: a program that hears
        of a light terminal asks for its colours at once.
        """
        if (cell := cell_of(kind, text)) is not None:
            return self.measured(cell)
        if kind == "?c":
            before, self.colours = self.colours, self._heard
            return self.colours != before
        owns_cursor = self._shape[1] == DEFAULT_COLOUR  # else it tells the colour that a program's cursor has
        known, self._heard = self._heard, colours_with(self._heard, kind, text, cursor=owns_cursor)
        if kind == "?n" and known.dark is not None and self._driver is not None:  # it has other colours, too
            self._driver.ask_colours()
        return False

    def style_book(self) -> StyleBook:
        variables = self._app.theme_variables
        system = self._app.console._color_system if self.real else ColorSystem.TRUECOLOR
        foreground, background = variables.get("foreground", "#c8d0d9"), variables.get("background", "#12161b")
        book = StyleBook(system, foreground, background, self._app.ansi_theme)
        if not self._app.current_theme.dark:
            book.marks |= {"selection": ("#1b2128", "#bcd3e3"), "cursor": (background, foreground)}
        return book

    # --- drawing at once -----------------------------------------------------------------------------------

    def paint(self, terminal: Terminal, rows: list[int], cursor: Cursor | None) -> bool:
        """Draw rows of ``terminal`` now. False when something may lie above it, or a layout is under way."""
        driver = self._driver
        app = self._app
        if driver is None or app._batch_count or not self._uncovered(terminal):
            return False
        region = terminal.content_region
        if region.size != terminal.size or not region:
            return False
        out: list[str] = []
        if rows:
            if app._sync_available:
                out.append(SYNC_BEGIN)
            out.append(self.hidden())
            console = app.console
            for row in rows:
                out.append(f"\x1b[{region.y + row + 1};{region.x + 1}H")
                out.append(terminal.strip_at(row).render(console))
        if terminal.has_focus:
            self._owner, self._cursor = terminal, cursor
        out.append(self.restored())
        if rows and app._sync_available:
            out.append(SYNC_END)
        driver.write("".join(out))
        return True

    def _uncovered(self, terminal: Terminal) -> bool:
        screen = terminal.screen
        if screen is not self._app.screen or screen._layout_required or not terminal.is_attached:
            return False
        compositor = screen._compositor
        try:
            mine, clip = compositor.visible_widgets[terminal]
        except (KeyError, NoWidget):
            return False
        if not clip.contains_region(mine):
            return False
        for widget, (region, widget_clip) in compositor.visible_widgets.items():
            if widget is terminal:
                return True
            if region.intersection(widget_clip).overlaps(mine) and not _is_around(widget, terminal):
                return False
        return False

    # --- the cursor ----------------------------------------------------------------------------------------

    def place(self, terminal: Terminal, cursor: Cursor | None) -> None:
        """The focused terminal's cursor moved."""
        if terminal.has_focus and terminal.screen is self._app.screen:
            self._owner, self._cursor = terminal, cursor
            self.modes_changed(terminal)
            self._write(self.restored())

    def leave(self, terminal: Terminal) -> None:
        """``terminal`` is no longer the one that has the keys."""
        if self._owner is terminal:
            self._owner = self._cursor = None
            driver = self._driver
            if driver is not None:
                driver.keyboard(0, 0)
                driver.report_all_motion(False)
                self._write(self.hidden() + self._shaped(0, DEFAULT_COLOUR))

    def modes_changed(self, terminal: Terminal) -> None:
        driver = self._driver
        if driver is not None and terminal is self._owner:
            driver.keyboard(terminal.grid.modes.kitty, terminal.grid.modes.other_keys)
            driver.report_all_motion(terminal.grid.modes.mouse == 1003)

    def hidden(self) -> str:
        """Hides the cursor while cells are drawn; empty when it is hidden already."""
        if not self._visible:
            return ""
        self._visible = False
        return HIDE_CURSOR

    def restored(self) -> str:
        """Puts the cursor where it belongs."""
        owner, cursor = self._owner, self._cursor
        if owner is None or cursor is None or owner.screen is not self._app.screen:
            return self.hidden()
        region = owner.content_region
        shape = _DECSCUSR.get(CursorShape(cursor.shape), 1) + (0 if cursor.blink else 1)
        out = self._shaped(shape, owner.grid.colours.cursor)
        out += f"\x1b[{region.y + cursor.y + 1};{region.x + cursor.x + 1}H"
        if not self._visible:
            self._visible = True
            out += "\x1b[?25h"
        return out

    def _shaped(self, shape: int, colour: int) -> str:
        if (shape, colour) == self._shape:
            return ""
        old_colour = self._shape[1]
        self._shape = (shape, colour)
        out = f"\x1b[{shape} q"
        if colour != old_colour:
            own = colour >= 0
            out += f"\x1b]12;#{colour & 0xFFFFFF:06x}\x1b\\" if own else "\x1b]112\x1b\\"
        return out

    def forget(self) -> None:
        """The terminal was another's meanwhile: nothing is known of its cursor."""
        self._visible = False
        self._shape = (0, DEFAULT_COLOUR)

    def _write(self, data: str) -> None:
        if data and (driver := self._driver) is not None:
            driver.write(data)


def _is_around(widget: Widget, inner: Widget) -> bool:
    return widget in inner.ancestors


def outer_of(app: App[Any]) -> OuterScreen:
    """The app's; apps that have none (in tests of a single widget) get one."""
    found = getattr(app, "outer", None)
    return found if isinstance(found, OuterScreen) else OuterScreen(app)
