"""Strips have the widths and styles of their cells, and contain nothing hostile."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console

from ccvm_tui.terminal.cells import Attribute, Colours, Style, Underline
from ccvm_tui.text import cell_text, plain
from ccvm_tui.tui.model.grid import Line, Mark
from ccvm_tui.tui.terminal_io.strips import CellStrip, Painter, fit
from ccvm_tui.tui.terminal_io.style_book import StyleBook, safe_link

console = Console()


def painter(width: int = 10, origin: int = 0, system: ColorSystem | None = ColorSystem.TRUECOLOR) -> Painter:
    made = Painter(StyleBook(system))
    made.width, made.origin = width, origin
    return made


def rendered(*runs: tuple[str, int, Style], system: ColorSystem | None = ColorSystem.TRUECOLOR) -> str:
    return painter(sum(run[1] for run in runs), 0, system).strip(Line(runs)).render(console)


@pytest.mark.parametrize(
    ("style", "sgr"),
    [
        (Style(), ""),
        (Style(foreground=1), "31"),
        (Style(foreground=9), "91"),
        (Style(background=200), "48;5;200"),
        (Style(foreground=0x1FF8000), "38;2;255;128;0"),
        (Style(attributes=Attribute.BOLD | Attribute.DIM | Attribute.ITALIC), "1;2;3"),
        (Style(attributes=Attribute.BLINK | Attribute.REVERSE | Attribute.CONCEAL | Attribute.STRIKE), "5;7;8;9"),
        (Style(attributes=Attribute.OVERLINE), "53"),
        (Style(underline=Underline.SINGLE), "4"),
        (Style(underline=Underline.CURLY), "4:3"),
        (Style(underline=Underline.DASHED, underline_colour=0x1FF0000), "4:5;58:2::255:0:0"),
        (Style(underline=Underline.DOUBLE, underline_colour=3), "4:2;58:5:3"),
    ],
)
def test_styles_reach_the_outer_terminal_whole(style: Style, sgr: str) -> None:
    assert rendered(("x", 1, style)) == (f"\x1b[{sgr}mx\x1b[0m" if sgr else "x")


def test_colours_are_brought_down_to_what_the_terminal_has() -> None:
    style = Style(foreground=0x1FF0000, underline=Underline.CURLY, underline_colour=0x1FF0000)
    assert rendered(("x", 1, style), system=ColorSystem.STANDARD) == "\x1b[4;31mx\x1b[0m"
    assert rendered(("x", 1, style), system=ColorSystem.EIGHT_BIT) == "\x1b[4:3;58:2::255:0:0;38;5;196mx\x1b[0m"
    assert rendered(("x", 1, style), system=None) == "\x1b[4mx\x1b[0m"


@pytest.mark.parametrize(
    ("foreground", "background", "sgr"),
    [
        (250, 244, "30;47"),
        (0x1404040, 0x1787878, "97;100"),
        (0x1FAFAFA, 0x1F0F0F0, "97;107"),
        (0x1FF0000, 0x1FF0000, "31;41"),
        (0x1FAFAFA, 0x1101010, "97;40"),
    ],
)
def test_few_colours_do_not_hide_text_that_was_to_be_read(foreground: int, background: int, sgr: str) -> None:
    style = Style(foreground=foreground, background=background)
    assert rendered(("x", 1, style), system=ColorSystem.STANDARD) == f"\x1b[{sgr}mx\x1b[0m"


@pytest.mark.parametrize("colour", [256, 70_000, 0xFFFFFF, -2, -0x1000000])
def test_a_colour_that_is_none_is_the_default(colour: int) -> None:
    assert rendered(("x", 1, Style(foreground=colour, background=colour))) == "x"


def test_the_programs_own_colours_hold() -> None:
    book = StyleBook(ColorSystem.TRUECOLOR)
    assert book.set_program_colours(Colours(foreground=0x010203, palette={1: 0x040506}))
    assert book.resolve(Style()).sgr == "38;2;1;2;3"
    assert book.resolve(Style(foreground=1)).sgr == "38;2;4;5;6"
    assert not book.set_program_colours(Colours(foreground=0x010203, palette={1: 0x040506}))


def test_doubtful_widths_are_fenced_by_columns() -> None:
    family = "👨‍👩‍👧"
    strip = painter(6, 10).strip(Line(((family, 2, Style()), ("ab", 2, Style()))))
    assert strip.render(console) == f"  \x1b[11G{family}\x1b[13Gab  ", "what was there before cannot be seen beside it"
    narrow = painter(4, 0).strip(Line((("é", 2, Style()),)))
    assert narrow.render(console) == "  \x1b[1Gé\x1b[3G  "


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=6), st.integers(0, 8)), max_size=12),
    st.integers(1, 40), st.integers(0, 20), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=3),
)  # fmt: skip
def test_a_strip_is_exactly_as_wide_as_it_says(
    runs: list[tuple[str, int]], width: int, left: int, marks: list[tuple[int, int]]
) -> None:
    line = Line(tuple((cell_text(text), cells, Style()) for text, cells in runs))
    strip = painter(width).strip(line, left, [Mark(min(pair), max(pair), "match") for pair in marks])
    assert strip.cell_length == width
    assert sum(cell.width for cell in strip.cells) == width
    assert cell_len(strip.text) == width
    for start, end in ((0, width), (0, width // 2), (width // 3, width)):
        piece = strip.crop(start, end)
        assert piece.cell_length == end - start
    assert sum(piece.cell_length for piece in strip.divide([width // 2, width])) == width


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.integers(0, 8)), max_size=8), st.text(max_size=40))
def test_no_text_brings_a_sequence_of_its_own(runs: list[tuple[str, int]], link: str) -> None:
    line = Line(tuple((cell_text(text), cells, Style(link=link)) for text, cells in runs))
    out = painter(30).strip(line).render(console)
    left = re.sub(r"\x1b\[\d+G|\x1b\[\?7[hl]|\x1b\[[0-9;:]*m|\x1b\]8;[^\x1b\x07]*\x1b\\", "", out)
    assert not [char for char in left if ord(char) < 32 or 0x7F <= ord(char) < 0xA0]


@pytest.mark.parametrize(
    "bad", ["javascript:alert(1)", "file:///etc/passwd", "http://x\x1b]0;y\x07", "http://a b", "x", "http://é"]
)
def test_links_that_are_not_passed_on(bad: str) -> None:
    assert safe_link(bad) == ""


def test_links_that_are() -> None:
    assert safe_link("https://example.org/a?b=c#d") == "https://example.org/a?b=c#d"
    assert isinstance(painter().strip(Line()), CellStrip)


@given(st.text(max_size=60), st.integers(0, 40))
def test_text_is_fitted_to_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(plain(text), width)) == width
