"""The names of strokes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.terminal.keys import ALT, CTRL, SHIFT, Stroke
from ccvm_tui.tui.model.key_names import key_name, stroke_of


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
def test_names_are_converted_to_strokes(name: str, stroke: Stroke) -> None:
    assert stroke_of(name) == stroke


@pytest.mark.parametrize("name", ["", "hyperspace", "ctrl+", "blah+a"])
def test_other_names_are_rejected(name: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        stroke_of(name)


@given(st.text(min_size=1, max_size=1).filter(lambda char: char.isprintable()))
def test_the_names_of_textual_are_converted_back(char: str) -> None:
    stroke = Stroke(char.lower() if len(char.lower()) == 1 else char, SHIFT if char.lower() != char else 0, char)
    assert stroke_of(key_name(stroke), stroke.character).text == char
