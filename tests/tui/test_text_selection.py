"""Selections, words, and the text of a copy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.terminal.cells import Style
from ccvm_tui.tui.model.grid import Line
from ccvm_tui.tui.model.scrollback import find_place, place_of
from ccvm_tui.tui.model.text_selection import (
    Point,
    Shape,
    TextSelection,
    selected_text,
    text_between,
    word_at,
)


def line(text: str, *, wrapped: bool = False) -> Line:
    return Line(((text, len(text), Style()),), wrapped)


LINES = {
    5: line("the quick brown"),
    6: line("fox jumps ov", wrapped=True),
    7: line("er the dog"),
    8: line("漢字 end   "),
}


def test_characters_across_lines_join_what_wrapped() -> None:
    assert selected_text(LINES, TextSelection(Point(5, 4), Point(7, 1))) == "quick brown\nfox jumps over"
    assert selected_text(LINES, TextSelection(Point(7, 1), Point(5, 4))) == "quick brown\nfox jumps over"


def test_whole_lines() -> None:
    assert selected_text(LINES, TextSelection(Point(6, 3), Point(7, 3), Shape.LINES)) == "fox jumps over the dog\n"


def test_a_block_keeps_its_lines_apart() -> None:
    assert selected_text(LINES, TextSelection(Point(5, 4), Point(7, 6), Shape.BLOCK)) == "qui\njum\nhe"


def test_words() -> None:
    assert word_at(LINES[5], 6) == (4, 9)
    assert word_at(line("see https://a.b/c?d=1, ok"), 10) == (4, 21)
    assert selected_text(LINES, TextSelection(Point(5, 6), Point(5, 6), Shape.WORDS)) == "quick"


def test_wide_characters_are_copied_whole() -> None:
    wide = Line((("漢", 2, Style()), ("字", 2, Style()), (" end", 4, Style())))
    assert text_between(wide, 0, 4) == "漢字"
    assert text_between(wide, 2, 6) == "字 e"


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=40),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_plain_text_between_is_a_slice(text: str, one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert text_between(line(text), start, end) == text[start:end]


def broken(text: str, cols: int, first: int) -> dict[int, Line]:
    """Return the lines of a text at a width."""
    lines: dict[int, Line] = {}
    for whole in text.split("\n"):
        pieces = [whole[at : at + cols] for at in range(0, max(1, len(whole)), cols)]
        for at, piece in enumerate(pieces):
            lines[first + len(lines)] = line(piece, wrapped=at < len(pieces) - 1)
    return lines


@given(st.integers(5, 60), st.integers(5, 60), st.integers(0, 39))
def test_a_place_is_found_again_at_another_width(before: int, after: int, number: int) -> None:
    text = "\n".join(f"{number} " + "x" * (number * 7 % 90) for number in range(40))
    old, new = broken(text, before, 100), broken(text, after, 70)
    at = next(at for at, one in old.items() if one.runs[0][0].startswith(f"{number} "))
    found = find_place(new, place_of(old, at), after)
    assert found is not None
    assert new[found].runs[0][0].startswith(f"{number} ")
