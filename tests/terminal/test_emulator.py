"""The emulator: rows, line numbers, search, text, snapshots, replies and events."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours, TermSize
from ccvm_tui.terminal.cells import TRUE_COLOUR, Attribute, CursorShape, Mode, Row, Run, Style, Underline, row_text
from ccvm_tui.terminal.emulator import Emulator
from ccvm_tui.terminal.events import (
    Bell,
    ClipboardRead,
    ClipboardWrite,
    Cwd,
    Notification,
    Progress,
    Title,
)
from tests.terminal.screens import cells_of, shown, sizes, streams


def screen(data: bytes, cols: int = 40, rows: int = 4, *, graphemes: bool = False) -> Emulator:
    emulator = Emulator(TermSize(cols, rows), graphemes=graphemes)
    emulator.feed(data)
    emulator.refresh(everything=True)
    return emulator


def first_row(data: bytes) -> list[tuple[str, Style]]:
    emulator = screen(data)
    return cells_of(emulator.rows[0], emulator.table(emulator.rows))


def test_renditions_are_read_from_cells() -> None:
    assert first_row(b"\x1b[1;2;3;5;7;8;9;53;4:3;58;5;9;38;5;200;48;2;1;2;3mx") == [
        (
            "x",
            Style(
                foreground=200,
                background=TRUE_COLOUR | 0x010203,
                underline_colour=9,
                attributes=int(sum(Attribute)),
                underline=Underline.CURLY,
            ),
        )
    ]
    assert first_row(b"\x1b[31ma\x1b[94mb\x1b[0mc") == [("a", Style(1)), ("b", Style(12)), ("c", Style())]


def test_adjacent_links_are_separate_runs() -> None:
    data = b"\x1b]8;;http://a\x07x\x1b]8;;http://b\x07y\x1b]8;;\x07z"
    assert first_row(data) == [("x", Style(link="http://a")), ("y", Style(link="http://b")), ("z", Style())]


def test_characters_of_uncertain_width_are_separate_runs() -> None:
    emulator = screen("ab漢e\u0301👩\u200d🙂c".encode())
    assert [(run.text, run.width) for run in emulator.rows[0].runs] == [
        ("ab漢", 4), ("e\u0301", 1), ("👩\u200d", 2), ("🙂", 2), ("c", 1),
    ]  # fmt: skip


def test_graphemes_lay_out_text_by_clusters() -> None:
    emulator = screen("👩\u200d🙂|1\ufe0f\u20e3|⚠\ufe0f|".encode(), graphemes=True)
    clusters = [("👩\u200d🙂", 2), ("|", 1), ("1\ufe0f\u20e3", 2), ("|", 1), ("⚠\ufe0f", 2), ("|", 1)]
    assert [(run.text, run.width) for run in emulator.rows[0].runs] == clusters
    emulator.feed("\x1b[?2027l\x1b[H\x1b[2J👩\u200d🙂|".encode())
    emulator.refresh(everything=True)
    assert [(run.text, run.width) for run in emulator.rows[0].runs] == [("👩\u200d", 2), ("🙂", 2), ("|", 1)]
    again = Emulator.restore(emulator.snapshot())
    again.feed("\x1bc👩\u200d🙂|".encode())
    again.refresh(everything=True)
    assert [(run.text, run.width) for run in again.rows[0].runs] == clusters[:2], "a reset restores the default mode"


def test_erased_cells_keep_their_background() -> None:
    assert first_row(b"a\x1b[41m\x1b[K") == [("a", Style()), (" " * 39, Style(background=1))]
    assert first_row(b"\x1b[48;2;9;8;7m\x1b[2K") == [(" " * 40, Style(background=TRUE_COLOUR | 0x090807))]


def test_rows_have_no_control_characters() -> None:
    emulator = screen(bytes(range(256)) * 3 + "".join(map(chr, range(0x80, 0xA0))).encode())
    for row in emulator.rows:
        assert row_text(row).isprintable() or not row.runs


@settings(max_examples=150, deadline=None)
@given(sizes, streams, st.lists(st.tuples(sizes, streams), max_size=3))
def test_incremental_reads_give_the_same_rows_as_a_full_read(
    size: TermSize, stream: bytes, more: list[tuple[TermSize, bytes]]
) -> None:
    followed = Emulator(size)
    followed.refresh()
    followed.feed(stream)
    followed.refresh()
    for new_size, data in more:
        followed.resize(new_size)
        followed.feed(data)
        followed.refresh()
        followed.lines(0, 50)  # reading the scrollback must not affect the next incremental read
    rows = [cells_of(row, followed.table(followed.rows)) for row in followed.rows]
    assert [row.y for row in followed.rows] == list(range(followed.size.rows))
    assert rows == shown(followed).rows
    for row in followed.rows:
        assert sum(run.width for run in row.runs) <= followed.size.cols
        assert all(run.width > 0 and run.text for run in row.runs)
    followed.close()


@settings(max_examples=100, deadline=None)
@given(sizes, streams)
def test_snapshots_keep_the_whole_state(size: TermSize, stream: bytes) -> None:
    first = Emulator(size)
    first.feed(stream)
    second = Emulator.restore(first.snapshot())
    assert shown(second) == shown(first)
    first.feed(b"1;31mx\x1b[?1049l\x1b8y")
    second.feed(b"1;31mx\x1b[?1049l\x1b8y")
    assert shown(second) == shown(first)
    first.close()
    second.close()


def test_random_bytes_and_sizes_do_not_abort() -> None:
    chance = random.Random(1)
    emulator = Emulator(TermSize(80, 24))
    pieces = [b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_", b";", b"9999999", b"\xff\xfe", b"\x9b", b"h", b"\x1b\\", b"?"]
    for _ in range(400):
        emulator.feed(chance.randbytes(200) + b"".join(chance.choices(pieces, k=40)))
        if chance.random() < 0.3:
            emulator.resize(TermSize(chance.randrange(1, 300), chance.randrange(1, 100)))
        if chance.random() < 0.2:
            emulator.frame("s", 1, emulator.refresh())
        if chance.random() < 0.1:
            emulator.lines(0, 200)
            emulator.search("a", 10)
            emulator.text(0, 300)
        emulator.outbox.take_answers()
        emulator.outbox.take_events()
    emulator.close()


def test_line_numbers_do_not_change_when_old_lines_are_dropped() -> None:
    emulator = Emulator(TermSize(20, 5), scrollback=100)
    for number in range(20_000):
        emulator.feed(b"line %d\r\n" % number)
    history, top = emulator.position()
    assert top == 19_996
    assert history < 20_000
    lines = emulator.lines(19_990, 3)
    assert [(row.y, row_text(row)) for row in lines.rows] == [(n, f"line {n}") for n in range(19_990, 19_993)]
    assert emulator.lines(0, 10).rows == []
    emulator.feed(b"\x1b[?1049h\x1b[Halternate")
    assert emulator.position() == (0, top)
    assert row_text(emulator.lines(top, 1).rows[0]) == "alternate"
    emulator.feed(b"\x1b[?1049l")
    assert emulator.position() == (history, top)
    emulator.feed(b"\x1b[3J")
    assert emulator.position() == (0, top)


def test_line_numbers_increase_when_a_feed_drops_the_whole_scrollback() -> None:
    emulator = Emulator(TermSize(20, 5), scrollback=10)
    emulator.feed(b"x\r\n" * 100)
    _, before = emulator.position()
    emulator.feed(b"\r\n" * 200_000)
    assert emulator.position()[1] > before


def test_search_finds_wrapped_text_and_ignores_case() -> None:
    emulator = screen(b"Needle\r\n" + b"x" * 38 + b"needle\r\nnothing", rows=5)
    matches, total = emulator.search("NEEDLE", 10)
    assert total == 2
    assert [(m.line, m.column, m.end_line, m.end_column) for m in matches] == [(1, 38, 2, 3), (0, 0, 0, 5)]
    assert emulator.search("", 10) == ([], 0)
    assert emulator.search("absent", 10) == ([], 0)


def test_text_joins_wrapped_lines() -> None:
    emulator = screen(b"a" * 50 + b"\r\nsecond   \r\n")
    assert emulator.text(0, 10) == "a" * 50 + "\nsecond"
    assert emulator.rows[0].wrapped
    assert not emulator.rows[1].wrapped
    assert emulator.text(5, 2) == ""


@pytest.mark.attack
def test_queries_are_answered_but_clipboard_reads_are_not() -> None:
    emulator = Emulator(TermSize(80, 24))
    emulator.set_colours(TermColours(0xFFFFFF, 0x102030))
    emulator.feed(b"\x1b[c\x1b[5;7H\x1b[6n\x1b]11;?\x07\x1b]10;?\x1b\\\x1b[?996n\x1b[18t\x1b[?2026$p\x1b[?u")
    assert emulator.outbox.take_answers() == (
        b"\x1b[?62;22c\x1b[5;7R\x1b]11;rgb:1010/2020/3030\x07\x1b]10;rgb:ffff/ffff/ffff\x1b\\"
        b"\x1b[?997;1n\x1b[8;24;80t\x1b[?2026;2$y\x1b[?0u"
    )
    emulator.feed(b"\x1b]52;c;?\x07\x1b]52;p;?\x1b\\")
    assert emulator.outbox.take_answers() == b""
    assert emulator.outbox.take_events() == [ClipboardRead("clipboard"), ClipboardRead("primary")]


def test_only_the_last_clipboard_write_of_each_selection_is_kept() -> None:
    copies = b"".join(b"\x1b]52;c;eHh4\x07\x1b]52;p;eHh4\x07" for _ in range(1000))
    emulator = screen(b"\x1b]9;note\x07" + copies + b"\x1b]52;c;aGk=\x07")
    events = emulator.outbox.take_events()
    assert events == [
        Notification("", "note", 9),
        ClipboardWrite("primary", b"xxx"),
        ClipboardWrite("clipboard", b"hi"),
    ]


def test_sequences_become_events() -> None:
    emulator = Emulator(TermSize(80, 24))
    emulator.feed(
        b"\x1b]2;one\x07\x1b]0;two\x07\x07\x07\x1b]7;file://h/tmp\x07\x1b]52;c;aGk=\x07\x1b]9;note\x07"
        b"\x1b]777;notify;T;B\x07\x1b]9;4;1;50\x07"
    )
    assert emulator.outbox.take_events() == [
        Title("two"), Cwd("file://h/tmp"), ClipboardWrite("clipboard", b"hi"), Notification("", "note", 9),
        Notification("T", "B", 777), Progress("normal", 50), Bell(2),
    ]  # fmt: skip


def test_replies_and_events_are_bounded() -> None:
    emulator = Emulator(TermSize(80, 24))
    emulator.feed(b"\x1b[c\x1b]9;n\x07" * 100_000)
    assert len(emulator.outbox.take_answers()) <= 256 * 1024
    assert len(emulator.outbox.take_events()) <= 256


def test_modes_and_cursor_are_read() -> None:
    emulator = screen(b"\x1b[?1h\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[>5u\x1b[?1049h\x1b[5 q\x1b[2;3H")
    modes = emulator.modes()
    assert modes.has(Mode.APPLICATION_CURSOR)
    assert modes.has(Mode.BRACKETED_PASTE)
    assert modes.has(Mode.ALTERNATE_SCREEN)
    # Each screen has its own keyboard flags.
    assert (modes.kitty, modes.mouse, modes.mouse_encoding) == (0, 1002, 1006)
    cursor = emulator.cursor()
    assert (cursor.x, cursor.y, cursor.shape, cursor.blink) == (2, 1, CursorShape.BAR, True)
    emulator.feed(b"\x1b[?25l\x1b[?1049l")
    emulator.refresh()
    assert not emulator.cursor().visible
    assert emulator.modes().kitty == 5


def test_changed_colours_are_read_until_they_are_reset() -> None:
    emulator = screen(b"\x1b]4;3;#010203\x07\x1b]10;#ff0000\x07")
    colours = emulator.colours()
    assert (colours.foreground, colours.background, colours.palette) == (0xFF0000, -1, {3: 0x010203})
    emulator.feed(b"\x1b]104\x07\x1b]110\x07")
    assert emulator.colours().palette == {}


def test_the_style_table_is_bounded() -> None:
    emulator = Emulator(TermSize(40, 4))
    for number in range(12_000):
        emulator.feed(b"\x1b[1;1H\x1b[38;2;%d;%d;1mx" % (number % 256, number // 256))
        changed = emulator.refresh()
    frame = emulator.frame("s", 1, changed)
    assert frame.lines[0] == Row(0, [Run("x", 1, frame.lines[0].runs[0].style)])
    assert len(frame.styles) == 2


def test_size_reports_in_cells_and_pixels_agree() -> None:
    emulator = Emulator(TermSize(80, 24, 720, 504))
    emulator.feed(b"\x1b[14t\x1b[16t\x1b[18t")
    assert emulator.outbox.take_answers() == b"\x1b[4;504;720t\x1b[6;21;9t\x1b[8;24;80t"
    emulator.resize(TermSize(80, 24, 800, 480))  # another font
    emulator.feed(b"\x1b[14t\x1b[16t\x1b[18t")
    assert emulator.outbox.take_answers() == b"\x1b[4;480;800t\x1b[6;20;10t\x1b[8;24;80t"
    emulator.feed(b"\x1b[?2048h")
    assert emulator.outbox.take_answers() == b"\x1b[48;24;80;480;800t"
    emulator.resize(TermSize(40, 10, 400, 200))
    assert emulator.outbox.take_answers() == b"\x1b[48;10;40;200;400t"
    emulator.resize(TermSize(40, 10))  # a terminal that does not report its size in pixels
    emulator.feed(b"\x1b[14t")
    assert emulator.outbox.take_answers() == b"\x1b[48;10;40;160;320t\x1b[4;160;320t"


def test_unknown_colours_are_those_of_a_dark_terminal() -> None:
    emulator = Emulator(TermSize(20, 4))
    emulator.set_colours(UNKNOWN_COLOURS)
    emulator.feed(b"\x1b]11;?\x07\x1b]12;?\x07\x1b[?996n")
    assert emulator.outbox.take_answers() == b"\x1b]11;rgb:1010/1010/1010\x07\x1b]12;rgb:d8d8/d8d8/d8d8\x07\x1b[?997;1n"


def test_a_change_between_dark_and_light_is_reported_in_mode_2031() -> None:
    dark, light = TermColours(0xEEEEEE, 0x101010, 0xFF0000), TermColours(0x111111, 0xFFFFFF, 0x0000FF)
    emulator = Emulator(TermSize(20, 4))
    emulator.set_colours(dark)
    emulator.recolour(light)
    assert emulator.outbox.take_answers() == b""
    emulator.feed(b"\x1b[?2031h")
    emulator.recolour(replace(light, foreground=0x222222))
    assert emulator.outbox.take_answers() == b""
    emulator.recolour(dark)
    assert emulator.outbox.take_answers() == b"\x1b[?997;1n"
    emulator.recolour(light)
    assert emulator.outbox.take_answers() == b"\x1b[?997;2n"
    emulator.feed(b"\x1b]10;?\x07\x1b]11;?\x07\x1b]12;?\x07\x1b[?996n")
    assert emulator.outbox.take_answers() == (
        b"\x1b]10;rgb:1111/1111/1111\x07\x1b]11;rgb:ffff/ffff/ffff\x07\x1b]12;rgb:0000/0000/ffff\x07\x1b[?997;2n"
    )


def test_colours_set_by_the_program_override_those_of_the_host_terminal() -> None:
    emulator = screen(b"\x1b]11;#123456\x07")
    emulator.set_colours(TermColours(0x111111, 0xFFFFFF))
    emulator.feed(b"\x1b]11;?\x07\x1b]111\x07\x1b]11;?\x07")
    assert emulator.outbox.take_answers() == b"\x1b]11;rgb:1212/3434/5656\x07\x1b]11;rgb:ffff/ffff/ffff\x07"
