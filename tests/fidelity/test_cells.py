"""The parser for captured screens: cells that look the same are equal, others are not."""

from __future__ import annotations

import pytest

from tests.fidelity.cells import PLAIN, Rendition, parse, rendition, trimmed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\x1b[31mred", "\x1b[38;5;1mred"),
        ("\x1b[1m\x1b[31mred\x1b[0m", "\x1b[1;31mred\x1b[m"),
        ("\x1b[38;2;1;2;3mx", "\x1b[38:2::1:2:3mx"),
        ("\x1b[94mx", "\x1b[38:5:12mx"),
        ("\x1b[4mx", "\x1b[4:1mx"),
        ("\x1b[1;3mx\x1b[23my", "\x1b[1;3mx\x1b[0;1my"),
        ("\x0elqk\x0f", "┌─┐"),
        ("a   \n\n", "a"),
    ],
)
def test_different_encodings_of_the_same_cells_are_equal(one: str, other: str) -> None:
    assert trimmed(parse(one)) == trimmed(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\x1b[41m  \x1b[0m|", "  |"),
        ("\x1b[7m  \x1b[0m", "  "),
        ("\x1b[1mx", "\x1b[2mx"),
        ("\x1b[4:3mx", "\x1b[4mx"),
        ("e\u0301", "e"),
        ("a\nb", "a b"),
        ("\x1b[58:5:1mx", "x"),
    ],
)
def test_cells_that_look_different_are_not_equal(one: str, other: str) -> None:
    assert trimmed(parse(one)) != trimmed(parse(other))


def test_styles_continue_in_the_next_line() -> None:
    (first,), (second,) = parse("\x1b[7mx\ny")
    assert first[1] == second[1] == Rendition(frozenset({"reverse"}))


def test_every_rendition_can_be_reset() -> None:
    style = rendition(PLAIN, "1;2;3;4;5;7;8;9;53;31;42;58;5;3")
    assert len(style.attributes) == 8
    assert rendition(style, "22;23;24;25;27;28;29;55;39;49;59") == PLAIN
