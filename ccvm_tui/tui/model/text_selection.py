"""Selections of text in a session's lines: their geometry, and the text that they copy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from ccvm_tui.tui.model.grid import EMPTY, Line


class Point(NamedTuple):
    """An absolute line number and a column in cells."""

    line: int
    column: int


class Shape(Enum):
    """The unit in which a selection grows."""

    CHARACTERS = "characters"
    WORDS = "words"
    LINES = "lines"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class TextSelection:
    """The text from ``anchor`` to ``head``, both inclusive. A block covers their columns on every line."""

    anchor: Point
    head: Point
    shape: Shape = Shape.CHARACTERS

    @property
    def first(self) -> Point:
        """The end that comes first in the text."""
        return min(self.anchor, self.head)

    @property
    def last(self) -> Point:
        """The end that comes last in the text."""
        return max(self.anchor, self.head)

    def to(self, head: Point) -> TextSelection:
        """Return the selection with another head."""
        return replace(self, head=head)

    def span(self, number: int, line: Line) -> tuple[int, int] | None:
        """Return the selected columns of a line, the end exclusive, or None if the selection does not touch it."""
        first, last = self.first, self.last
        if not first.line <= number <= last.line:
            return None
        if self.shape is Shape.LINES:
            return 0, 1 << 15
        if self.shape is Shape.BLOCK:
            left, right = sorted((self.anchor.column, self.head.column))
            return left, right + 1
        start = first.column if number == first.line else 0
        end = last.column + 1 if number == last.line else 1 << 15
        if self.shape is Shape.WORDS:
            if number == first.line:
                start = word_at(line, start)[0]
            if number == last.line:
                end = word_at(line, last.column)[1]
        return start, end


_WORD = re.compile(r"[\w.~/:@%+?&=#-]+|\s+|.", re.DOTALL)
"""A unit that a double click selects: names, paths and addresses are not split."""


def columns(line: Line) -> tuple[str, list[int]]:
    """Return the line's text, and for each of its characters the column in which its cell begins."""
    text: list[str] = []
    starts: list[int] = []
    at = 0
    for run, width, _ in line.runs:
        simple = len(run) == width
        for index, char in enumerate(run):
            text.append(char)
            starts.append(at + (index if simple else min(width - 1, index * width // max(1, len(run)))))
        at += width
    return "".join(text), starts


def word_at(line: Line, column: int) -> tuple[int, int]:
    """Return the columns of the word at ``column``, the end exclusive."""
    text, starts = columns(line)
    for match in _WORD.finditer(text):
        start = starts[match.start()]
        end = starts[match.end()] if match.end() < len(starts) else line.width
        if start <= column < end:
            return start, end
    return column, column + 1


def text_between(line: Line, start: int, end: int) -> str:
    """Return the characters whose cells begin in the columns from ``start`` to ``end`` (exclusive)."""
    out: list[str] = []
    at = 0
    for run, width, style in line.runs:
        if at >= end:
            break
        if at + width > start:
            if start <= at and at + width <= end:
                out.append(run)
            else:
                text, starts = columns(Line(((run, width, style),)))
                out += [char for char, column in zip(text, starts, strict=True) if start <= at + column < end]
        at += width
    return "".join(out)


def selected_text(lines: Mapping[int, Line], selection: TextSelection) -> str:
    """Return the text that a copy of ``selection`` yields: wrapped lines joined, without trailing blanks."""
    out: list[str] = []
    for number in range(selection.first.line, selection.last.line + 1):
        line = lines.get(number, EMPTY)
        span = selection.span(number, line)
        if span is None:
            continue
        piece = text_between(line, *span)
        if line.wrapped and selection.shape is not Shape.BLOCK and number != selection.last.line:
            out.append(piece)
        else:
            out.append(piece.rstrip(" ") + "\n")
    text = "".join(out)
    return text if selection.shape is Shape.LINES else text.removesuffix("\n")
