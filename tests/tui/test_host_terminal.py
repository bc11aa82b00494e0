"""Reports of the host terminal about its colours and cells, and text for its clipboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.guest import UNKNOWN_COLOURS, TermColours
from ccvm_tui.tui.actions.clipboard import osc52
from ccvm_tui.tui.terminal_io.host_terminal import cell_of, colours_with


@pytest.mark.parametrize(("text", "dark"), [("11;rgb:0000/0000/0000", True), ("11;rgb:ff/ff/ff", False), ("11;?", None),
                                            ("11;rgb:zz/0/0", None), ("11;rgb:ffff/ffff/e0e0", False)])  # fmt: skip
def test_backgrounds(text: str, dark: bool | None) -> None:
    reported = colours_with(UNKNOWN_COLOURS, "osc", text, cursor=True)
    assert (reported.is_dark if reported != UNKNOWN_COLOURS else None) is dark


def test_reports_of_a_terminal_add_up() -> None:
    colours = UNKNOWN_COLOURS
    for kind, text in [("osc", "10;rgb:0/8/f"), ("osc", "11;#102030"), ("osc", "12;rgba:ffff/0000/0000/ffff"),
                       ("?n", "997;2"), ("?n", "996;1"), ("osc", "13;rgb:0/0/0"), ("dcs", "11;rgb:0/0/0")]:  # fmt: skip
        colours = colours_with(colours, kind, text, cursor=True)
    assert colours == TermColours(0x0088FF, 0x102030, 0xFF0000, dark=False)
    assert not colours.is_dark, "the reported scheme has precedence over the background"
    assert colours_with(colours, "osc", "12;rgb:0/0/0", cursor=False) == colours
    assert cell_of("t", "6;21;9") == (9, 21)
    assert cell_of("t", "8;24;80") is None


@given(st.sampled_from(["osc", "?n", "t"]), st.text())
def test_invalid_reports_are_ignored(kind: str, text: str) -> None:
    colours_with(UNKNOWN_COLOURS, kind, text, cursor=True)
    cell_of(kind, text)


def test_the_clipboard_sequence_is_left_out_if_the_text_is_too_long() -> None:
    assert osc52(b"hi") == "\x1b]52;c;aGk=\x1b\\"
    assert osc52(b"x" * (2 << 20)) == ""
