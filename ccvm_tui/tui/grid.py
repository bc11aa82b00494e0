"""The newest screen of one session, row by row, with the strips drawn from it kept until their row changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ccvm_tui.terminal.cells import PLAIN, Colours, Cursor, Frame, Lines, Mode, Modes, Row, Style
from ccvm_tui.text import cell_text
from ccvm_tui.tui.strips import Cell, CellStrip, StyleBook, cut

StyledRun = tuple[str, int, Style]
"""Text, cells it takes, how it looks."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as styled runs. ``wrapped``: the next line goes on without a break."""

    runs: tuple[StyledRun, ...] = ()
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A highlighted part of a line, end exclusive. ``kind``: selection, match, current, cursor, link."""

    start: int
    end: int
    kind: str


EMPTY = Line()


def line_of(row: Row, styles: dict[int, Style]) -> Line:
    return Line(
        tuple((cell_text(run.text), max(0, run.width), styles.get(run.style, PLAIN)) for run in row.runs), row.wrapped
    )


def lines_of(answer: Lines) -> dict[int, Line]:
    """Lines of the scrollback by absolute number."""
    return {row.y: line_of(row, answer.styles) for row in answer.rows}


class Grid:
    def __init__(self) -> None:
        self.cols = 0
        self.rows = 0
        self.lines: list[Line] = []
        self.cursor = Cursor(visible=False)
        self.modes = Modes()
        self.colours = Colours()
        self.history = 0
        self.top = 0
        self.title = ""
        self.seq = -1

    @property
    def alternate(self) -> bool:
        return self.modes.has(Mode.ALTERNATE_SCREEN)

    def apply(self, frame: Frame) -> set[int]:
        """Take the frame over; returns the rows that look different now."""
        changed: set[int] = set()
        if frame.full or (frame.cols, frame.rows) != (self.cols, self.rows) or not self.lines:
            self.cols, self.rows = frame.cols, frame.rows
            self.lines = [EMPTY] * frame.rows
            changed = set(range(frame.rows))
        for row in frame.lines:
            if 0 <= row.y < self.rows:
                line = line_of(row, frame.styles)
                if row.y in changed or self.lines[row.y] != line:
                    self.lines[row.y] = line
                    changed.add(row.y)
        self.cursor = frame.cursor
        self.modes = frame.modes
        self.colours = frame.colours
        self.history = frame.history
        self.top = frame.top
        self.title = frame.title
        self.seq = frame.seq
        return changed


class Painter:
    """Lines → strips of one width at one place of the outer terminal."""

    def __init__(self, book: StyleBook) -> None:
        self.book = book
        self.width = 0
        self.origin = 0

    def strip(self, line: Line, left: int = 0, marks: Iterable[Mark] = ()) -> CellStrip:
        """Columns from ``left`` on, filled up with blanks."""
        resolve = self.book.resolve
        end = left + self.width
        cells = [Cell(text, width, resolve(style)) for text, width, style in line.runs if width]
        at = sum(cell.width for cell in cells)
        if at < end:
            cells.append(Cell(" " * (end - at), end - at, resolve(PLAIN)))
        for mark in marks:
            cells = self._mark(cells, mark)
        if left or at > end:
            cells = cut(cells, left, end)
        return CellStrip(cells, self.width, self.origin)

    def _mark(self, cells: list[Cell], mark: Mark) -> list[Cell]:
        highlight = self.book.highlight
        return [
            *cut(cells, 0, mark.start),
            *(Cell(one.text, one.width, highlight(one.style, mark.kind)) for one in cut(cells, mark.start, mark.end)),
            *cut(cells, mark.end, 1 << 16),
        ]


def window(offset: int, cursor: int, shown: int, whole: int) -> int:
    """Where a view of ``shown`` cells onto ``whole`` ones begins, so that the cursor is in it and little moves."""
    if whole <= shown:
        return 0
    if cursor < offset:
        return cursor
    if cursor >= offset + shown:
        return min(cursor - shown + 1, whole - shown)
    return min(offset, whole - shown)
