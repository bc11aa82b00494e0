"""Copy mode: moving, searching and selecting in a session's scrollback while its output continues.

Lines have absolute numbers that are never reused, so the lines in view stay in view while the program prints. The keys
are those of vi; arrow keys, PageUp and PageDown work too. This module does no I/O:
``CopyMode.take_requests`` returns the lines that must be fetched, and ``CopyMode.stroke`` what else the user wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ccvm_tui.terminal.cells import Attribute, Style
from ccvm_tui.terminal.keys import MODIFIER_KEYS, RELEASE, Stroke
from ccvm_tui.tui.model.grid import EMPTY, Grid, Line, Mark
from ccvm_tui.tui.model.key_names import key_name
from ccvm_tui.tui.model.text_selection import Point, Shape, TextSelection, columns, word_at

AHEAD = 120
"""The number of lines that are fetched in advance, above and below those in view."""

OVERLAP = 2
"""The number of lines that stay in view when a page is turned."""

RESCUED_AT_ONCE = 2000
"""The number of lines fetched at once when the session is about to drop its oldest lines."""

MATCH_LINES = 20
"""The maximum number of lines of one match that are highlighted."""

MISSING = Line((("~", 1, Style(attributes=Attribute.DIM)),))
"""Shown in place of a line that the session dropped before it was fetched."""

PASSIVE_KEYS = frozenset({"pageup", "pagedown", "shift+pageup", "shift+pagedown", "escape"})
"""The keys that copy mode handles if the user has only scrolled back. All others go to the program."""

KEYS = (
    ("↑ ↓ PageUp PageDown", "move; j k Ctrl+U Ctrl+D as in vi"),
    ("g G", "first and last line"),
    ("/ ?", "search forwards, backwards"),
    ("n N", "next and previous match"),
    ("v V Ctrl+V", "select characters, lines, a block"),
    ("y or Enter", "copy the selection"),
    ("s", "save the scrollback to a file"),
    ("q or Esc", "back to the program"),
)
"""The keys of copy mode, and their descriptions for the help."""

Match = tuple[int, int, int, int]
"""A search result: line, column, last line and last column, all inclusive."""


class Intent(Enum):
    """A request of the user that copy mode cannot fulfil itself."""

    LEAVE = "leave"
    COPY = "copy"
    SEARCH_FORWARDS = "search forwards"
    SEARCH_BACKWARDS = "search backwards"
    SAVE = "save"


class CopyMode:
    """The state of copy mode for one session.

    ``top`` is the absolute number of the first line in view, ``bottom`` that of the line after the last one that can be
    read. ``passive`` is true if the user has only scrolled back: then typing ends copy mode.
    """

    def __init__(
        self, grid: Grid, height: int, width: int, *, passive: bool = False, selection: TextSelection | None = None
    ) -> None:
        self._grid = grid
        self.height = height
        self.width = width
        self.passive = passive
        self.selection = selection
        self.bottom = grid.top + grid.rows
        self._oldest_fetched = grid.top
        self.top = max(self.oldest, self.bottom - height)
        self.cursor = Point(grid.top + grid.cursor.y, grid.cursor.x)
        self.matches: list[Match] = []
        self.total = 0
        self.current = -1
        self.needle = ""
        self.lines = grid.numbered()
        """The lines that have been fetched. They stay readable when the session drops them."""
        self._matches_by_line: dict[int, list[tuple[int, int, int]]] = {}
        self._direction = -1
        self._requested: set[int] = set()
        self._requests: list[tuple[int, int]] = []
        self._growing: TextSelection | None = None
        self._sought: Place | None = None
        self._rescued = self._first_droppable = grid.oldest

    @property
    def oldest(self) -> int:
        """The absolute number of the oldest line that can be read."""
        return min(self._grid.oldest, self._oldest_fetched)

    @property
    def finding_place(self) -> bool:
        """True while the lines in view are searched for after the session's width has changed."""
        return self._sought is not None

    @property
    def position(self) -> str:
        """A description of the view and of the current match, for the line above the terminal."""
        whole = self.bottom - self.oldest
        mode = "scrollback" if self.passive else "copy mode"
        shown = f"{mode} {min(whole, self.top - self.oldest + self.height)}/{whole}"
        if not self.needle:
            return shown
        # the oldest matches may not have been sent, but they count
        place = self.total - len(self.matches) + self.current + 1
        return f"{shown}  “{self.needle}” {place} of {self.total}"

    # --- lines ---------------------------------------------------------------------------------------------

    def line(self, number: int) -> Line:
        """Return a line, and request it if it has not been fetched."""
        found = self.lines.get(number)
        if found is not None:
            return found
        oldest_kept = self._grid.oldest
        if number not in self._requested and oldest_kept <= number < self.bottom:
            first = max(oldest_kept, number - AHEAD)
            self._request(first, min(self.bottom, number + AHEAD + self.height) - first)
        return MISSING if self.oldest <= number < min(oldest_kept, self.bottom) else EMPTY

    def take_requests(self) -> list[tuple[int, int]]:
        """Return the ranges of lines to fetch, as first line and count, and forget them."""
        requests, self._requests = self._requests, []
        return requests

    def _request(self, first: int, count: int) -> None:
        self._requested.update(range(first, first + count))
        self._requests.append((first, count))

    def add_lines(self, lines: Mapping[int, Line]) -> None:
        """Add lines that have been fetched."""
        for number, line in lines.items():
            self.lines.setdefault(number, line)
        self._oldest_fetched = min(self._oldest_fetched, min(lines, default=self._oldest_fetched))
        if self._sought is None:
            return
        top = find_place(self.lines, self._sought, self._grid.cols)
        if top is not None:
            self._sought = None
            row = self.cursor.line - self.top
            self.top = self._clamp(top)
            self.go(self.top + row)

    def rescue_lines(self) -> None:
        """Request the lines that the session drops next, once its scrollback is full."""
        oldest_kept = self._grid.oldest
        dropping = oldest_kept > self._first_droppable
        if dropping and oldest_kept + RESCUED_AT_ONCE // 2 > self._rescued and oldest_kept < self.bottom:
            first = max(oldest_kept, self._rescued)
            self._rescued = min(self.bottom, first + RESCUED_AT_ONCE)
            if self._rescued > first:
                self._request(first, self._rescued - first)

    def reflow(self) -> None:
        """Discard all lines, because the session's width has changed, and look for the lines in view again."""
        grid, at_end = self._grid, self.top >= self.bottom - self.height
        if self._sought is None and not at_end:
            self._sought = place_of(self.lines, self.top)
        self._growing = self.selection = None
        self.matches, self._matches_by_line, self.needle = [], {}, ""
        self.lines = grid.numbered()
        self._requested.clear()
        row = self.cursor.line - self.top
        self.bottom, self._oldest_fetched = grid.top + grid.rows, grid.top
        self._rescued = self._first_droppable = grid.oldest
        self.top = self._clamp(self.bottom if at_end else self.top)
        self.go(self.top + row)
        if self._sought is not None:
            first = max(grid.oldest, self._sought.number - RESCUED_AT_ONCE)
            self._request(first, min(self.bottom, first + 2 * RESCUED_AT_ONCE) - first)

    # --- moving --------------------------------------------------------------------------------------------

    def _clamp(self, top: int) -> int:
        return max(self.oldest, min(top, self.bottom - self.height))

    def resize(self, height: int, width: int) -> None:
        """Change the size of the view. The cursor stays in view, and the view stays full."""
        self.height, self.width = height, width
        self.go(*self.cursor)

    def scroll(self, lines: int) -> None:
        """Move the view without the cursor."""
        self.top = self._clamp(self.top + lines)

    def wheel(self, lines: int) -> Intent | None:
        """Scroll with the mouse wheel. The intent is to leave at the bottom, unless text is selected."""
        before = self.top
        self.top = self._clamp(self.top + lines)
        line = min(max(self.cursor.line, self.top), self.top + self.height - 1)
        self.cursor = Point(line, self.cursor.column)
        at_bottom = lines > 0 and self.top == self.bottom - self.height == before
        return Intent.LEAVE if at_bottom and self.selection is None else None

    def go(self, line: int, column: int | None = None) -> None:
        """Move the cursor. The view follows, and so does a selection that was begun with a key."""
        line = max(self.oldest, min(line, self.bottom - 1))
        column = self.cursor.column if column is None else column
        self.cursor = Point(line, max(0, min(column, self.width - 1)))
        if line < self.top:
            self.top = line
        elif line >= self.top + self.height:
            self.top = line - self.height + 1
        self.top = self._clamp(self.top)
        if self._growing is not None:
            self.selection = self._growing.to(self.cursor)

    def handles(self, stroke: Stroke) -> bool:
        """Return whether copy mode handles the key. If not, copy mode ends and the key goes to the program."""
        silent = stroke.action == RELEASE or stroke.key in MODIFIER_KEYS
        return not self.passive or silent or key_name(stroke) in PASSIVE_KEYS

    def stroke(self, stroke: Stroke) -> Intent | None:
        """Handle a key, and return what the user has asked for beyond copy mode."""
        line, column = self.cursor
        page = max(1, self.height - OVERLAP)
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
                self.go(line, max(0, self.line(line).width - 1))
            case "w":
                self._next_word()
            case "b":
                self._previous_word()
            case name:
                return self._command(name)
        return None

    def _command(self, name: str) -> Intent | None:
        match name:
            case "v":
                self._select(Shape.CHARACTERS)
            case "V":
                self._select(Shape.LINES)
            case "ctrl+v":
                self._select(Shape.BLOCK)
            case "y" | "enter" if self.selection is not None:
                self._growing = None
                return Intent.COPY
            case "n":
                self.next_match(self._direction)
            case "N":
                self.next_match(-self._direction)
            case "slash":
                return Intent.SEARCH_FORWARDS
            case "question_mark":
                return Intent.SEARCH_BACKWARDS
            case "s":
                return Intent.SAVE
            case "escape" if self.selection is not None:
                self._growing = self.selection = None
            case "q" | "escape" | "ctrl+c":
                return Intent.LEAVE
        return None

    def _page(self, lines: int) -> None:
        self.top = self._clamp(self.top + lines)
        self.go(self.cursor.line + lines)

    def _select(self, shape: Shape) -> None:
        if self._growing is not None and self._growing.shape is shape:
            self._growing = self.selection = None
        else:
            anchor = self._growing.anchor if self._growing is not None else self.cursor
            self._growing = self.selection = TextSelection(anchor, self.cursor, shape)

    def _next_word(self) -> None:
        line, column = self.cursor
        text, starts = columns(self.line(line))
        end = word_at(self.line(line), column)[1]
        following = [at for at, char in zip(starts, text, strict=True) if at >= end and not char.isspace()]
        if following:
            self.go(line, following[0])
        else:
            self.go(line + 1, 0)

    def _previous_word(self) -> None:
        line, column = self.cursor
        text, starts = columns(self.line(line))
        start = word_at(self.line(line), column)[0]
        before = [at for at, char in zip(starts, text, strict=True) if at < start and not char.isspace()]
        if before:
            self.go(line, word_at(self.line(line), before[-1])[0])
        else:
            self.go(line - 1, self.width - 1)

    # --- searching -----------------------------------------------------------------------------------------

    def show_matches(self, needle: str, matches: list[Match], total: int, *, backwards: bool) -> None:
        """Highlight the matches of a search, oldest first, and go to the next one.

        ``total`` includes the oldest matches, which are left out if there are too many.
        """
        self.needle = needle
        self._direction = -1 if backwards else 1
        # what was printed after copy mode was entered cannot be shown
        self.matches = sorted(match for match in matches if match[0] < self.bottom)
        self.total = max(total, len(matches)) - (len(matches) - len(self.matches))
        self._matches_by_line = {}
        for index, (line, column, end_line, end_column) in enumerate(self.matches):
            for number in range(line, min(end_line, line + MATCH_LINES) + 1):
                start = column if number == line else 0
                end = end_column + 1 if number == end_line else self.width
                self._matches_by_line.setdefault(number, []).append((index, start, end))
        here = (self.cursor.line, self.cursor.column)
        if not self.matches:
            self.current = -1
            return
        if backwards:
            earlier = [at for at, match in enumerate(self.matches) if match[:2] <= here]
            self.current = earlier[-1] if earlier else len(self.matches) - 1
        else:
            later = [at for at, match in enumerate(self.matches) if match[:2] >= here]
            self.current = later[0] if later else 0
        self._show_match()

    def next_match(self, direction: int) -> None:
        """Go to the next match (1) or the previous one (-1), and from the last one to the first."""
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
        """Return the highlighted matches in a line."""
        return [
            Mark(start, end, "current" if index == self.current else "match")
            for index, start, end in self._matches_by_line.get(number, ())
        ]


# --- finding the same lines at another width --------------------------------------------------------------------

PLACE_TEXT = 400
"""The number of characters that identify a place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the scrollback, identified by its text, because its line number depends on the session's width.

    ``number`` is the first line of the wrapped line, ``text`` the text from there, ``into`` the number of cells between
    the beginning of the wrapped line and the place.
    """

    number: int
    text: str
    into: int


def place_of(lines: Mapping[int, Line], number: int) -> Place:
    """Return the place at the beginning of a line."""
    start, into = number, 0
    while lines.get(start - 1, EMPTY).wrapped:
        start -= 1
        into += lines[start].width
    return Place(start, _text_from(lines, start), into)


def find_place(lines: Mapping[int, Line], place: Place, cols: int) -> int | None:
    """Return the line where a place is now, the nearest one if its text occurs more than once, or None."""
    starts = [number for number in lines if not lines.get(number - 1, EMPTY).wrapped]
    for number in sorted(starts, key=lambda number: abs(number - place.number)):
        text = _text_from(lines, number)
        length = min(len(text), len(place.text))
        if length and text[:length] == place.text[:length]:
            return number + place.into // max(1, cols)
    return None


def _text_from(lines: Mapping[int, Line], number: int) -> str:
    """Return the text that begins with a line, with wrapped lines joined."""
    text = ""
    while len(text) < PLACE_TEXT and (line := lines.get(number)) is not None:
        text += line.text if line.wrapped else line.text.rstrip() + "\n"
        number += 1
    return text[:PLACE_TEXT]
