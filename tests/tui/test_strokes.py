"""Strokes by name, and what the outer terminal's bytes mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.terminal.cells import Modes
from ccvm_tui.terminal.keys import ALT, CTRL, RELEASE, SHIFT, encode_key
from ccvm_tui.tui.outer_input import Focus, InputParser, Mouse, Paste, Report
from ccvm_tui.tui.strokes import Stroke, stroke_of


@pytest.mark.parametrize(
    ("name", "stroke"),
    [
        ("a", Stroke("a", 0, "a")),
        ("A", Stroke("a", SHIFT, "A")),
        ("ctrl+a", Stroke("a", CTRL)),
        ("ctrl-a", Stroke("a", CTRL)),
        ("ctrl+backslash", Stroke("\\", CTRL)),
        ("ctrl-\\", Stroke("\\", CTRL)),
        ("Alt+X", Stroke("x", ALT | SHIFT)),
        ("shift+tab", Stroke("tab", SHIFT)),
        ("space", Stroke(" ", 0, " ")),
        ("esc", Stroke("escape")),
        ("f5", Stroke("f5")),
        ("-", Stroke("-", 0, "-")),
        ("ctrl--", Stroke("-", CTRL)),
        ("+", Stroke("+", 0, "+")),
        ("é", Stroke("é", 0, "é")),
    ],
)
def test_names(name: str, stroke: Stroke) -> None:
    assert stroke_of(name) == stroke


@pytest.mark.parametrize("name", ["", "hyperspace", "ctrl+", "blah+a"])
def test_no_names(name: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        stroke_of(name)


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
        (b"\x1b[M !!", [Mouse(0, 0, 0, True)]),
        (b"\x1b[I\x1b[O", [Focus(True), Focus(False)]),
        (b"\x1b[?2026;2$y", [Report("?$y", "2026;2")]),
        (b"\x1b]11;rgb:1212/1616/1b1b\x07", [Report("osc", "11;rgb:1212/1616/1b1b")]),
        (b"\x1b[?62;22c", [Report("?c", "62;22")]),
        (b"\x1b[200~two\nlines\x1b[A\x1b[201~z", [Paste(b"two\nlines\x1b[A"), Stroke("z", 0, "z")]),
    ],
)
def test_bytes(data: bytes, tokens: list[object]) -> None:
    assert InputParser().feed(data) == tokens


@given(st.lists(st.sampled_from([b"\x1b[1;5C", b"a", "漢".encode(), b"\x1b[<0;10;5M", b"\x1b[200~x\x1b[201~", b"\x1b[13;2u",
                                 b"\x1b]11;rgb:0/0/0\x1b\\", b"\x1bOP", b"\x1b[I"])), st.data())  # fmt: skip
def test_however_the_bytes_are_cut_the_tokens_are_the_same(parts: list[bytes], data: st.DataObject) -> None:
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
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parser = InputParser()
    parser.feed(data)
    parser.flush()
    assert not parser.waiting


def test_a_lone_escape_waits_and_is_then_the_key() -> None:
    parser = InputParser()
    assert parser.feed(b"\x1b") == []
    assert parser.waiting
    assert parser.flush() == [Stroke("escape")]


@pytest.mark.parametrize("held", [b"\x1b", b"\x1b[", b"\x1bO", b"\x1b]", b"\x1b\x1b["])
def test_what_may_be_a_key_need_not_wait_long(held: bytes) -> None:
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
def test_a_sequence_cut_by_a_slow_line_is_waited_for_and_never_typed(held: bytes, rest: bytes, token: object) -> None:
    parser = InputParser()
    assert parser.feed(held) == []
    assert parser.waiting
    assert not parser.maybe_a_key
    assert parser.feed(rest) == [token]
    parser.feed(held)
    assert parser.flush() == []


def test_a_paste_of_a_megabyte_is_one_token() -> None:
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
def test_what_comes_in_in_the_old_language_goes_out_the_same(data: bytes) -> None:
    (stroke,) = InputParser().feed(data)
    assert isinstance(stroke, Stroke)
    assert encode_key(stroke, Modes()) == data


@pytest.mark.parametrize(
    "data", [b"\x1b[13;2u", b"\x1b[13;5u", b"\x1b[27u", b"\x1b[97;5u", b"\x1b[9;5u", b"\x1b[127;6u"]
)
def test_what_comes_in_in_kittys_language_goes_out_the_same(data: bytes) -> None:
    (stroke,) = InputParser().feed(data)
    assert isinstance(stroke, Stroke)
    assert encode_key(stroke, Modes(kitty=1)) == data


@given(st.text(min_size=1, max_size=1).filter(lambda char: char.isprintable()))
def test_textuals_names_come_back(char: str) -> None:
    stroke = Stroke(char.lower() if len(char.lower()) == 1 else char, SHIFT if char.lower() != char else 0, char)
    assert stroke_of(stroke.name, stroke.character).text == char
