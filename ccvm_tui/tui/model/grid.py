"""The screen of one session as lines of styled runs."""

from __future__ import annotations

from dataclasses import dataclass

from ccvm_tui.terminal.cells import PLAIN, Colours, Cursor, Frame, Lines, Mode, Modes, Row, Style
from ccvm_tui.text import cell_text

StyledRun = tuple[str, int, Style]
"""The text of a run, its width in cells, and its style."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as styled runs. ``wrapped`` is true if the text continues in the next line without a break."""

    runs: tuple[StyledRun, ...] = ()
    wrapped: bool = False

    @property
    def width(self) -> int:
        """The number of cells in the runs."""
        return sum(width for _, width, _ in self.runs)

    @property
    def text(self) -> str:
        """The text of the runs."""
        return "".join(text for text, _, _ in self.runs)


@dataclass(frozen=True, slots=True)
class Mark:
    """A highlighted part of a line; ``end`` is exclusive. ``kind`` is selection, match, current or cursor."""

    start: int
    end: int
    kind: str


EMPTY = Line()
"""A blank line."""


def line_of(row: Row, styles: dict[int, Style]) -> Line:
    """Convert a row, whose runs refer to ``styles``, to a line that is safe to print."""
    return Line(
        tuple((cell_text(run.text), max(0, run.width), styles.get(run.style, PLAIN)) for run in row.runs), row.wrapped
    )


def lines_of(answer: Lines) -> dict[int, Line]:
    """Return lines of the scrollback by absolute number."""
    return {row.y: line_of(row, answer.styles) for row in answer.rows}


class Grid:
    """The newest screen of a session, as received in frames.

    ``top`` is the absolute number of the screen's first line, ``history`` the number of lines in the scrollback.
    """

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
        """True if the program uses the alternate screen."""
        return self.modes.has(Mode.ALTERNATE_SCREEN)

    @property
    def oldest(self) -> int:
        """The absolute number of the oldest line that the session still has."""
        return self.top - self.history

    def numbered(self) -> dict[int, Line]:
        """Return the lines of the screen by absolute number."""
        return {self.top + row: line for row, line in enumerate(self.lines)}

    def apply(self, frame: Frame) -> set[int]:
        """Update the screen with ``frame``, and return the rows that have changed."""
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
