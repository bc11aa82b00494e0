"""The rows of a viewport as strips, which are kept until they change."""

from __future__ import annotations

from collections.abc import Iterable

from textual.strip import Strip

from ccvm_tui.tui.model.viewport import Viewport
from ccvm_tui.tui.terminal_io.strips import Painter
from ccvm_tui.tui.terminal_io.style_book import StyleBook


class ViewStrips:
    """The strips of ``view``'s rows, in the styles of ``book``."""

    def __init__(self, view: Viewport, book: StyleBook) -> None:
        self._view = view
        self._painter = Painter(book)
        self._strips: dict[int, Strip] = {}

    @property
    def book(self) -> StyleBook:
        """The styles. New ones replace all strips."""
        return self._painter.book

    @book.setter
    def book(self, book: StyleBook) -> None:
        self._painter.book = book
        self.forget_all()

    def place(self, width: int, origin: int) -> None:
        """Set the width of the rows, and the column of the host terminal in which they begin."""
        if (width, origin) != (self._painter.width, self._painter.origin):
            self._painter.width, self._painter.origin = width, origin
            self.forget_all()

    def forget(self, rows: Iterable[int]) -> None:
        """Create the strips of some rows again when they are needed."""
        for row in rows:
            self._strips.pop(row, None)

    def forget_all(self) -> None:
        """Create all strips again when they are needed."""
        self._strips.clear()

    def strip(self, row: int, cursor: tuple[int, int] | None) -> Strip:
        """Return the strip of a row. ``cursor`` is the column and row of a cursor that is drawn as a cell, if any."""
        strip = self._strips.get(row)
        if strip is None:
            view = self._view
            _, line = view.line_at(row)
            strip = self._strips[row] = self._painter.strip(line, view.first_column, view.marks(row, cursor))
        return strip
