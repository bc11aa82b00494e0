"""Decoding of keys, mouse events, pastes and reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.terminal.cells import Modes
from ccvm_tui.terminal.input import Focus, InputParser, Mouse, Paste, Report, is_report
from ccvm_tui.terminal.keys import ALT, CTRL, RELEASE, SHIFT, Stroke, encode_key
from ccvm_tui.terminal.lexer import InputLexer, Kind


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"a", [Stroke("a", 0, "a")]),
        (b"\x01", [Stroke("a", CTRL)]),
        (b"\x1c", [Stroke("\\", CTRL)]),
        (b"\x00", [Stroke(" ", CTRL)]),
        (b"\r", [Stroke("enter")]),
        (b"\x7f", [Stroke("backspace")]),
        ("ß漢".encode(), [Stroke("ß", 0, "ß"), Stroke("漢", 0, "漢")]),
        (b"\x1bx", [Stroke("x", ALT)]),
        (b"\x1b\x1b[A", [Stroke("up", ALT)]),
        (b"\x1b\x1b[I", [Stroke("escape"), Focus(True)]),
        (b"\x1b\x1b[92;5u", [Stroke("escape"), Stroke("\\", CTRL)]),
        (b"\x1b\x1b[200~x\x1b[201~", [Stroke("escape"), Paste(b"x")]),
        (b"\x1b[A", [Stroke("up")]),
        (b"\x1bOA", [Stroke("up")]),
        (b"\x1b[1;5C", [Stroke("right", CTRL)]),
        (b"\x1b[3;2~", [Stroke("delete", SHIFT)]),
        (b"\x1b[Z", [Stroke("tab", SHIFT)]),
        (b"\x1b[13;2u", [Stroke("enter", SHIFT)]),
        (b"\x1b[13;5u", [Stroke("enter", CTRL)]),
        (b"\x1b[27u", [Stroke("escape")]),
        (b"\x1b[27;2;13~", [Stroke("enter", SHIFT)]),
        (b"\x1b[97:65;2u", [Stroke("a", SHIFT, "A", 1, 65)]),
        (b"\x1b[97;1:3u", [Stroke("a", 0, "", RELEASE)]),
        (b"\x1b[97;;228u", [Stroke("a", 0, "ä")]),
        (b"\x1b[57441;2u", [Stroke("left_shift", SHIFT)]),
        (b"\x1b[<0;10;5M\x1b[<0;10;5m", [Mouse(0, 9, 4, True), Mouse(0, 9, 4, False)]),
        (b"\x1b[<65;1;1M", [Mouse(65, 0, 0, True)]),
        (b"\x1b[32;10;5M", [Mouse(0, 9, 4, True)]),
        (b"\x1b[M !!", [Mouse(0, 0, 0, True)]),
        (b"\x1b[I\x1b[O", [Focus(True), Focus(False)]),
        (b"\x1b[?2026;2$y", [Report("?$y", "2026;2")]),
        (b"\x1b]11;rgb:1212/1616/1b1b\x07", [Report("osc", "11;rgb:1212/1616/1b1b")]),
        (b"\x1b[?62;22c", [Report("?c", "62;22")]),
        (b"\x1b[200~two\nlines\x1b[A\x1b[201~z", [Paste(b"two\nlines\x1b[A"), Stroke("z", 0, "z")]),
    ],
)
def test_input_is_decoded(data: bytes, tokens: list[object]) -> None:
    assert InputParser().feed(data) == tokens


@given(st.lists(st.sampled_from([b"\x1b[1;5C", b"a", "漢".encode(), b"\x1b[<0;10;5M", b"\x1b[200~x\x1b[201~", b"\x1b[13;2u",
                                 b"\x1b]11;rgb:0/0/0\x1b\\", b"\x1bOP", b"\x1b[I"])), st.data())  # fmt: skip
def test_the_tokens_do_not_depend_on_how_the_input_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    expected = InputParser().feed(whole)
    parser, tokens, at = InputParser(), [], 0
    while at < len(whole):
        size = data.draw(st.integers(1, 7))
        tokens += parser.feed(whole[at : at + size])
        at += size
    assert tokens == expected
    assert not parser.waiting


@given(st.binary(max_size=400))
def test_no_input_raises_an_exception(data: bytes) -> None:
    parser = InputParser()
    parser.feed(data)
    parser.flush()
    assert not parser.waiting


def test_a_lone_escape_is_the_key_after_a_pause() -> None:
    parser = InputParser()
    assert parser.feed(b"\x1b") == []
    assert parser.waiting
    assert parser.flush() == [Stroke("escape")]


@pytest.mark.parametrize("held", [b"\x1b", b"\x1b[", b"\x1bO", b"\x1b]", b"\x1b\x1b["])
def test_held_bytes_that_can_be_a_key_are_recognized(held: bytes) -> None:
    parser = InputParser()
    parser.feed(held)
    assert parser.waiting
    assert parser.maybe_a_key


@pytest.mark.parametrize(
    ("held", "rest", "token"),
    [
        (b"\x1b[<35;1", b"0;5M", Mouse(35, 9, 4, True)),
        (b"\x1b[1;", b"5C", Stroke("right", CTRL)),
        ("漢".encode()[:1], "漢".encode()[1:], Stroke("漢", 0, "漢")),
        (b"\x1b[20", b"0~x\x1b[201~", Paste(b"x")),
    ],
)
def test_a_part_of_a_sequence_is_completed_or_dropped(held: bytes, rest: bytes, token: object) -> None:
    parser = InputParser()
    assert parser.feed(held) == []
    assert parser.waiting
    assert not parser.maybe_a_key
    assert parser.feed(rest) == [token]
    parser.feed(held)
    assert parser.flush() == []


def test_a_large_paste_is_one_token() -> None:
    parser, body, tokens = InputParser(), b"line of text \x1b[31m\n" * 60_000, []
    data = b"\x1b[200~" + body + b"\x1b[201~"
    for at in range(0, len(data), 4095):
        tokens += parser.feed(data[at : at + 4095])
    assert tokens == [Paste(body)]


@pytest.mark.parametrize(
    "data",
    [b"a", b"Z", b"\x01", b"\x1f", b"\x1bx", b"\x1b[A", b"\x1b[1;5D", b"\x1b[5~", b"\x1b[3;5~", b"\x1bOP", b"\x1b[15~",
     b"\x1b[Z", b"\r", b"\t", b"\x7f", b"\x1b\x7f", b"\x1b\r", "ü".encode(), b"\x1b\x01", b" ", b"\x00"],
)  # fmt: skip
def test_xterm_keys_are_encoded_as_they_were_received(data: bytes) -> None:
    (stroke,) = InputParser().feed(data)
    assert isinstance(stroke, Stroke)
    assert encode_key(stroke, Modes()) == data


@pytest.mark.parametrize(
    "data", [b"\x1b[13;2u", b"\x1b[13;5u", b"\x1b[27u", b"\x1b[97;5u", b"\x1b[9;5u", b"\x1b[127;6u"]
)
def test_kitty_keys_are_encoded_as_they_were_received(data: bytes) -> None:
    (stroke,) = InputParser().feed(data)
    assert isinstance(stroke, Stroke)
    assert encode_key(stroke, Modes(kitty=1)) == data


@given(st.binary(max_size=400), st.lists(st.integers(1, 20), max_size=20))
def test_the_pieces_are_the_input(data: bytes, sizes: list[int]) -> None:
    lexer, pieces, at = InputLexer(), [], 0
    for size in (*sizes, len(data)):
        pieces += lexer.feed(data[at : at + size])
        at += size
    pieces += lexer.flush()
    assert b"".join(piece.data for piece in pieces) == data
    assert lexer.held == b""


def test_a_paste_is_neither_held_nor_decoded() -> None:
    lexer = InputLexer()
    assert [piece.kind for piece in lexer.feed(b"\x1b[200~a\x1b[I\x1b[20")] == [Kind.PASTE_START, Kind.PASTE]
    assert (lexer.held, lexer.pasting) == (b"", True)
    (end, report) = lexer.feed(b"1~\x1b[I")
    assert (end.kind, end.data) == (Kind.PASTE_END, b"1~")
    assert is_report(report)
    assert not lexer.pasting
