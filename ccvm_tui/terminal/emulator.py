"""A terminal emulator: turns a program's output into a screen, scrollback, modes, replies and events."""

from typing import Final

from ccvm_tui import __version__
from ccvm_tui.guest import DEFAULT_CELL, TermColours, TermSize
from ccvm_tui.terminal import engine, snapshot
from ccvm_tui.terminal.callbacks import Callbacks, Outbox
from ccvm_tui.terminal.cells import Colours, Cursor, CursorShape, Frame, Lines, Match, Mode, Modes, Row, Style
from ccvm_tui.terminal.engine import Handle, check, ffi, lib
from ccvm_tui.terminal.formatter import Pen, format_lines, read_pen
from ccvm_tui.terminal.history import Numbering, linked_cells, read_lines, read_text, search
from ccvm_tui.terminal.other_keys import OtherKeys
from ccvm_tui.terminal.rows import RowReader

_DARK: Final = (0xD8D8D8, 0x101010)
_LIGHT: Final = (0x202020, 0xF8F8F8)
"""Assumed foreground and background of terminals that do not report their colours."""

SCROLLBACK: Final = 10_000
"""Lines of scrollback that are kept by default."""

FEED_MAX: Final = 64 * 1024
"""Bytes that are fed to the library in one call."""

TITLE_MAX: Final = 1024
"""Characters of a title that are returned."""

_FLAGS: Final[tuple[tuple[Mode, int, bool], ...]] = (
    (Mode.APPLICATION_CURSOR, 1, False),
    (Mode.APPLICATION_KEYPAD, 66, False),
    (Mode.BRACKETED_PASTE, 2004, False),
    (Mode.FOCUS_EVENTS, 1004, False),
    (Mode.REVERSE_SCREEN, 5, False),
    (Mode.ALTERNATE_SCROLL, 1007, False),
    (Mode.BACKARROW_SENDS_BS, 67, False),
    (Mode.ALT_SENDS_ESCAPE, 1036, False),
    (Mode.NEWLINE, 20, True),
    (Mode.SYNCHRONIZED, 2026, False),
    (Mode.COLOUR_SCHEME_REPORTS, 2031, False),
    (Mode.SIZE_REPORTS, 2048, False),
)
_MOUSE: Final = (9, 1000, 1002, 1003)
_MOUSE_ENCODINGS: Final = (1005, 1015, 1006, 1016)

_SHAPES: Final = {
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BLOCK: CursorShape.BLOCK,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_UNDERLINE: CursorShape.UNDERLINE,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BAR: CursorShape.BAR,
    lib.GHOSTTY_RENDER_STATE_CURSOR_VISUAL_STYLE_BLOCK_HOLLOW: CursorShape.HOLLOW,
}


GRAPHEMES = 2027
"""The mode in which the terminal lays out text by grapheme clusters instead of code points."""


class _ModeReader:
    """A fixed set of modes that is read in one call."""

    def __init__(self, terminal: Handle, modes: list[tuple[int, bool]]) -> None:
        self._terminal = terminal
        self._configs = ffi.new("GhosttyTerminalModeConfig[]", len(modes))
        for config, (number, ansi) in zip(self._configs, modes, strict=True):
            config.mode = number | (ansi << 15)
        self._keys = ffi.new("GhosttyTerminalData[]", [lib.GHOSTTY_TERMINAL_DATA_MODE] * len(modes))
        self._pointers = ffi.new("void*[]", [ffi.addressof(self._configs, i) for i in range(len(modes))])

    def read(self) -> list[bool]:
        check(
            lib.ghostty_terminal_get_multi(self._terminal, len(self._configs), self._keys, self._pointers, ffi.NULL),
            "get modes",
        )
        return [bool(config.value) for config in self._configs]


def scrollback_bytes(lines: int, cols: int) -> int:
    """Return a limit in bytes that keeps at least ``lines`` lines of ``cols`` cells.

    The library packs a cell into 8 bytes. The limit leaves space for styles and links, so more lines of plain text
    fit. The library's limit in lines is exact, but makes it four times slower.
    """
    return lines * (cols * 12 + 64) + (64 << 10 if lines else 0)


class Emulator:
    """A terminal emulator and the rows read from it.

    ``feed`` interprets output; ``refresh`` and ``frame`` return the changes since the last call. Replies and events are
    collected in ``outbox``. With ``graphemes``, an emoji of several code points takes two cells unless the program
    changes mode 2027; otherwise the width is the sum of the code points' widths, as in wcwidth(3).
    """

    def __init__(
        self, size: TermSize, scrollback: int = SCROLLBACK, _state: bytes | None = None, *, graphemes: bool = False
    ) -> None:
        self.outbox = Outbox()
        self._scrollback = scrollback
        if _state is None:
            self._terminal = engine.new_terminal(size.cols, size.rows)
            snapshot.keep_continuation(self._terminal)
            if graphemes:
                engine.set_default_mode(self._terminal, GRAPHEMES)
        else:
            self._terminal = snapshot.decode(_state)
            size = TermSize(*self._exact_size())
        self.other_keys = OtherKeys(2 if b"4;2m" in self.pen().keyboard else 0)
        self._callbacks = Callbacks(self._terminal, self.outbox, f"ccvm-tui {__version__}")
        self._set_size(size)
        # Images are never drawn, so do not store any.
        engine.set_option(self._terminal, "KITTY_IMAGE_STORAGE_LIMIT", ffi.new("uint64_t*", 0))
        self._reader = RowReader(self._terminal)
        modes = [(number, ansi) for _, number, ansi in _FLAGS]
        modes += [(number, False) for number in (*_MOUSE, *_MOUSE_ENCODINGS)]
        self._modes = _ModeReader(self._terminal, modes)
        self._cursor = engine.sized("GhosttyRenderStateCursor")
        self._update_mode = _ModeReader(self._terminal, [(2026, False)])
        self.links = _state is not None
        """True if cells may have links. The caller of ``feed`` maintains it."""
        self.rows: list[Row] = [Row(y, []) for y in range(size.rows)]
        self._past: RowReader | None = None
        self._numbering = Numbering(self._terminal)
        self._numbering.follow(alternate=self.alternate)

    @classmethod
    def restore(cls, state: bytes, scrollback: int = SCROLLBACK) -> "Emulator":
        """Return an emulator in a state returned by ``snapshot``.

        Raises EngineError if ``state`` was not written by this build of the library.
        """
        return cls(TermSize(), scrollback, state)

    def close(self) -> None:
        """Free the native objects. The emulator must not be used afterwards."""
        self._numbering.free()
        if self._past is not None:
            self._past.free()
        self._reader.free()
        lib.ghostty_terminal_free(self._terminal)

    def snapshot(self) -> bytes:
        """Encode the whole state; see ``ccvm_tui.terminal.snapshot``.

        Raises EngineError if the library cannot encode it.
        """
        return snapshot.encode(self._terminal)

    def copy(self) -> "Emulator":
        """Return a second emulator in the same state. Raises EngineError if the library cannot encode the state."""
        copy = Emulator.restore(self.snapshot(), self._scrollback)
        copy.links = self.links
        copy.other_keys.level = self.other_keys.level
        return copy

    @property
    def continuation(self) -> bytes:
        """The incomplete escape sequence at the end of the output so far, or b""."""
        return snapshot.continuation(self._terminal)

    def feed(self, data: bytes) -> None:
        """Interpret output of the program."""
        self.other_keys.feed(data)
        for start in range(0, len(data), FEED_MAX):
            piece = data[start : start + FEED_MAX] if len(data) > FEED_MAX else data
            lib.ghostty_terminal_vt_write(self._terminal, piece, len(piece))
            self._numbering.follow(alternate=self.alternate)

    def resize(self, size: TermSize) -> None:
        """Change the size. The primary screen and its scrollback are reflowed."""
        if size.exact == self.size.exact:
            return
        self._set_size(size)
        self._numbering.follow(alternate=self.alternate)

    def _set_size(self, size: TermSize) -> None:
        self.size = self._callbacks.size = size
        cell = self._callbacks.cell = size.cell if all(size.cell) else DEFAULT_CELL
        self._limit_scrollback()
        # A resize has side effects, such as the end of a synchronized update: avoid it if the size is the same.
        if self._exact_size() != size.with_cell(cell).exact:
            check(lib.ghostty_terminal_resize(self._terminal, size.cols, size.rows, *cell), "resize")

    def _exact_size(self) -> tuple[int, ...]:
        keys = (("COLS", "uint16_t"), ("ROWS", "uint16_t"), ("WIDTH_PX", "uint32_t"), ("HEIGHT_PX", "uint32_t"))
        return tuple(min(engine.get_number(self._terminal, *key), TermSize.MAX_PIXELS) for key in keys)

    def _limit_scrollback(self) -> None:
        limit = scrollback_bytes(self._scrollback, self.size.cols)
        engine.set_option(self._terminal, "SCROLLBACK_MAX_BYTES", ffi.new("size_t*", limit))

    def set_colours(self, colours: TermColours) -> None:
        """Set the colours of the host terminal, which OSC 10, 11, 12 and CSI ? 996 n are answered with.

        Unknown colours are replaced by typical ones of a dark or a light terminal.
        """
        dark = self._callbacks.dark = colours.is_dark
        foreground, background = _DARK if dark else _LIGHT
        foreground = colours.foreground if colours.foreground >= 0 else foreground
        background = colours.background if colours.background >= 0 else background
        cursor = colours.cursor if colours.cursor >= 0 else foreground
        for option, value in (("FOREGROUND", foreground), ("BACKGROUND", background), ("CURSOR", cursor)):
            rgb = {"r": value >> 16 & 255, "g": value >> 8 & 255, "b": value & 255}
            engine.set_option(self._terminal, f"COLOR_{option}", ffi.new("GhosttyColorRgb*", rgb))

    def recolour(self, colours: TermColours) -> None:
        """Set the colours, and report a change between dark and light to a program that has set mode 2031."""
        before = self._callbacks.dark
        self.set_colours(colours)
        if (dark := self._callbacks.dark) != before and self.mode(2031):
            self.outbox.answer(b"\x1b[?997;1n" if dark else b"\x1b[?997;2n")

    @property
    def in_update(self) -> bool:
        """True while the program is in the middle of a synchronized update (mode 2026)."""
        return self._update_mode.read()[0]

    @property
    def title(self) -> str:
        """The window title (OSC 0, 2), or ""."""
        return engine.get_string(self._terminal, "TITLE")[:TITLE_MAX]

    @property
    def alternate(self) -> bool:
        """True while the alternate screen is shown."""
        return engine.get_number(self._terminal, "ACTIVE_SCREEN", "GhosttyTerminalScreen") != 0

    @property
    def history(self) -> int:
        """The number of lines in the scrollback of the active screen."""
        return engine.get_number(self._terminal, "SCROLLBACK_ROWS", "size_t")

    @property
    def pending_wrap(self) -> bool:
        """True if the next character wraps to the next line."""
        return engine.get_number(self._terminal, "CURSOR_PENDING_WRAP", "bool") != 0

    def mode(self, number: int, *, ansi: bool = False) -> bool:
        """Return whether a DEC private mode, or with ``ansi`` an ANSI mode, is set."""
        return _ModeReader(self._terminal, [(number, ansi)]).read()[0]

    def pen(self) -> Pen:
        """Return the rendition of the next character, the margins and the tab stops."""
        return read_pen(self._terminal)

    def modes(self) -> Modes:
        """Return the current modes."""
        values = self._modes.read()
        flags = sum(int(flag) for (flag, _, _), value in zip(_FLAGS, values, strict=False) if value)
        if self.alternate:
            flags |= Mode.ALTERNATE_SCREEN
        mouse = encoding = 0
        at = len(_FLAGS)
        for number, value in zip(_MOUSE, values[at:], strict=False):
            mouse = number if value else mouse
        for number, value in zip(_MOUSE_ENCODINGS, values[at + len(_MOUSE) :], strict=False):
            encoding = number if value else encoding
        kitty = engine.get_number(self._terminal, "KITTY_KEYBOARD_FLAGS", "uint8_t")
        return Modes(int(flags), kitty, mouse, encoding, self.other_keys.level)

    def cursor(self) -> Cursor:
        """Return the cursor as of the last ``refresh``."""
        lib.ghostty_render_state_get(self._reader.state, lib.GHOSTTY_RENDER_STATE_DATA_CURSOR, self._cursor)
        cursor = self._cursor
        return Cursor(
            cursor.viewport_x,
            cursor.viewport_y,
            bool(cursor.visible and cursor.viewport_has_value),
            _SHAPES.get(cursor.visual_style, CursorShape.BLOCK),
            bool(cursor.blinking),
        )

    def colours(self) -> Colours:
        """Return the colours that the program has changed."""
        values = [
            -1
            if (now := engine.get_colour(self._terminal, f"COLOR_{name}"))
            == engine.get_colour(self._terminal, f"COLOR_{name}_DEFAULT")
            else now
            for name in ("FOREGROUND", "BACKGROUND", "CURSOR")
        ]
        return Colours(values[0], values[1], values[2], self._palette())

    def _palette(self) -> dict[int, int]:
        now, default = ffi.new("GhosttyColorRgb[256]"), ffi.new("GhosttyColorRgb[256]")
        lib.ghostty_terminal_get(self._terminal, lib.GHOSTTY_TERMINAL_DATA_COLOR_PALETTE, now)
        lib.ghostty_terminal_get(self._terminal, lib.GHOSTTY_TERMINAL_DATA_COLOR_PALETTE_DEFAULT, default)
        left, right = bytes(ffi.buffer(now)), bytes(ffi.buffer(default))
        if left == right:
            return {}
        return {
            index: int.from_bytes(left[index * 3 : index * 3 + 3], "big")
            for index in range(256)
            if left[index * 3 : index * 3 + 3] != right[index * 3 : index * 3 + 3]
        }

    def refresh(self, everything: bool = False) -> set[int] | None:
        """Update ``rows``. Returns the numbers of the changed rows, or None if all of them may have changed."""
        full, changed = self._reader.read(everything)
        if full:
            self.rows = changed
            return None
        rows = self.rows
        for row in changed:
            rows[row.y] = row
        return {row.y for row in changed}

    def frame(self, session: str, seq: int, changed: set[int] | None) -> Frame:
        """Return a frame of the ``changed`` rows, or of all rows if it is None. Call ``refresh`` first."""
        lines = self.rows if changed is None else [self.rows[y] for y in sorted(changed) if y < len(self.rows)]
        history, top = self.position()
        return Frame(
            session=session,
            seq=seq,
            cols=self.size.cols,
            rows=self.size.rows,
            full=changed is None,
            lines=lines,
            styles=self._reader.table(lines),
            cursor=self.cursor(),
            modes=self.modes(),
            history=history,
            top=top,
            title=self.title,
            colours=self.colours(),
        )

    def position(self) -> tuple[int, int]:
        """Return the number of lines in the scrollback, and the absolute number of the screen's first line."""
        if self.alternate:
            return 0, self._numbering.top
        return self.history, self._numbering.top

    def lines(self, first: int, count: int) -> Lines:
        """Return ``count`` lines by absolute number, without those that do not exist."""
        history, top = self.position()
        oldest = top - history
        rows = self.past_rows(first - oldest, count)
        numbered = [Row(row.y + oldest, row.runs, row.wrapped) for row in rows]
        start = numbered[0].y if numbered else first
        return Lines(start, numbered, self.past_table(rows), history, top, self.size.cols)

    def past_rows(self, first: int, count: int) -> list[Row]:
        """Return rows by index into scrollback and screen. ``past_table`` returns their styles."""
        return read_lines(self._terminal, self._past_reader(), first, count, self.history + self.size.rows)

    def _past_reader(self) -> RowReader:
        if self._past is None:
            self._past = RowReader(self._terminal)
        return self._past

    def past_table(self, rows: list[Row]) -> dict[int, Style]:
        """Return the styles of rows returned by the last call of ``past_rows``, by number."""
        return self._past_reader().table(rows)

    def table(self, rows: list[Row]) -> dict[int, Style]:
        """Return the styles of rows of the screen, by number."""
        return self._reader.table(rows)

    def format_lines(self, first: int, last: int) -> bytes:
        """Return lines ``first`` to ``last`` as text with SGR sequences; see ``formatter.format_lines``."""
        return format_lines(self._terminal, first, last, self.size.cols, plain=False)

    def columns(self) -> int:
        """Return the width in cells."""
        return self.size.cols

    def linked_cells(self) -> int:
        """Return the number of cells of the screen that have a link."""
        return self._past_reader().linked_cells()

    def linked_history(self, lines: int) -> int:
        """Return the number of cells with a link in the newest ``lines`` lines of the scrollback."""
        history = self.history
        return linked_cells(self._terminal, self._past_reader(), max(0, history - lines), history)

    def search(self, needle: str, limit: int) -> tuple[list[Match], int]:
        """Return at most ``limit`` matches of a text, ignoring case, newest first, and the number of all matches."""
        history, top = self.position()
        return search(self._terminal, needle, limit, top - history)

    def text(self, first: int, last: int) -> str:
        """Return the text of lines ``first`` to ``last`` (absolute, inclusive), with soft-wrapped lines joined.

        Lines that do not exist are left out.
        """
        history, top = self.position()
        oldest = top - history
        first, last = max(0, first - oldest), min(last - oldest, history + self.size.rows - 1)
        if first > last:
            return ""
        return read_text(self._terminal, first, last, self.size.cols)
