"""VT bytes that rebuild a session in the host terminal, and bytes that reset the host terminal afterwards.

The library's formatter writes the scrollback, because it is fast. This module adds what the formatter leaves out:
links, the inactive screen, trailing blank lines, the title and the colours. The order matters: contents are drawn in a
terminal without modes, then the modes, margins and the cursor are set, and last the rendition of the next character.
"""

from dataclasses import dataclass
from typing import Final

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import Cursor, CursorShape, Row, Run, row_text
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.formatter import Pen
from ccvm_tui.terminal.painter import Painter, crop, has_uncertain_width
from ccvm_tui.terminal.window import Window

_NEUTRAL: Final = (
    # End any string sequence, then soft reset (DECSTR), reset margins and pen.
    b'\x1b\\\x1b[!p\x1b[?69l\x1b[r\x1b(B\x1b)B\x0f\x1b[0m\x1b]8;;\x1b\\\x1b[0"q'
    # Modes that change how contents are drawn or input is read.
    b"\x1b[4l\x1b[20l\x1b[?1;5;6;9;45;66;67;1000;1002;1003;1004;1005;1006;1015;1016;2004;2026;2027;2031;2048l"
    b"\x1b[?7;25h\x1b>\x1b[=0;1u\x1b[>4;0m\x1b[0 q"
    b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\"
)

_PLAIN_PEN: Final = b'\x1b[?6l\x1b[0m\x1b]8;;\x1b\\\x1b[0"q\x1b(B\x1b)B\x0f'
_SAVE: Final = b"\x1b7"
_LOAD: Final = b"\x1b8"

_SWITCH: Final = (1049, 1047, 47)

# Modes that are written if they differ from the state after ``_NEUTRAL``, in the order of xterm's list. Not here: 12
# (cursor blink), which is part of DECSCUSR; 66, which is written as DECKPAM because more terminals support that; 2026,
# because nothing would end the update; and 2027, which is set after the contents are drawn, because it changes how
# clusters are drawn.
_MODES: Final = (
    (1, False), (5, False), (45, False), (67, False), (9, False), (1000, False), (1002, False),
    (1003, False), (1004, False), (1005, False), (1015, False), (1006, False), (1016, False), (1007, True),
    (1035, True), (1036, True), (1039, False), (1045, False), (2004, False), (2031, False),
    (2048, False),
)  # fmt: skip


def enter() -> bytes:
    """Return bytes for a host terminal before it shows a session: save its title and its mode 2027."""
    return b"\x1b[22;0t\x1b[?2027s"


def leave(rows: int) -> bytes:
    """Return bytes that reset a host terminal of ``rows`` rows after a session.

    They reset the modes, switch to the primary screen, restore the title, and put the cursor on the last row.
    """
    return (
        b"\x1b\\\x1b[?2026l\x1b[?1049l\x1b[?1047l\x1b[?47l\x1b[<99u"
        + _NEUTRAL
        + f"\x1b[?1007;1036h\x1b[?12l\x1b[?5W\x1b[?2027r\x1b[23;0t\x1b[{rows};1H\r\n".encode()
    )


def window_bytes(emulator: Emulator, size: TermSize) -> bytes:
    """Return bytes that draw the part of the screen that fits a terminal of another size."""
    emulator.refresh()
    return Window(size).draw(emulator, None)


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a cursor, and the rendition of the next character there."""

    cursor: Cursor
    pending_wrap: bool
    pen: Pen
    origin: bool


def restore_bytes(emulator: Emulator, scrollback: int, pending: bytes = b"") -> bytes:
    """Return bytes that rebuild the session in a terminal of its size, with at most ``scrollback`` lines of scrollback.

    If ``scrollback`` is not 0, the previous contents of the terminal are scrolled into its own scrollback; otherwise
    they are erased. ``pending`` is output that the emulator has not interpreted yet. The program's next output can
    follow directly. Raises EngineError if the library cannot encode the state.
    """
    emulator.refresh(everything=True)
    # Scroll only the rows above the cursor, so that an empty terminal does not get blank lines in its scrollback.
    out = [b"\x1b\\" + b"\n" * (emulator.size.rows - 1)] if scrollback else []
    # Leaving the alternate screen may also restore a cursor and a pen that were saved long ago; the reset is after it.
    out += [b"\x1b\\", *(f"\x1b[?{mode}l".encode() for mode in _SWITCH), _NEUTRAL, b"\x1b[H\x1b[2J"]
    # The saved cursor and the inactive screen can only be read by restoring them, so do that in a copy.
    copy = emulator.copy()
    try:
        copy.feed(_LOAD)
        copy.refresh(everything=True)
        saved = _place(copy)
        if emulator.alternate:
            out += _primary_screen(emulator, copy, scrollback)
            out.append(_contents(emulator, 0))
        else:
            out.append(_contents(emulator, scrollback))
    finally:
        copy.close()
    out += (_margins(emulator), _cursor_and_pen(emulator, saved), _SAVE, _PLAIN_PEN)
    out += (_colours_and_title(emulator), _state(emulator), emulator.continuation, pending)
    return b"".join(out)


def _primary_screen(emulator: Emulator, copy: Emulator, scrollback: int) -> list[bytes]:
    """Return bytes that draw the primary screen and then switch to the alternate screen."""
    mode = next((number for number in _SWITCH if emulator.mode(number)), 1049)
    copy.feed(f"\x1b[?{mode}l".encode())
    if copy.alternate:  # it was entered by another mode
        copy.feed(b"\x1b[?1049l\x1b[?1047l\x1b[?47l")
    copy.feed(_LOAD)
    copy.refresh(everything=True)
    return [
        _contents(copy, scrollback),
        _margins(copy),
        _cursor_and_pen(copy, _place(copy)),
        _SAVE,
        _kitty(copy),
        f"\x1b[?{mode}h".encode(),
        _PLAIN_PEN,
        b"\x1b[?69l\x1b[r\x1b[=0;1u\x1b[H\x1b[2J",
    ]


def _contents(emulator: Emulator, scrollback: int) -> bytes:
    """Return scrollback and screen, to be drawn from the home position of an empty screen in neutral modes."""
    out = []
    cols = emulator.size.cols
    wrapped = False
    history = min(emulator.history, scrollback)
    if history:
        first = emulator.history - history
        formatted = 0 if emulator.links else _formattable(emulator, first, history)
        if formatted:
            out += [emulator.format_lines(first, first + formatted - 1), b"\x1b[0m"]
        count = history - formatted
        if count:
            rows = emulator.past_rows(first + formatted, count + 1)
            painter = Painter(emulator.past_table(rows), cols)
            _paint(painter, rows, False, below=bool(formatted), count=count, cols=cols)
            out.append(painter.take())
            wrapped = rows[count - 1].wrapped
    painter = Painter(emulator.table(emulator.rows), cols)
    _paint(
        painter,
        emulator.rows,
        wrapped,
        below=bool(history),
        count=len(emulator.rows),
        cols=cols,
        printed=not emulator.alternate,  # programs on the alternate screen position their text
    )
    out.append(painter.take())
    return b"".join(out)


def _formattable(emulator: Emulator, first: int, history: int) -> int:
    """Return how many of these lines the formatter handles: all except trailing blank and wrapped lines."""
    left = history
    while left:
        count = min(64, left)
        for row in reversed(emulator.past_rows(first + left - count, count)):
            if not row.wrapped and row_text(row).strip():
                return left
            left -= 1
    return 0


def _paint(
    painter: Painter, rows: list[Row], wrapped: bool, *, below: bool, count: int, cols: int, printed: bool = True
) -> None:
    """Draw the first ``count`` rows one below another.

    ``below`` is true if there is a row above the first one, ``wrapped`` if that row continues in the first one. Rows
    that were ``printed`` sequentially are drawn as the other terminal would print them: a sequence that it shows as one
    emoji takes two cells, without a gap. Other rows keep their columns.
    """
    for index, row in enumerate(rows[:count]):
        runs = _without_spacer(row, rows, index, cols)
        if wrapped:
            # Printing at the end of a full row wraps, and marks the two rows as one line.
            runs = runs or [Run(" ", 1)]
        elif index or below:
            painter.use(0)
            painter.write("\r\n")
        full = sum(run.width for run in runs) >= cols
        if printed and not (wrapped or row.wrapped or full) and any(map(has_uncertain_width, runs)):
            painter.line(runs)
            continue
        filled = painter.runs(runs, 0)
        if wrapped and filled < cols:
            # The wrap may have scrolled and filled the new row with the current background colour.
            painter.use(0)
            painter.write("\x1b[K")
        wrapped = row.wrapped and index + 1 < len(rows)
        if wrapped and filled < cols and not _ends_in_spacer(row, rows, index, cols):
            painter.use(0)
            painter.write(" " * (cols - filled))


def _ends_in_spacer(row: Row, rows: list[Row], index: int, cols: int) -> bool:
    """Return whether the row's last cell is blank because a wide character did not fit and wrapped to the next row."""
    if not (row.wrapped and row.runs and index + 1 < len(rows) and rows[index + 1].runs):
        return False
    first, last = rows[index + 1].runs[0], row.runs[-1]
    filled = sum(run.width for run in row.runs) == cols and last.text.endswith(" ")
    return filled and _wide(first.text[0]) and first.style == last.style


def _wide(character: str) -> bool:
    return ord(character) >= 0x1100 and Painter.width(character) == 2


def _without_spacer(row: Row, rows: list[Row], index: int, cols: int) -> list[Run]:
    if not _ends_in_spacer(row, rows, index, cols):
        return row.runs
    last = row.runs[-1]
    rest = [Run(last.text[:-1], last.width - 1, last.style)] if last.width > 1 else []
    return row.runs[:-1] + rest


def _colours_and_title(emulator: Emulator) -> bytes:
    colours = emulator.colours()
    parts = [f"\x1b]4;{index};{_rgb(value)}\x1b\\" for index, value in sorted(colours.palette.items())]
    for number, value in ((10, colours.foreground), (11, colours.background), (12, colours.cursor)):
        if value >= 0:
            parts.append(f"\x1b]{number};{_rgb(value)}\x1b\\")
    title = "".join(character for character in emulator.title if character.isprintable())
    # Without a title the terminal keeps its own, which ``enter`` has pushed on its stack.
    parts.append(f"\x1b]2;{title}\x1b\\" if title else "\x1b[23;0t\x1b[22;0t")
    return "".join(parts).encode()


def _rgb(value: int) -> str:
    return f"rgb:{value >> 16 & 255:02x}/{value >> 8 & 255:02x}/{value & 255:02x}"


def _place(emulator: Emulator) -> _Place:
    return _Place(emulator.cursor(), emulator.pending_wrap, emulator.pen(), emulator.mode(6))


def _margins(emulator: Emulator) -> bytes:
    out = b"\x1b[?69h" if emulator.mode(69) else b""
    top, bottom, left, right = emulator.pen().region
    if top:
        out += f"\x1b[{top};{bottom}r".encode()
    if left:
        out += f"\x1b[{left};{right}s".encode()
    return out


def _state(emulator: Emulator) -> bytes:
    """Return modes, cursor and pen of the active screen, whose margins are set already."""
    place = _place(emulator)
    out = [_tab_stops(emulator, place)]
    for number, default in _MODES:
        value = emulator.mode(number)
        if value != default:
            out.append(f"\x1b[?{number}{'h' if value else 'l'}".encode())
    out += [b"\x1b="] if emulator.mode(66) else []
    out += [b"\x1b[?7l"] if not emulator.mode(7) else []
    out.append(_cursor_and_pen(emulator, place))
    out += [b"\x1b[?2027h"] if emulator.mode(2027) else []
    out += [b"\x1b[4h"] if emulator.mode(4, ansi=True) else []
    out += [b"\x1b[20h"] if emulator.mode(20, ansi=True) else []
    out.append(_kitty(emulator) + emulator.other_keys.sequence())
    out.append(f"\x1b[{_shape(place.cursor)} q".encode())
    out += [b"\x1b[?25l"] if not emulator.mode(25) else []
    return b"".join(out)


def _tab_stops(emulator: Emulator, place: _Place) -> bytes:
    """Return the tab stops. Default stops are set by DECST8C, so that a terminal that grows gets more of them."""
    usual = b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % column for column in range(9, emulator.size.cols, 8)) + b"\x1b[H"
    return b"\x1b[?5W" if place.pen.tab_stops == usual else place.pen.tab_stops


def _shape(cursor: Cursor) -> int:
    """Return the parameter of DECSCUSR."""
    number = {CursorShape.UNDERLINE: 3, CursorShape.BAR: 5}.get(CursorShape(cursor.shape), 1)
    return number if cursor.blink else number + 1


def _kitty(emulator: Emulator) -> bytes:
    flags = emulator.modes().kitty
    # Push the flags, so that the program's own pop removes them.
    return f"\x1b[>{flags}u".encode() if flags else b""


def _cursor_and_pen(emulator: Emulator, place: _Place) -> bytes:
    """Return the cursor's position, with a pending wrap if there is one, and the rendition of the next character."""
    x, y = place.cursor.x, place.cursor.y
    out = []
    top, _, left, right = place.pen.region
    row_base, column_base = 0, 0
    if place.origin and y >= top - 1 and x >= left - 1:
        # In origin mode a cursor cannot be positioned outside the margins, so set that mode only if it is inside.
        row_base, column_base = max(0, top - 1), max(0, left - 1)
        out.append(b"\x1b[?6h")
    runs: list[Run] = []
    if place.pending_wrap and x in (emulator.size.cols - 1, right - 1):
        # Only printing the last character again makes the wrap pending.
        runs, x = _cell(emulator.rows[y], x)
    if not runs and (before := _printed_before(emulator, place)):
        painter = Painter(emulator.table(emulator.rows), 0)
        painter.write(f"\x1b[{y + 1};1H")
        painter.line(before)
        painter.use(0)
        painter.write(f"\x1b[{gap}C" if (gap := x - sum(run.width for run in before)) else "")
        out.append(painter.take())
    else:
        out.append(f"\x1b[{y - row_base + 1};{x - column_base + 1}H".encode())
    if runs:
        painter = Painter(emulator.table(emulator.rows), 0)
        painter.runs(runs, x)
        out.append(painter.take())
    out.append(place.pen.sequences)
    return b"".join(out)


def _printed_before(emulator: Emulator, place: _Place) -> list[Run]:
    """Return the runs before the cursor on its row, if the cursor must be positioned by printing them again."""
    rows, y = emulator.rows, place.cursor.y
    moved = place.origin or place.pen.region[2] or not emulator.mode(7)
    if emulator.alternate or moved or rows[y].wrapped or (y and rows[y - 1].wrapped):
        return []
    if _cell(rows[y], place.cursor.x)[1] != place.cursor.x:
        return []  # the cursor is on the second half of a character
    before = crop(rows[y], 0, place.cursor.x)
    return before if any(map(has_uncertain_width, before)) else []


def _cell(row: Row, x: int) -> tuple[list[Run], int]:
    """Return the cell at column ``x`` as a run, and the column where it starts."""
    column = 0
    for run in row.runs:
        if column <= x < column + run.width:
            at = column
            for character in run.text:
                width = Painter.width(character)
                if width and at <= x < at + width:
                    whole = run.text if run.width == width else character
                    return [Run(whole, width, run.style)], at
                at += width
            return [Run(run.text, run.width, run.style)], column
        column += run.width
    return [Run(" ", 1)], x
