"""What is read stays readable, whatever the session prints and forgets meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ccvm_tui.terminal.cells import Style
from ccvm_tui.tui.grid import EMPTY, Grid, Line
from ccvm_tui.tui.reading import LOST, Reading
from ccvm_tui.tui.selection import Selection
from ccvm_tui.tui.strokes import stroke_of

HEIGHT, HISTORY = 10, 100


def line(number: int) -> Line:
    text = f"line {number}"
    return Line(((text, len(text), Style()),))


@dataclass
class Session:
    """Stands in for the terminal widget and for the session behind it, whose scrollback is full."""

    grid: Grid = field(default_factory=Grid)
    selection: Selection | None = None
    fetched: list[tuple[int, int]] = field(default_factory=list)
    answers: bool = True

    def __post_init__(self) -> None:
        self.grid.rows, self.grid.history, self.grid.top = HEIGHT, HISTORY, HISTORY
        self.grid.lines = [line(HISTORY + row) for row in range(HEIGHT)]
        self.reading = Reading(self, self.grid, HEIGHT, 80)  # type: ignore[arg-type]

    def NeedsLines(self, _: Session, first: int, count: int) -> tuple[int, int]:
        return first, count

    def Changed(self, _: Session) -> None: ...

    def post_message(self, message: Any) -> None:
        if isinstance(message, tuple):
            self.fetched.append(message)
            if self.answers:
                self.answer()

    def answer(self) -> None:
        for first, count in self.fetched:
            there = range(self.grid.top - self.grid.history, self.grid.top + self.grid.rows)
            self.reading.add_lines({number: line(number) for number in range(first, first + count) if number in there})
        self.fetched.clear()

    def repaint_all(self) -> None: ...

    def prints(self, lines: int) -> None:
        self.grid.top += lines
        self.reading.forgetting()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.reading.stroke(stroke_of(key))

    @property
    def shown(self) -> list[Line]:
        self._draw()  # asks for what is missing
        return self._draw()

    def _draw(self) -> list[Line]:
        return [self.reading.line(self.reading.top + row) for row in range(HEIGHT)]


def test_lines_that_the_session_forgot_are_still_read_and_walked_over() -> None:
    session = Session()
    session.press("g")
    assert session.shown == [line(number) for number in range(HEIGHT)]
    for _ in range(50):
        session.prints(10)
    assert session.shown == [line(number) for number in range(HEIGHT)]
    session.press("j", "ctrl+d", "ctrl+u")
    assert session.reading.top == 0
    session.press("G")
    assert session.shown == [line(HISTORY + number) for number in range(HEIGHT)]
    assert session.reading.position == "reading 110/110"


def test_the_lines_about_to_be_forgotten_are_fetched_once() -> None:
    session = Session()
    session.answers = False
    for _ in range(200):
        session.prints(1)
    assert len(session.fetched) == 1


def test_what_went_too_fast_is_shown_as_lost_and_not_as_blank() -> None:
    session = Session()
    session.prints(5000)
    session.press("pageup")
    assert session.reading.position == "reading 10/10"
    assert session.shown == [line(HISTORY + row) for row in range(HEIGHT)]
    session = Session()
    session.press("g")
    assert session.shown[3] == line(3)
    session.reading.lines.pop(3)
    session.prints(5000)
    assert session.shown[2:5] == [line(2), LOST, line(4)]
    assert session.reading.line(-1) is EMPTY


def test_a_search_goes_the_way_it_was_asked_for_and_back_with_capital_n() -> None:
    session = Session()
    matches = [(number, 0, number, 3) for number in (10, 50, 90, 300)]
    session.press("g")
    session.reading.found("line", matches, 4, False)
    assert session.reading.position.endswith("“line” 1 of 3"), "what was printed later is not to be read"
    session.press("n")
    assert session.reading.cursor.line == 50
    session.press("N")
    assert session.reading.cursor.line == 10
    session.reading.found("line", matches, 4, True)
    session.press("n")
    assert session.reading.cursor.line == 90


def test_another_height_keeps_the_cursor_in_view_and_the_view_full() -> None:
    session = Session()
    session.press("G")
    session.reading.resized(4, 80)
    assert session.reading.top == HISTORY + HEIGHT - 4
    session.reading.resized(HEIGHT, 80)
    assert session.reading.top == HISTORY
    session.reading.resized(3, 20)
    assert session.reading.top + 3 == HISTORY + HEIGHT
