"""Encoding of mouse events and pastes, and separation of reports from typed input."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccvm_tui.terminal import mouse
from ccvm_tui.terminal.cells import Mode, Modes
from ccvm_tui.terminal.mouse import encode_mouse
from ccvm_tui.terminal.paste import encode_paste
from ccvm_tui.terminal.reports import ReportSplitter, without_reports

BRACKETED = Modes(flags=Mode.BRACKETED_PASTE)


@pytest.mark.parametrize(
    ("modes", "code", "pressed", "data"),
    [
        (Modes(), mouse.LEFT, True, b""),
        (Modes(mouse=9), mouse.LEFT | mouse.CONTROL, True, b"\x1b[M $%"),
        (Modes(mouse=9), mouse.LEFT, False, b""),
        (Modes(mouse=9), mouse.WHEEL_UP, True, b""),
        (Modes(mouse=1000), mouse.LEFT, True, b"\x1b[M $%"),
        (Modes(mouse=1000), mouse.LEFT, False, b"\x1b[M#$%"),
        (Modes(mouse=1000), mouse.LEFT | mouse.MOTION, True, b""),
        (Modes(mouse=1000), mouse.WHEEL_DOWN, True, b"\x1b[Ma$%"),
        (Modes(mouse=1000, mouse_encoding=1006), mouse.RIGHT | mouse.SHIFT, True, b"\x1b[<6;4;5M"),
        (Modes(mouse=1000, mouse_encoding=1006), mouse.RIGHT, False, b"\x1b[<2;4;5m"),
        (Modes(mouse=1002, mouse_encoding=1006), mouse.LEFT | mouse.MOTION, True, b"\x1b[<32;4;5M"),
        (Modes(mouse=1002, mouse_encoding=1006), mouse.NONE | mouse.MOTION, True, b""),
        (Modes(mouse=1003, mouse_encoding=1006), mouse.NONE | mouse.MOTION, True, b"\x1b[<35;4;5M"),
        (Modes(mouse=1000, mouse_encoding=1015), mouse.LEFT, True, b"\x1b[32;4;5M"),
        (Modes(mouse=1000, mouse_encoding=1016), mouse.LEFT, True, b"\x1b[<0;28;72M"),
    ],
)
def test_mouse_events_follow_mode_and_encoding(modes: Modes, code: int, pressed: bool, data: bytes) -> None:
    assert encode_mouse(code, 3, 4, pressed, modes) == data


def test_positions_beyond_the_range_of_the_encoding_are_not_reported() -> None:
    assert encode_mouse(mouse.LEFT, 300, 4, True, Modes(mouse=1000)) == b""
    assert encode_mouse(mouse.LEFT, 300, 4, True, Modes(mouse=1000, mouse_encoding=1005)) == "\x1b[M \u014d%".encode()
    assert encode_mouse(mouse.LEFT, 300, 4, True, Modes(mouse=1000, mouse_encoding=1006)) == b"\x1b[<0;301;5M"


def test_pastes_are_bracketed_and_control_characters_removed() -> None:
    assert encode_paste(b"a\r\nb\nc\td", Modes()) == b"a\rb\rc\td"
    assert encode_paste(b"a\nb", BRACKETED) == b"\x1b[200~a\nb\x1b[201~"
    assert encode_paste(b"a\x1b[201~rm -rf\n", BRACKETED) == b"\x1b[200~a[201~rm -rf\n\x1b[201~"
    large = b"line of text\n" * 80_000
    assert encode_paste(large, BRACKETED) == b"\x1b[200~" + large + b"\x1b[201~"


@given(st.binary(max_size=200), st.booleans())
def test_a_paste_cannot_end_its_brackets(data: bytes, controls: bool) -> None:
    if controls:
        data = data.replace(b"a", b"\x1b[201~").replace(b"b", b"\xc2\xc2\x9b\x9b201~").replace(b"c", b"\x1b\x1b[201~")
    inside = encode_paste(data, BRACKETED)[len(b"\x1b[200~") : -len(b"\x1b[201~")]
    assert b"\x1b" not in inside
    assert b"\xc2\x9b" not in inside
    assert b"\x03" not in inside


REPORTS = [
    b"\x1b[?62;22c", b"\x1b[>1;10;0c", b"\x1bP!|00000000\x1b\\", b"\x1b[24;80R", b"\x1b[?1;1R", b"\x1b[0n",
    b"\x1b[?2026;2$y", b"\x1b[4;0$y", b"\x1bP>|kitty(0.32)\x1b\\", b"\x1b]11;rgb:1010/1010/1010\x07",
    b"\x1b]10;rgb:ff/ff/ff\x1b\\", b"\x1b]4;1;rgb:cc/00/00\x07", b"\x1b[8;24;80t", b"\x1b[?5u", b"\x1b[I", b"\x1b[O",
    b"\x1b[<35;4;5M", b"\x1b[<0;4;5m", b"\x1b[M #$", b"\x1b[?997;1n", b"\x1bP1+r544e=78\x1b\\", b"\x1b[48;24;80;384;640t",
    b"\x1b_Gi=1;OK\x1b\\",
]  # fmt: skip
TYPED = [
    b"a", b"hello", b"\r", b"\x1b[A", b"\x1bOP", b"\x1b[1;5A", b"\x1b[1;2R", b"\x1b[3~", b"\x1b[97;5u", b"\x1b[27u",
    b"\x1b[Z", b"\x03", "é漢".encode(), b"\x1b[15;2~", b"\x1bx",
    b"\x1b[200~paste \x1b[I\x1b]11;rgb:1/1/1\x07 with words\x1b[201~", b"\x1b[57441;2u",
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_reports_are_recognized(report: bytes) -> None:
    assert without_reports(report * 3) == b""
    assert without_reports(b"a" + report + b"b") == b"ab"


@pytest.mark.parametrize("typed", TYPED)
def test_typing_is_not_a_report(typed: bytes) -> None:
    assert without_reports(typed) == typed


parts = st.lists(
    st.one_of(st.sampled_from(REPORTS).map(lambda r: (r, True)), st.sampled_from(TYPED).map(lambda t: (t, False)))
)


@settings(deadline=None)
@given(parts, st.lists(st.integers(0, 300), max_size=12))
def test_the_result_does_not_depend_on_how_the_stream_is_cut(parts: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    stream = b"".join(part for part, _ in parts)
    splitter = ReportSplitter()
    typed = reports = b""
    bounds = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in itertools.pairwise(bounds):
        some, others = splitter.feed(stream[start:end])
        typed, reports = typed + some, reports + others
    typed += splitter.flush()
    assert typed == b"".join(part for part, report in parts if not report)
    assert reports == b"".join(part for part, report in parts if report)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_byte_is_lost_or_added(data: bytes, cut: int) -> None:
    splitter = ReportSplitter()
    first, second = splitter.feed(data[:cut]), splitter.feed(data[cut:])
    rest = splitter.flush()
    assert len(first[0]) + len(second[0]) + len(rest) + len(first[1]) + len(second[1]) == len(data)


def test_held_bytes_are_bounded_and_returned_by_flush() -> None:
    splitter = ReportSplitter()
    assert splitter.feed(b"\x1b") == (b"", b"")
    assert splitter.held
    assert splitter.flush() == b"\x1b"
    splitter.feed(b"\x1b]11;")
    for _ in range(30):
        splitter.feed(b"x" * 10_000)
    assert len(splitter.flush()) <= 1 << 16
