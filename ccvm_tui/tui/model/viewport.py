"""The part of a session that a terminal widget shows: its live screen, or its scrollback in copy mode."""

from __future__ import annotations

from ccvm_tui.terminal.cells import Cursor, Frame
from ccvm_tui.tui.model.grid import EMPTY, Grid, Line, Mark
from ccvm_tui.tui.model.scrollback import CopyMode
from ccvm_tui.tui.model.text_selection import Point, Shape, TextSelection


class Viewport:
    """A view of ``height`` rows and ``width`` columns on a session.

    If the session's screen is larger, ``left`` and ``above`` count the columns and rows of it that are hidden on the
    left and above. ``copy_mode`` is None while the live screen is shown. ``selecting`` is true while the user drags a
    selection.
    """

    def __init__(self) -> None:
        self.grid = Grid()
        self.width = self.height = 0
        self.left = self.above = 0
        self.copy_mode: CopyMode | None = None
        self.selecting = False
        self._selection: TextSelection | None = None

    @property
    def selection(self) -> TextSelection | None:
        """The selected text, or None."""
        return self._selection if self.copy_mode is None else self.copy_mode.selection

    @selection.setter
    def selection(self, selection: TextSelection | None) -> None:
        if self.copy_mode is None:
            self._selection = selection
        else:
            self.copy_mode.selection = selection

    # --- changes -------------------------------------------------------------------------------------------

    def resize(self, height: int, width: int) -> None:
        """Change the size of the view."""
        self.height, self.width = height, width
        self.left = self.above = 0
        self._follow_cursor()
        if self.copy_mode is not None:
            self.copy_mode.resize(height, width)

    def apply(self, frame: Frame) -> set[int]:
        """Update the screen with ``frame``, and return the rows of the view that have changed.

        A selection whose lines have changed is removed, unless it is being dragged. In copy mode, the rows in view do
        not change, except that all of them do when the session's width has changed.
        """
        cols = self.grid.cols
        changed = self.grid.apply(frame)
        if self.copy_mode is not None:
            if self.grid.cols == cols:
                self.copy_mode.rescue_lines()
                return set()
            self.copy_mode.reflow()
            return self.all_rows()
        if not self.selecting and self._touches_selection(changed):
            self._selection = None
            self._follow_cursor()
            return self.all_rows()
        return self.all_rows() if self._follow_cursor() else {row - self.above for row in changed}

    def all_rows(self) -> set[int]:
        """Return every row of the view."""
        return set(range(self.height))

    def _touches_selection(self, rows: set[int]) -> bool:
        selection = self._selection
        if selection is None:
            return False
        return any(selection.first.line <= self.grid.top + row <= selection.last.line for row in rows)

    def _follow_cursor(self) -> bool:
        """Show the part of the screen that contains the cursor. Return whether the view has moved."""
        cursor, grid = self.grid.cursor, self.grid
        left = window_offset(self.left, cursor.x, self.width, grid.cols)
        above = window_offset(self.above, cursor.y, self.height, grid.rows)
        moved = (left, above) != (self.left, self.above)
        self.left, self.above = left, above
        return moved

    def enter_copy_mode(self, *, passive: bool) -> CopyMode:
        """Enter copy mode, or stay in it; an active copy mode does not become passive."""
        if self.copy_mode is None:
            mode = CopyMode(self.grid, self.height, self.width, passive=passive, selection=self._selection)
            self.copy_mode, self._selection = mode, None
        self.copy_mode.passive &= passive
        return self.copy_mode

    def leave_copy_mode(self) -> bool:
        """Return to the live screen, without a selection. Return whether copy mode was active."""
        if self.copy_mode is None:
            return False
        self.copy_mode = None
        self._follow_cursor()
        return True

    # --- selecting with the mouse --------------------------------------------------------------------------

    def begin_selection(self, x: int, y: int, shape: Shape) -> None:
        """Begin to drag a selection at a column and row of the view."""
        point = self.point_at(x, y)
        self.selection = TextSelection(point, point, shape)
        self.selecting = True

    def extend_selection(self, x: int, y: int) -> bool:
        """Drag the selection to a column and row of the view. Return whether it has changed."""
        before = self.selection
        if before is not None:
            self.selection = before.to(self.point_at(x, y))
        return self.selection != before

    def end_selection(self) -> TextSelection | None:
        """Stop dragging, and return the selection. One that has not been dragged is removed."""
        self.selecting = False
        if self.selection is not None and self.selection.anchor == self.selection.head:
            self.selection = None
        return self.selection

    def select_at(self, x: int, y: int, shape: Shape) -> TextSelection:
        """Select the word or line at a column and row of the view."""
        point = self.point_at(x, y)
        self.selection = TextSelection(point, point, shape)
        return self.selection

    # --- what is shown -------------------------------------------------------------------------------------

    def line_at(self, row: int) -> tuple[int, Line]:
        """Return the absolute number and the content of the line in a row of the view."""
        if self.copy_mode is not None:
            number = self.copy_mode.top + row
            return number, self.copy_mode.line(number)
        at = row + self.above
        return self.grid.top + at, self.grid.lines[at] if 0 <= at < len(self.grid.lines) else EMPTY

    @property
    def first_column(self) -> int:
        """The column of the line that is shown at the left edge."""
        return 0 if self.copy_mode is not None else self.left

    def point_at(self, x: int, y: int) -> Point:
        """Return the point at a column and row of the view, which are clamped to it."""
        row, column = max(0, min(y, self.height - 1)), max(0, min(x, self.width - 1))
        return Point(self.line_at(row)[0], column + self.first_column)

    def link_at(self, x: int, y: int) -> str:
        """Return the address of the link at a column and row of the view, or an empty string."""
        column, at = x + self.first_column, 0
        for _, width, style in self.line_at(y)[1].runs:
            if at <= column < at + width:
                return style.link
            at += width
        return ""

    def marks(self, row: int, cursor: tuple[int, int] | None) -> list[Mark]:
        """Return the highlighted parts of a row: matches, selection, and ``cursor`` (column and row), if drawn."""
        number, line = self.line_at(row)
        marks = [] if self.copy_mode is None else self.copy_mode.marks(number)
        if self.selection is not None and (span := self.selection.span(number, line)) is not None:
            marks.append(Mark(span[0], min(span[1], self.left + self.width), "selection"))
        if cursor is not None and cursor[1] == row:
            marks.append(Mark(cursor[0], cursor[0] + 1, "cursor"))
        return marks

    def available_lines(self) -> dict[int, Line]:
        """Return the lines that need not be fetched, by absolute number."""
        return self.grid.numbered() if self.copy_mode is None else self.copy_mode.lines

    @property
    def cursor(self) -> Cursor | None:
        """The program's cursor, relative to the view, or None if it is not visible there."""
        cursor = self.grid.cursor
        x, y = cursor.x - self.left, cursor.y - self.above
        if self.copy_mode is not None or not cursor.visible or not (0 <= x < self.width and 0 <= y < self.height):
            return None
        return Cursor(x, y, True, cursor.shape, cursor.blink)


def window_offset(offset: int, cursor: int, shown: int, whole: int) -> int:
    """Return where a window of ``shown`` cells on ``whole`` cells begins.

    The window contains the cursor and moves as little as possible from ``offset``.
    """
    if whole <= shown:
        return 0
    offset = min(offset, whole - shown)
    if cursor < offset:
        return cursor
    return max(offset, cursor - shown + 1)
