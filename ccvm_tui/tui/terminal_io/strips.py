"""Lines of a guest's screen as strips, which Textual's compositor takes and the host terminal gets.

A strip renders itself with the exact styles of its cells. Its widths are those of the guest's emulator. If the host
terminal may give a run another width (joined emoji, combining marks), the cursor is set by column after it, so that a
disagreement is limited to one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color as TextualColor
from textual.filter import LineFilter
from textual.strip import Strip

from ccvm_tui.terminal.cells import PLAIN
from ccvm_tui.tui.model.grid import Line, Mark
from ccvm_tui.tui.terminal_io.internals import SelfRenderingStrip
from ccvm_tui.tui.terminal_io.style_book import CellStyle, StyleBook


class Cell(NamedTuple):
    """A run with a resolved style. ``width`` is its number of cells."""

    text: str
    width: int
    style: CellStyle


class Painter:
    """A painter of strips of ``width`` cells that begin in column ``origin`` of the host terminal."""

    def __init__(self, book: StyleBook) -> None:
        self.book = book
        self.width = 0
        self.origin = 0

    def strip(self, line: Line, left: int = 0, marks: Iterable[Mark] = ()) -> CellStrip:
        """Return the columns of a line from ``left`` on, padded with blanks, with its marks highlighted."""
        resolve = self.book.resolve
        end = left + self.width
        cells = [Cell(text, width, resolve(style)) for text, width, style in line.runs if width]
        at = sum(cell.width for cell in cells)
        if at < end:
            cells.append(Cell(" " * (end - at), end - at, resolve(PLAIN)))
        for mark in marks:
            cells = self._highlight(cells, mark)
        if left or at > end:
            cells = cut(cells, left, end)
        return CellStrip(cells, self.width, self.origin)

    def _highlight(self, cells: list[Cell], mark: Mark) -> list[Cell]:
        highlight = self.book.highlight
        return [
            *cut(cells, 0, mark.start),
            *(
                Cell(text, width, highlight(style, mark.kind))
                for text, width, style in cut(cells, mark.start, mark.end)
            ),
            *cut(cells, mark.end, 1 << 16),
        ]


class CellStrip(SelfRenderingStrip):
    """One row of cells that begins in column ``origin`` of the host terminal."""

    __slots__ = ["_cells", "_origin"]

    def __init__(self, cells: Sequence[Cell], width: int, origin: int) -> None:
        super().__init__([Segment(_fitted(text, run), style.rich) for text, run, style in cells], width)
        self._cells = list(cells)
        self._origin = origin

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells of the row."""
        return self._cells

    def apply_filter(self, filter: LineFilter, background: TextualColor) -> Strip:
        """Return the strip itself: its colours are exact."""
        return self

    def apply_style(self, style: RichStyle) -> Strip:
        """Return the strip itself: its colours are exact."""
        return self

    def apply_offsets(self, x: int, y: int) -> Strip:
        """Return the strip itself: offsets serve Textual's own selection of text."""
        return self

    def crop(self, start: int, end: int | None = None) -> Strip:
        """Return the columns from ``start`` to ``end`` (exclusive)."""
        length = self.cell_length
        start = max(0, start)
        end = length if end is None else min(length, end)
        if start == 0 and end == length:
            return self
        return CellStrip(cut(self._cells, start, end), max(0, end - start), self._origin + start)

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """Return the pieces between the columns ``cuts``."""
        wanted = [at for at in cuts if at <= self.cell_length]
        if wanted == [self.cell_length]:
            return [self]
        pieces: list[Strip] = []
        start = 0
        for end in wanted:
            pieces.append(self.crop(start, end))
            start = end
        return pieces

    def rendered(self) -> str:
        """Create the text of the strip."""
        out: list[str] = []
        column = self._origin + 1  # columns of CHA are counted from 1
        end = column + self.cell_length
        for text, width, style in _clusters(self._cells):
            column += width
            if not text.isascii():
                if cell_len(text) != width or _cluster.search(text):  # a terminal may give it fewer cells
                    text = f"{' ' * width}\x1b[{column - width}G{text}"
                text = f"{text}\x1b[{column}G"
                if column == end:  # some terminals that do not wrap draw a mark in the last column beside it
                    text = f"\x1b[?7h{text}\x1b[?7l"
            if style.sgr:
                text = f"\x1b[{style.sgr}m{text}\x1b[0m"
            if style.link:
                text = f"{style.link}{text}\x1b]8;;\x1b\\"
            out.append(text)
        return "".join(out)


ZERO_WIDTH_JOINER = "\u200d"
_cluster = re.compile("[\u200d\u20e3\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
"""The characters that form one picture with others: joiners, keycaps, variants, flags, skin tones."""


def _clusters(cells: Sequence[Cell]) -> Iterable[Cell]:
    """Yield the cells, with those joined that a terminal may draw as one picture."""
    held: Cell | None = None
    for cell in cells:
        if held is not None and held.style is cell.style and _joins(held.text, cell.text):
            held = Cell(held.text + cell.text, held.width + cell.width, held.style)
            continue
        if held is not None:
            yield held
        held = cell
    if held is not None:
        yield held


def _joins(before: str, after: str) -> bool:
    if before.endswith(ZERO_WIDTH_JOINER):
        return not after.isascii()
    flags = "\U0001f1e6" <= before[-1:] <= "\U0001f1ff" and "\U0001f1e6" <= after[:1] <= "\U0001f1ff"
    return flags and sum("\U0001f1e6" <= char <= "\U0001f1ff" for char in before) % 2 == 1


def fit(text: str, width: int) -> str:
    """Return ``text`` in exactly ``width`` cells, padded or cut off with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def _fitted(text: str, width: int) -> str:
    return text if text.isascii() and len(text) == width else set_cell_size(text, width)


def cut(cells: Sequence[Cell], start: int, end: int) -> list[Cell]:
    """Return the columns from ``start`` to ``end`` (exclusive). Half a wide character becomes a blank."""
    pieces: list[Cell] = []
    at = 0
    for cell in cells:
        after = at + cell.width
        if after > start and at < end:
            if at >= start and after <= end:
                pieces.append(cell)
            else:
                pieces.append(_part(cell, max(0, start - at), min(cell.width, end - at)))
        at = after
        if at >= end:
            break
    return pieces


def _part(cell: Cell, start: int, end: int) -> Cell:
    if cell.text.isascii() and len(cell.text) == cell.width:
        return Cell(cell.text[start:end], end - start, cell.style)
    _, right = Segment(_fitted(cell.text, cell.width)).split_cells(start)
    left, _ = right.split_cells(end - start)
    return Cell(left.text, end - start, cell.style)
