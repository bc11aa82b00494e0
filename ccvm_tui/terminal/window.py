"""Drawing of the part of a screen that fits a terminal of another size."""

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import Cursor, CursorShape, Mode, Modes
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.painter import Painter, crop


class Window:
    """A viewport onto a screen that follows the cursor, and the state of the terminal that shows it.

    The terminal gets none of the program's modes except those that affect what its keys send.
    """

    def __init__(self, size: TermSize) -> None:
        self._size = size
        self._left = 0
        self._top = 0
        self._modes = Modes()
        self._known: tuple[object, ...] = ()
        self._fresh = True

    def draw(self, emulator: Emulator, changed: set[int] | None) -> bytes:
        """Return bytes that update the changed rows (all if None), the cursor and the modes.

        Returns b"" if nothing visible has changed.
        """
        cursor, modes = emulator.cursor(), emulator.modes()
        moved = self._follow(cursor, emulator.size)
        everything = moved or self._fresh or changed is None
        rows = range(len(emulator.rows)) if everything else sorted(changed or ())
        visible = [y for y in rows if self._top <= y < self._top + self._size.rows and y < len(emulator.rows)]
        around = (cursor, modes, self._left, self._top)
        if not visible and around == self._known and not everything:
            return b""
        self._known = around
        painter = Painter(emulator.table([emulator.rows[y] for y in visible]), self._size.cols, wrapping=False)
        painter.write("\x1b[?2026h\x1b[?25l")
        if self._fresh:
            painter.write(_NEUTRAL)
        if everything:
            painter.write("\x1b[H\x1b[2J")
        for y in visible:
            painter.write(f"\x1b[{y - self._top + 1};1H")
            runs = crop(emulator.rows[y], self._left, self._size.cols)
            column = painter.runs(runs, 0)
            if not everything and column < self._size.cols:
                painter.use(0)
                painter.write("\x1b[K")
        painter.use(0)
        painter.write(self._input_modes(modes))
        painter.write(self._cursor(cursor))
        painter.write("\x1b[?2026l")
        self._fresh = False
        return painter.take()

    def _follow(self, cursor: Cursor, size: TermSize) -> bool:
        """Scroll so that the cursor is visible. Returns whether that was necessary."""
        left = _scrolled(self._left, cursor.x, self._size.cols, size.cols)
        top = _scrolled(self._top, cursor.y, self._size.rows, size.rows)
        moved = (left, top) != (self._left, self._top)
        self._left, self._top = left, top
        return moved

    def _cursor(self, cursor: Cursor) -> str:
        x, y = cursor.x - self._left, cursor.y - self._top
        if not cursor.visible or not (0 <= x < self._size.cols and 0 <= y < self._size.rows):
            return ""
        number = {CursorShape.UNDERLINE: 3, CursorShape.BAR: 5}.get(CursorShape(cursor.shape), 1)
        return f"\x1b[{y + 1};{x + 1}H\x1b[{number if cursor.blink else number + 1} q\x1b[?25h"

    def _input_modes(self, modes: Modes) -> str:
        """Return the sequences that change the terminal's modes to the given ones."""
        old, self._modes = self._modes, modes
        parts = []
        for bit, on, off in _INPUT_MODES:
            if (old.flags ^ modes.flags) & bit:
                parts.append(on if modes.flags & bit else off)
        if old.kitty != modes.kitty:
            parts.append(f"\x1b[={modes.kitty};1u")
        if old.other_keys != modes.other_keys:
            parts.append(f"\x1b[>4;{modes.other_keys}m")
        return "".join(parts)


# Mouse modes are not set, because the reports would have the wrong coordinates.
_INPUT_MODES = (
    (Mode.APPLICATION_CURSOR, "\x1b[?1h", "\x1b[?1l"),
    (Mode.APPLICATION_KEYPAD, "\x1b=", "\x1b>"),
    (Mode.BRACKETED_PASTE, "\x1b[?2004h", "\x1b[?2004l"),
    (Mode.FOCUS_EVENTS, "\x1b[?1004h", "\x1b[?1004l"),
)

_NEUTRAL = (
    "\x1b\\\x1b[!p\x1b[?69l\x1b[r\x1b(B\x1b)B\x0f\x1b[0m\x1b]8;;\x1b\\"
    "\x1b[4l\x1b[20l\x1b[?1;5;6;9;45;66;1000;1002;1003;1004;1005;1006;1015;1016;1049;2004;2027;2031;2048l"
    "\x1b[?7l\x1b>\x1b[=0;1u\x1b[>4;0m\x1b[0 q\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"
)


def _scrolled(start: int, position: int, shown: int, total: int) -> int:
    """Return the start of a window of ``shown`` cells, moved as little as possible to contain ``position``."""
    start = min(start, max(0, total - shown))
    if position < start:
        return position
    if position >= start + shown:
        return position - shown + 1
    return start
