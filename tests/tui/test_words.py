"""Text of guests, made safe for the dashboard's own lines; sizes and durations."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ccvm_tui.text import plain, plain_lines, size_text, time_text
from ccvm_tui.tui.plain import fit


@given(st.text(max_size=300))
def test_plain_has_nothing_but_characters(text: str) -> None:
    out = plain(text, 100)
    assert len(out) <= 100
    assert not [char for char in out if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert plain(out, 100) == out


def test_plain_takes_off_sequences_and_piles() -> None:
    assert plain("a\x1b]0;x\x07b") == "a]0;xb"
    assert plain("e" + "\u0301" * 50) == "e\u0301\u0301"
    assert plain("abc\u202edef\u2066") == "abcdef"
    assert plain_lines("one\r\n\x1b[31mtwo\x1b[m\r\nthree\x1b]0;evil\x07", 5) == ["one", "two", "three"]
    assert plain_lines("12%\r55%\r100% done", 3) == ["100% done"]


@given(st.text(max_size=60), st.integers(0, 40))
def test_fit_fits(text: str, width: int) -> None:
    assert cell_len(fit(plain(text), width)) == width


def test_sizes_and_times() -> None:
    assert [size_text(n) for n in (900, 5 << 20, 3 << 30)] == ["0K", "5M", "3.0G"]
    assert [time_text(n) for n in (5, 300, 7500, 200_000)] == ["5s", "5m", "2h05", "2d7h"]
