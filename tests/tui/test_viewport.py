"""The part of a session that is shown: it follows the cursor, and a selection disappears when its lines change."""

from __future__ import annotations

import pytest

from ccvm_tui.terminal.cells import PLAIN, Cursor, Frame, Modes, Row, Run, Style
from ccvm_tui.tui.model.text_selection import Point, Shape, TextSelection
from ccvm_tui.tui.model.viewport import Viewport, window_offset

COLS, ROWS = 40, 20


def frame(*rows: Row, cursor: Cursor = Cursor(0, 0), cols: int = COLS, full: bool = False, top: int = 50) -> Frame:  # noqa: B008 - it is frozen
    styles = {0: PLAIN, 1: Style(link="https://example.org")}
    return Frame("s1", 1, cols, ROWS, full, list(rows), styles, cursor, Modes(), 50, top, "")


def row(y: int, text: str) -> Row:
    return Row(y, [Run(text, len(text))])


def view(height: int = ROWS, width: int = COLS) -> Viewport:
    made = Viewport()
    made.resize(height, width)
    made.apply(frame(*(row(y, f"line {y}") for y in range(ROWS)), full=True))
    return made


def test_the_rows_that_changed_are_those_of_the_frame() -> None:
    shown = view()
    assert shown.apply(frame(row(3, "other"), row(5, "line 5"))) == {3}
    assert shown.line_at(3) == (53, shown.grid.lines[3])


def test_a_small_view_follows_the_cursor_and_is_drawn_again_when_it_moves() -> None:
    shown = view(height=5, width=10)
    assert shown.apply(frame(cursor=Cursor(15, 12))) == set(range(5))
    assert (shown.left, shown.above) == (6, 8)
    assert shown.cursor == Cursor(9, 4)
    assert shown.line_at(0)[0] == 58
    assert shown.apply(frame(row(9, "other"), cursor=Cursor(15, 12))) == {1}
    assert shown.point_at(0, 0) == Point(58, 6)


@pytest.mark.parametrize(
    ("offset", "cursor", "offset_after"), [(0, 5, 0), (0, 10, 1), (5, 3, 3), (5, 7, 5), (40, 39, 30), (0, 39, 30)]
)
def test_a_window_moves_as_little_as_possible(offset: int, cursor: int, offset_after: int) -> None:
    assert window_offset(offset, cursor, 10, 40) == offset_after
    assert window_offset(offset, cursor, 40, 40) == 0


def test_a_selection_disappears_when_one_of_its_lines_changes() -> None:
    shown = view()
    shown.selection = TextSelection(Point(52, 0), Point(54, 3))
    assert shown.apply(frame(row(9, "other"))) == {9}
    assert shown.selection is not None
    shown.selecting = True
    shown.apply(frame(row(3, "other")))
    assert shown.selection is not None, "it is being dragged"
    shown.selecting = False
    assert shown.apply(frame(row(3, "another"))) == shown.all_rows()
    assert shown.selection is None


def test_copy_mode_takes_the_selection_over_and_new_output_changes_no_row() -> None:
    shown = view()
    shown.selection = TextSelection(Point(52, 0), Point(54, 3))
    mode = shown.enter_copy_mode(passive=True)
    assert mode.selection == shown.selection == TextSelection(Point(52, 0), Point(54, 3))
    assert shown.apply(frame(row(3, "other"), top=51)) == set()
    assert shown.apply(frame(row(3, "other"), cols=30, full=True)) == shown.all_rows()
    assert not shown.enter_copy_mode(passive=False).passive
    assert not shown.enter_copy_mode(passive=True).passive
    assert shown.leave_copy_mode()
    assert not shown.leave_copy_mode()
    assert shown.selection is None


def test_a_link_is_found_by_its_column() -> None:
    shown = view()
    shown.apply(frame(Row(2, [Run("see ", 4), Run("this", 4, 1), Run(" page", 5)])))
    assert [shown.link_at(x, 2) for x in (3, 4, 7, 8, 30)] == ["", *["https://example.org"] * 2, "", ""]


def test_a_selection_is_dragged_and_one_without_extent_is_removed() -> None:
    shown = view()
    shown.begin_selection(2, 3, Shape.CHARACTERS)
    assert not shown.extend_selection(2, 3)
    assert shown.end_selection() is None
    shown.begin_selection(2, 3, Shape.BLOCK)
    assert shown.extend_selection(100, 100), "beyond the edge"
    assert shown.end_selection() == TextSelection(Point(53, 2), Point(69, 39), Shape.BLOCK)
    assert not shown.selecting
    assert shown.select_at(0, 1, Shape.WORDS) == shown.selection
