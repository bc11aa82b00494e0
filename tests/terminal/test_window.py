"""Windows onto a session in a terminal of another size, and the reset of a terminal after a session."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import PLAIN, Row, Style
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.painter import crop
from ccvm_tui.terminal.restore import leave
from ccvm_tui.terminal.window import Window
from tests.terminal.screens import cells_of, shown, sizes, streams


def columns(row: Row, styles: dict[int, Style]) -> list[tuple[str, Style]]:
    """Return the characters of a row with their styles; a wide character counts once."""
    out: list[tuple[str, Style]] = []
    for text, style in cells_of(row, styles):
        out += [(character, style) for character in text]
    return out


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, st.lists(streams, min_size=1, max_size=4))
@example(TermSize(2, 1), TermSize(2, 1), ["0e\u0301".encode()])
def test_a_window_shows_its_part_of_the_screen(size: TermSize, seen: TermSize, parts: list[bytes]) -> None:
    session, terminal, window = Emulator(size), Emulator(seen), Window(seen)
    terminal.feed(b"\x1b[?1049h\x1b[41mleftovers\x1b[?6h\x1b[2;3r")
    for part in parts:
        session.feed(part)
        terminal.feed(window.draw(session, session.refresh()))
    terminal.refresh(everything=True)
    cursor = terminal.cursor()
    inner = session.cursor()
    assert cursor.visible == inner.visible
    left, top = (inner.x - cursor.x, inner.y - cursor.y) if inner.visible else (0, 0)
    if inner.visible:
        assert 0 <= left <= max(0, size.cols - 1)
        assert 0 <= top <= max(0, size.rows - 1)
        got = [cells_of(row, terminal.table(terminal.rows)) for row in terminal.rows]
        for y in range(seen.rows):
            wanted = []
            if top + y < size.rows:
                row = session.rows[top + y]
                cropped = Row(y, crop(row, left, seen.cols), False)
                wanted = cells_of(cropped, session.table(session.rows))
            assert got[y] == wanted
    session.close()
    terminal.close()


def test_a_window_sets_input_modes_but_no_mouse_modes() -> None:
    session, terminal = Emulator(TermSize(80, 24)), Emulator(TermSize(40, 10))
    window = Window(terminal.size)
    session.feed(b"\x1b[?1h\x1b[?2004h\x1b[?1000h\x1b[>5u\x1b[?1049h")
    session.feed(b"\x1b[>5u")
    terminal.feed(window.draw(session, session.refresh()))
    modes = terminal.modes()
    assert modes.flags & 0b111 == 0b101
    assert (modes.kitty, modes.mouse) == (5, 0)
    session.feed(b"\x1b[?2004l")
    terminal.feed(window.draw(session, session.refresh()))
    assert terminal.modes().flags & 0b111 == 0b001


def test_leaving_resets_the_terminal() -> None:
    terminal = Emulator(TermSize(40, 10))
    fresh = shown(terminal)
    terminal.feed(
        b"\x1b[?1049h\x1b[?1000;1002;1003;1006;1004;2004;2026;1;6;25h\x1b[?7l\x1b[>31u\x1b[>31u\x1b[2;3r\x1b[5 q\x1b(0"
        b"\x1b[31m\x1b]8;;x\x07\x1b=\x1b[4h\x1b[20h\x1b]10;#ff0000\x07\x1b]4;1;#00ff00\x07\x1b[3g\x1b]2;unfinished"
    )
    terminal.feed(leave(10))
    after = shown(terminal)
    assert after.modes == fresh.modes
    assert (after.pen, after.region, after.colours) == (fresh.pen, fresh.region, fresh.colours)
    assert (after.cursor.x, after.cursor.y, after.cursor.visible) == (0, 9, True)
    assert not terminal.alternate
    terminal.feed(b"plain")
    terminal.refresh()
    assert cells_of(terminal.rows[9], terminal.table(terminal.rows)) == [("plain", PLAIN)]
