"""Selecting text in a session's lines: pure geometry, and the text that a copy gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from ccvm_tui.tui.grid import EMPTY, Line


class Point(NamedTuple):
    """An absolute line number and a column in cells."""

    line: int
    column: int


class Shape(Enum):
    CHARACTERS = "characters"
    WORDS = "words"
    LINES = "lines"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Selection:
    """From ``anchor`` to ``head``, both ends inclusive; a block spans their columns on every line."""

    anchor: Point
    head: Point
    shape: Shape = Shape.CHARACTERS

    @property
    def first(self) -> Point:
        return min(self.anchor, self.head)

    @property
    def last(self) -> Point:
        return max(self.anchor, self.head)

    def to(self, head: Point) -> Selection:
        return replace(self, head=head)

    def span(self, number: int, line: Line) -> tuple[int, int] | None:
        """The selected columns of a line, end exclusive; None when it has none."""
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
"""What a double click takes: names, paths and addresses whole."""


def columns(line: Line) -> tuple[str, list[int]]:
    """The line's text, and for each of its characters the column where its run's cell begins."""
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
    """The columns of the word at ``column``, end exclusive."""
    text, starts = columns(line)
    width = sum(run[1] for run in line.runs)
    for match in _WORD.finditer(text):
        start = starts[match.start()]
        end = starts[match.end()] if match.end() < len(starts) else width
        if start <= column < end:
            return start, end
    return column, column + 1


def text_between(line: Line, start: int, end: int) -> str:
    """The characters whose cells begin in the columns ``start`` to ``end`` (exclusive)."""
    out: list[str] = []
    at = 0
    for run, width, _ in line.runs:
        if at >= end:
            break
        if at + width > start:
            if start <= at and at + width <= end:
                out.append(run)
            else:
                text, starts = columns(Line(((run, width, _),)))
                out += [char for char, column in zip(text, starts, strict=True) if start <= at + column < end]
        at += width
    if at < start and out == []:
        return ""
    return "".join(out)


def copied(lines: Mapping[int, Line], selection: Selection) -> str:
    """What a copy puts on the clipboard: soft-wrapped lines joined, blanks at line ends gone."""
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
