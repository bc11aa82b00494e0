"""Comparable states of terminals, and strategies for the output of programs."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from ccvm_tui.guest import TermSize
from ccvm_tui.terminal.cells import PLAIN, Colours, Cursor, Modes, Row, Style
from ccvm_tui.terminal.emulator import Emulator

Cell = tuple[str, Style]


def cells_of(row: Row, styles: dict[int, Style]) -> list[Cell]:
    """Return the runs of a row with adjacent runs of one style joined, and without trailing blank cells."""
    cells: list[Cell] = []
    for run in row.runs:
        style = styles[run.style]
        if cells and cells[-1][1] == style:
            cells[-1] = (cells[-1][0] + run.text, style)
        else:
            cells.append((run.text, style))
    while cells and cells[-1][1] == PLAIN:
        text = cells[-1][0].rstrip(" ")
        if text:
            cells[-1] = (text, PLAIN)
            break
        cells.pop()
    return cells


@dataclass
class Shown:
    """The visible state of a terminal, and what affects the next output."""

    rows: list[list[Cell]]
    wrapped: list[bool]
    cursor: Cursor
    pending_wrap: bool
    modes: Modes
    title: str
    colours: Colours
    tab_stops: bytes
    region: tuple[int, int, int, int]
    pen: bytes


def shown(emulator: Emulator) -> Shown:
    emulator.refresh(everything=True)
    table = emulator.table(emulator.rows)
    pen = emulator.pen()
    return Shown(
        rows=[cells_of(row, table) for row in emulator.rows],
        wrapped=[row.wrapped for row in emulator.rows[:-1]],
        cursor=emulator.cursor(),
        pending_wrap=emulator.pending_wrap,
        modes=emulator.modes(),
        title=emulator.title,
        colours=emulator.colours(),
        tab_stops=pen.tab_stops,
        region=pen.region,
        pen=pen.sequences.replace(b"\x1b(B", b"").replace(b"\x1b)B", b""),
    )


def history_text(emulator: Emulator) -> list[str]:
    """Return the lines of the scrollback without trailing blanks."""
    rows = emulator.past_rows(0, emulator.history)
    return ["".join(run.text for run in row.runs).rstrip(" ") for row in rows]


def csi(final: str, *parameters: st.SearchStrategy[int], prefix: str = "") -> st.SearchStrategy[bytes]:
    return st.tuples(*parameters).map(lambda values: f"\x1b[{prefix}{';'.join(map(str, values))}{final}".encode())


small = st.integers(0, 12)
colour = st.one_of(
    st.integers(30, 49),
    st.integers(90, 107),
    st.integers(0, 255).map(lambda value: f"38;5;{value}"),
    st.tuples(*[st.integers(0, 255)] * 3).map(lambda rgb: "48;2;{};{};{}".format(*rgb)),
    st.sampled_from(["4:3", "4:2", "21", "58:5:9", "59", "53", "55", "1", "2", "3", "4", "5", "7", "8", "9"]),
    st.sampled_from([0, 22, 23, 24, 25, 27, 28, 29]),
)
_TEXTS = ["漢字", "é", "e\u0301", "👩\u200d👩\u200d👧", "🙂", "🇫🇷", "ﬃ", "ก็", "한글", "\u200b", "❤\ufe0f", "ｗ", "──┐"]
_CONTROLS = [b"\r\n", b"\n", b"\r", b"\b", b"\t", b"\x0e", b"\x0f", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1bH"]
_MODES = [1, 5, 6, 7, 25, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 2004, 2027]
text = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.sampled_from([*_TEXTS, "x" * 45]),
).map(str.encode)
control = st.sampled_from(_CONTROLS)
modes = st.builds(lambda mode, on: f"\x1b[?{mode}{on}".encode(), st.sampled_from(_MODES), st.sampled_from("hl"))
screens = st.sampled_from([b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?47h", b"\x1b[?47l", b"\x1b[?1047h", b"\x1b[?1047l"])
misc = st.sampled_from(
    [
        b"\x1b7", b"\x1b8", b"\x1b(0", b"\x1b(B", b"\x1b)0", b"\x1b[3g", b"\x1b[g", b"\x1b=", b"\x1b>", b"\x1b[4h",
        b"\x1b[4l", b"\x1b[20h", b"\x1b[20l", b"\x1b[!p", b"\x1b#8", b"\x1bc", b"\x1b[>1u", b"\x1b[>31u", b"\x1b[<u",
        b"\x1b[=3;1u", b"\x1b[2 q", b"\x1b[3 q", b"\x1b[6 q", b"\x1b]2;title\x07", b"\x1b]8;;http://a/b\x1b\\",
        b"\x1b]8;;\x1b\\", b"\x1b]4;1;#102030\x07", b"\x1b]10;#aabbcc\x07", b"\x1b]104\x07", b"\x1b[1\"q", b"\x1b[0\"q",
        b"\x1b[>4;2m", b"\x1b[?1036l", b"\x1b[3J", b"\x1b[?2026h", b"\x1b[?2026l",
    ]
)  # fmt: skip
# Without CBT: it moves the cursor and leaves the wrap pending, a state that no sequence can restore.
moves = st.one_of(
    csi("H", small, small), csi("A", small), csi("B", small), csi("C", small), csi("D", small), csi("G", small),
    csi("d", small), csi("J", st.integers(0, 2)), csi("K", st.integers(0, 2)), csi("L", small), csi("M", small),
    csi("P", small), csi("@", small), csi("X", small), csi("S", small), csi("T", small), csi("b", small),
    csi("r", small, small), csi("s", small, small), csi("I", small),
)  # fmt: skip
sgr = st.lists(colour, max_size=4).map(lambda values: f"\x1b[{';'.join(map(str, values))}m".encode())

streams = st.lists(st.one_of(text, text, control, moves, sgr, modes, misc, screens), max_size=40).map(b"".join)
"""Output of programs, including unusual output."""

sizes = st.builds(TermSize, st.integers(2, 40), st.integers(1, 12))
