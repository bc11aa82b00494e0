"""Sizes, durations, and text from guests without dangerous characters."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.text import cell_text, console_line, plain, plain_lines, printable, size_text, time_text

DANGEROUS = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@given(st.text(max_size=300))
def test_printable_text_has_no_dangerous_characters(text: str) -> None:
    out = printable(text)
    assert not [character for character in out if unicodedata.category(character) in DANGEROUS]
    assert printable(out) == out


@given(st.text(max_size=300))
def test_a_plain_line_has_no_dangerous_characters(text: str) -> None:
    out = plain(text, 100)
    assert len(out) <= 100
    assert not [character for character in out if unicodedata.category(character) in DANGEROUS]
    assert plain(out, 100) == out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;x\x07b", "a]0;xb"),
        ("e" + "\u0301" * 50, "e\u0301\u0301"),
        ("e" + "\u0301\u200b" * 50, "e\u0301\u0301"),
        ("abc\u202edef\u2066", "abcdef"),
        ("two  words\tand\na line", "two words and a line"),
        ("caf\udce9", "caf�"),
    ],
)
def test_dangerous_characters_are_removed_from_a_plain_line(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_printable_text_keeps_its_spaces() -> None:
    assert printable("a  b\tc") == "a  b c"


def test_console_lines_are_what_a_terminal_would_show() -> None:
    assert console_line("\x1b[1m[   0.5]\tusb\x1b[m\r\n") == "[   0.5]        usb"
    assert console_line("12%\r55%\r100% done") == "100% done"
    assert plain_lines("one\r\n\x1b[31mtwo\x1b[m\r\nthree\x1b]0;evil\x07", 5) == ["one", "two", "three"]
    assert plain_lines("one\ntwo\nthree", 2) == ["two", "three"]


def test_cells_contain_no_control_characters() -> None:
    assert [cell_text(text) for text in ("a", "\x1b", "\x9b", "\u202e")] == ["a", " ", " ", ""]


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 900, 2048, 5 << 20, 3 << 30)] == ["0B", "900B", "2K", "5M", "3.0G"]


def test_durations() -> None:
    assert [time_text(n) for n in (-1, 5, 300, 7500, 200_000)] == ["0s", "5s", "5m", "2h05", "2d7h"]


@pytest.mark.parametrize(("utf8", "encoding"), [("0", "ANSI_X3.4-1968"), ("1", "")])
def test_only_an_encoding_other_than_utf8_is_foreign(utf8: str, encoding: str) -> None:
    program = "from ccvm_tui.text import foreign_encoding; print(foreign_encoding())"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8}
    printed = subprocess.run([sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True)
    assert printed.stdout == f"{encoding}\n"
