"""Copy mode keeps the lines in view while the session prints and drops lines."""

from __future__ import annotations

import pytest

from ccvm_tui.terminal.cells import Style
from ccvm_tui.tui.model.grid import EMPTY, Grid, Line
from ccvm_tui.tui.model.key_names import stroke_of
from ccvm_tui.tui.model.scrollback import MISSING, CopyMode, Intent
from ccvm_tui.tui.model.text_selection import Point, Shape, TextSelection

HEIGHT, HISTORY = 10, 100


def line(number: int) -> Line:
    text = f"line {number}"
    return Line(((text, len(text), Style()),))


class Session:
    """A session whose scrollback is full, and copy mode on it. Requested lines are fetched unless ``slow``."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow
        self.grid = Grid()
        self.grid.rows, self.grid.history, self.grid.top = HEIGHT, HISTORY, HISTORY
        self.grid.lines = [line(HISTORY + row) for row in range(HEIGHT)]
        self.mode = CopyMode(self.grid, HEIGHT, 80)
        self.requests: list[tuple[int, int]] = []

    def fetch(self) -> None:
        self.requests += self.mode.take_requests()
        if self.slow:
            return
        for first, count in self.requests:
            existing = range(self.grid.oldest, self.grid.top + self.grid.rows)
            self.mode.add_lines({number: line(number) for number in range(first, first + count) if number in existing})
        self.requests.clear()

    def prints(self, lines: int) -> None:
        self.grid.top += lines
        self.mode.rescue_lines()
        self.fetch()

    def press(self, *keys: str) -> Intent | None:
        intent = None
        for key in keys:
            intent = self.mode.stroke(stroke_of(key))
            self.fetch()
        return intent

    @property
    def shown(self) -> list[Line]:
        self._draw()  # requests what is missing
        self.fetch()
        return self._draw()

    def _draw(self) -> list[Line]:
        return [self.mode.line(self.mode.top + row) for row in range(HEIGHT)]


def test_lines_that_the_session_has_dropped_remain_readable() -> None:
    session = Session()
    session.press("g")
    assert session.shown == [line(number) for number in range(HEIGHT)]
    for _ in range(50):
        session.prints(10)
    assert session.shown == [line(number) for number in range(HEIGHT)]
    session.press("j", "ctrl+d", "ctrl+u")
    assert session.mode.top == 0
    session.press("G")
    assert session.shown == [line(HISTORY + number) for number in range(HEIGHT)]
    assert session.mode.position == "copy mode 110/110"


def test_lines_about_to_be_dropped_are_requested_once() -> None:
    session = Session(slow=True)
    for _ in range(200):
        session.prints(1)
    assert len(session.requests) == 1


def test_lines_that_were_dropped_too_fast_are_shown_as_missing() -> None:
    session = Session()
    session.prints(5000)
    session.press("pageup")
    assert session.mode.position == "copy mode 10/10"
    assert session.shown == [line(HISTORY + row) for row in range(HEIGHT)]
    session = Session()
    session.press("g")
    assert session.shown[3] == line(3)
    session.mode.lines.pop(3)
    session.prints(5000)
    assert session.shown[2:5] == [line(2), MISSING, line(4)]
    assert session.mode.line(-1) is EMPTY


def test_a_search_goes_in_its_direction_and_back_with_capital_n() -> None:
    session = Session()
    matches = [(number, 0, number, 3) for number in (10, 50, 90, 300)]
    session.press("g")
    session.mode.show_matches("line", matches, 4, backwards=False)
    assert session.mode.position.endswith("“line” 1 of 3"), "later output is not shown"
    session.press("n")
    assert session.mode.cursor.line == 50
    session.press("N")
    assert session.mode.cursor.line == 10
    session.mode.show_matches("line", matches, 4, backwards=True)
    session.press("n")
    assert session.mode.cursor.line == 90


def test_another_height_keeps_the_cursor_in_view_and_the_view_full() -> None:
    session = Session()
    session.press("G")
    session.mode.resize(4, 80)
    assert session.mode.top == HISTORY + HEIGHT - 4
    session.mode.resize(HEIGHT, 80)
    assert session.mode.top == HISTORY
    session.mode.resize(3, 20)
    assert session.mode.top + 3 == HISTORY + HEIGHT


@pytest.mark.parametrize(
    ("key", "intent"),
    [
        ("slash", Intent.SEARCH_FORWARDS),
        ("question_mark", Intent.SEARCH_BACKWARDS),
        ("s", Intent.SAVE),
        ("q", Intent.LEAVE),
        ("escape", Intent.LEAVE),
        ("ctrl+c", Intent.LEAVE),
        ("y", None),
        ("j", None),
        ("f1", None),
    ],
)
def test_a_key_returns_what_copy_mode_cannot_do_itself(key: str, intent: Intent | None) -> None:
    assert Session().press(key) is intent


def test_a_selection_grows_is_copied_and_is_removed() -> None:
    session = Session()
    session.press("g", "v", "j", "l")
    assert session.mode.selection == TextSelection(Point(0, 0), Point(1, 1))
    session.press("V")
    assert session.mode.selection == TextSelection(Point(0, 0), Point(1, 1), Shape.LINES)
    assert session.press("y") is Intent.COPY
    session.press("j")
    assert session.mode.selection.head == Point(1, 1), "it no longer grows"
    assert session.press("escape") is None
    assert session.mode.selection is None


def test_the_wheel_leaves_at_the_bottom_unless_text_is_selected() -> None:
    session = Session()
    session.press("G")
    assert session.mode.wheel(-3) is None
    assert session.mode.wheel(3) is None
    assert session.mode.wheel(3) is Intent.LEAVE
    session.mode.selection = TextSelection(Point(105, 0), Point(106, 0))
    assert session.mode.wheel(3) is None


def test_passive_mode_handles_only_scrolling() -> None:
    session = Session()
    session.mode.passive = True
    assert session.mode.handles(stroke_of("pageup"))
    assert session.mode.handles(stroke_of("escape"))
    assert not session.mode.handles(stroke_of("j"))
    assert session.mode.position.startswith("scrollback ")
