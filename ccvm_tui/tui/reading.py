"""Reading a session's scrollback: where one is, what one searches and selects. New output moves nothing.

Lines have absolute numbers that are never given twice, so what is being read stays where it is while the program
prints on. Keys are vi's, arrows and PageUp work too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from ccvm_tui.terminal.cells import Attribute, Style
from ccvm_tui.terminal.keys import MODIFIER_KEYS, RELEASE, Stroke
from ccvm_tui.tui.grid import EMPTY, Grid, Line, Mark
from ccvm_tui.tui.reflow import Place, found_again, place_of
from ccvm_tui.tui.selection import Point, Selection, Shape, columns, word_at
from ccvm_tui.tui.strokes import key_name

if TYPE_CHECKING:
    from ccvm_tui.tui.widgets.terminal import Terminal

AHEAD = 120
"""Lines fetched beyond the ones in view."""

MARGIN = 2

SAVED_AT_ONCE = 2000
"""Lines fetched at a time once the session forgets its oldest ones: those that would go next."""

MATCH_LINES = 20
"""Lines of one match that are highlighted."""

LOST = Line((("~", 1, Style(attributes=Attribute.DIM)),))
"""Stands for a line that the session forgot before it was fetched."""

GLANCE_KEYS = frozenset({"pageup", "pagedown", "shift+pageup", "shift+pagedown", "escape"})
"""The reader's keys while the user only scrolled back; all others are meant for the program, as in any terminal."""


class Reading:
    """``top`` is the absolute number of the first line shown.

    ``glancing`` is set where reading was begun with the mouse: then typing leaves it and goes to the program.
    """

    class Asked(Message):
        """The reader wants something that needs the keeper or the screen: ``search``, ``back``, ``save``, ``leave``."""

        def __init__(self, terminal: Terminal, what: str) -> None:
            super().__init__()
            self.terminal = terminal
            self.what = what

    def __init__(self, terminal: Terminal, grid: Grid, height: int, width: int) -> None:
        self._terminal = terminal
        self.glancing = False
        self._grid = grid
        self.height = height
        self.width = width
        self.bottom = grid.top + grid.rows
        self._oldest_kept = grid.top
        self.top = max(self.oldest, self.bottom - height)
        self.cursor = Point(grid.top + grid.cursor.y, grid.cursor.x)
        self.matches: list[tuple[int, int, int, int]] = []
        self.total = 0
        self._by_line: dict[int, list[tuple[int, int, int]]] = {}
        self.current = -1
        self.needle = ""
        self._lines: dict[int, Line] = {grid.top + y: line for y, line in enumerate(grid.lines)}
        self._asked: set[int] = set()
        self._anchor: Selection | None = None
        self._way = -1
        self._sought: Place | None = None
        self._saved_up_to = self._forgotten = self._oldest_there

    @property
    def _oldest_there(self) -> int:
        """The oldest line that the session still has."""
        return self._grid.top - self._grid.history

    @property
    def oldest(self) -> int:
        """The oldest line to be read; what was fetched stays readable when the session forgets it."""
        return min(self._oldest_there, self._oldest_kept)

    # --- lines ---------------------------------------------------------------------------------------------

    def line(self, number: int) -> Line:
        found = self._lines.get(number)
        if found is None:
            self._want(number)
            lost = self.oldest <= number < min(self._oldest_there, self.bottom)
            return LOST if lost else EMPTY
        return found

    @property
    def lines(self) -> dict[int, Line]:
        """Those that are here: what is copied is what was seen, whatever became of it since."""
        return self._lines

    def _want(self, number: int) -> None:
        if number not in self._asked and self._oldest_there <= number < self.bottom:
            first = max(self._oldest_there, number - AHEAD)
            self._fetch(first, min(self.bottom, number + AHEAD + self.height) - first)

    def forgetting(self) -> None:
        """The session printed on. Once its scrollback is full, fetch what it would forget next before it does."""
        there = self._oldest_there
        if there > self._forgotten and there + SAVED_AT_ONCE // 2 > self._saved_up_to and there < self.bottom:
            first = max(there, self._saved_up_to)
            self._saved_up_to = min(self.bottom, first + SAVED_AT_ONCE)
            if self._saved_up_to > first:
                self._fetch(first, self._saved_up_to - first)

    def _fetch(self, first: int, count: int) -> None:
        self._asked.update(range(first, first + count))
        self._terminal.post_message(self._terminal.NeedsLines(self._terminal, first, count))

    def add_lines(self, lines: dict[int, Line]) -> None:
        for number, line in lines.items():
            self._lines.setdefault(number, line)
        self._oldest_kept = min(self._oldest_kept, min(lines, default=self._oldest_kept))
        if self._sought is not None and (top := found_again(self._lines, self._sought, self._grid.cols)) is not None:
            self._sought = None
            row = self.cursor.line - self.top
            self.top = self._clamp(top)
            self.go(self.top + row)
        self._terminal.repaint_all()

    def reflowed(self) -> None:
        """The session has another width and so other lines: all that is here is old. Find the place again."""
        grid, at_end = self._grid, self.top >= self.bottom - self.height
        if self._sought is None and not at_end:
            self._sought = place_of(self._lines, self.top)
        self._anchor = self._terminal.selection = None
        self.matches, self._by_line, self.needle = [], {}, ""
        self._lines = {grid.top + y: line for y, line in enumerate(grid.lines)}
        self._asked.clear()
        row = self.cursor.line - self.top
        self.bottom, self._oldest_kept = grid.top + grid.rows, grid.top
        self._saved_up_to = self._forgotten = self._oldest_there
        self.top = self._clamp(self.bottom if at_end else self.top)
        self.go(self.top + row)
        if self._sought is not None:
            first = max(self._oldest_there, self._sought.number - SAVED_AT_ONCE)
            self._fetch(first, min(self.bottom, first + 2 * SAVED_AT_ONCE) - first)

    # --- moving --------------------------------------------------------------------------------------------

    def _clamp(self, top: int) -> int:
        return max(self.oldest, min(top, self.bottom - self.height))

    def resized(self, height: int, width: int) -> None:
        """What is read stays in view, and the newest line at the bottom of it."""
        self.height, self.width = height, width
        self.go(*self.cursor)

    def scroll(self, lines: int) -> None:
        self.top = self._clamp(self.top + lines)
        self._terminal.repaint_all()

    def wheel(self, lines: int) -> None:
        """Scroll, and leave at the bottom unless something is selected."""
        before = self.top
        self.top = self._clamp(self.top + lines)
        line = min(max(self.cursor.line, self.top), self.top + self.height - 1)
        self.cursor = Point(line, self.cursor.column)
        if lines > 0 and self.top == self.bottom - self.height == before and self._terminal.selection is None:
            self._terminal.leave_scrollback()
        else:
            self._moved()

    def go(self, line: int, column: int | None = None) -> None:
        """Move the cursor; the view follows, and a selection begun grows."""
        line = max(self.oldest, min(line, self.bottom - 1))
        column = self.cursor.column if column is None else column
        self.cursor = Point(line, max(0, min(column, self.width - 1)))
        if line < self.top:
            self.top = line
        elif line >= self.top + self.height:
            self.top = line - self.height + 1
        self.top = self._clamp(self.top)
        if self._anchor is not None:
            self._terminal.selection = self._anchor.to(self.cursor)
        self._moved()

    def _moved(self) -> None:
        self._terminal.repaint_all()
        self._terminal.post_message(self._terminal.Changed(self._terminal))

    def takes(self, stroke: Stroke) -> bool:
        """Whether the key is the reader's; else the program is to have it, and reading is over."""
        silent = stroke.action == RELEASE or stroke.key in MODIFIER_KEYS
        return not self.glancing or silent or key_name(stroke) in GLANCE_KEYS

    def stroke(self, stroke: Stroke) -> None:
        """One key of the reading mode."""
        line, column = self.cursor
        page = max(1, self.height - MARGIN)
        match key_name(stroke):
            case "j" | "down":
                self.go(line + 1)
            case "k" | "up":
                self.go(line - 1)
            case "h" | "left":
                self.go(line, column - 1)
            case "l" | "right":
                self.go(line, column + 1)
            case "pageup" | "ctrl+b" | "shift+pageup":
                self._page(-page)
            case "pagedown" | "ctrl+f" | "shift+pagedown" | "space":
                self._page(page)
            case "ctrl+u":
                self._page(-(self.height // 2))
            case "ctrl+d":
                self._page(self.height // 2)
            case "g" | "home" | "ctrl+home":
                self.go(self.oldest, 0)
            case "G" | "upper_g" | "end" | "ctrl+end":
                self.go(self.bottom - 1, 0)
            case "0" | "circumflex_accent":
                self.go(line, 0)
            case "dollar_sign":
                self.go(line, max(0, sum(run[1] for run in self.line(line).runs) - 1))
            case "w":
                self._word(1)
            case "b":
                self._word(-1)
            case name:
                self._command(name)

    def _command(self, name: str) -> None:
        match name:
            case "v":
                self._select(Shape.CHARACTERS)
            case "V":
                self._select(Shape.LINES)
            case "ctrl+v":
                self._select(Shape.BLOCK)
            case "y" | "enter":
                if self._terminal.selection is not None:
                    self._terminal.post_message(self._terminal.Selected(self._terminal, self._terminal.selection))
                    self._anchor = None
            case "n":
                self.next_match(self._way)
            case "N":
                self.next_match(-self._way)
            case "slash":
                self._ask("search")
            case "question_mark":
                self._ask("back")
            case "s":
                self._ask("save")
            case "escape" if self._anchor is not None or self._terminal.selection is not None:
                self._anchor = self._terminal.selection = None
                self._moved()
            case "q" | "escape" | "ctrl+c":
                self._ask("leave")

    def _ask(self, what: str) -> None:
        self._terminal.post_message(self.Asked(self._terminal, what))

    def _page(self, lines: int) -> None:
        self.top = self._clamp(self.top + lines)
        self.go(self.cursor.line + lines)

    def _select(self, shape: Shape) -> None:
        if self._anchor is not None and self._anchor.shape is shape:
            self._anchor = self._terminal.selection = None
        else:
            anchor = self._anchor.anchor if self._anchor is not None else self.cursor
            self._anchor = Selection(anchor, self.cursor, shape)
            self._terminal.selection = self._anchor
        self._moved()

    def _word(self, direction: int) -> None:
        line, column = self.cursor
        content = self.line(line)
        text, starts = columns(content)
        start, end = word_at(content, column)
        if direction > 0:
            following = [at for at, char in zip(starts, text, strict=True) if at >= end and not char.isspace()]
            self.go(*((line, following[0]) if following else (line + 1, 0)))
        else:
            before = [at for at, char in zip(starts, text, strict=True) if at < start and not char.isspace()]
            target = word_at(content, before[-1])[0] if before else None
            self.go(*((line, target) if target is not None else (line - 1, self.width - 1)))

    # --- searching -----------------------------------------------------------------------------------------

    def found(self, needle: str, matches: list[tuple[int, int, int, int]], total: int, backwards: bool) -> None:
        """All matches of a search: line, column, end line, end column (inclusive), oldest first."""
        self.needle = needle
        self._way = -1 if backwards else 1
        # What was printed since reading began is not shown, so nothing in it can be gone to.
        self.matches = sorted(match for match in matches if match[0] < self.bottom)
        self.total = max(total, len(matches)) - (len(matches) - len(self.matches))
        self._by_line = {}
        for index, (line, column, end_line, end_column) in enumerate(self.matches):
            for number in range(line, min(end_line, line + MATCH_LINES) + 1):
                start = column if number == line else 0
                end = end_column + 1 if number == end_line else self.width
                self._by_line.setdefault(number, []).append((index, start, end))
        here = (self.cursor.line, self.cursor.column)
        if not self.matches:
            self.current = -1
            self._moved()
            return
        if backwards:
            earlier = [at for at, match in enumerate(self.matches) if match[:2] <= here]
            self.current = earlier[-1] if earlier else len(self.matches) - 1
        else:
            later = [at for at, match in enumerate(self.matches) if match[:2] >= here]
            self.current = later[0] if later else 0
        self._show_match()

    def next_match(self, direction: int) -> None:
        for _ in self.matches:
            self.current = (self.current + direction) % len(self.matches)
            if self.matches[self.current][0] >= self.oldest:
                self._show_match()
                break

    def _show_match(self) -> None:
        line, column, *_ = self.matches[self.current]
        if not self.top <= line < self.top + self.height:
            self.top = self._clamp(line - self.height // 3)
        self.go(line, column)

    def marks(self, number: int) -> list[Mark]:
        return [
            Mark(start, end, "current" if index == self.current else "match")
            for index, start, end in self._by_line.get(number, ())
        ]

    @property
    def _place(self) -> int:
        """The current match's number among all there are, from the oldest; the oldest may not have been sent."""
        return self.total - len(self.matches) + self.current + 1

    @property
    def position(self) -> str:
        """Where one is, for the line above the terminal."""
        above = self.top - self.oldest
        whole = self.bottom - self.oldest
        searched = f"  “{self.needle}” {self._place} of {self.total}" if self.needle else ""
        return f"reading {min(whole, above + self.height)}/{whole}{searched}"
