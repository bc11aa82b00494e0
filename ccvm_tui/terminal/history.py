"""Scrollback: lines by numbers that stay, their text, and where a text occurs in them."""

from typing import Any

from ccvm_tui.terminal.cells import Match, Row
from ccvm_tui.terminal.engine import (
    SCREEN,
    Handle,
    Pin,
    check,
    ffi,
    get_number,
    lib,
    scroll_to,
    scroll_to_bottom,
)
from ccvm_tui.terminal.formatter import format_lines
from ccvm_tui.terminal.rows import RowReader


class Numbering:
    """Numbers lines from the session's first one, though the emulator forgets the oldest without telling.

    A pin on the newest line of the scrollback tells, after each feed, how far the lines have moved. `base` is the
    number of the oldest line that is left. On the alternate screen, which has no scrollback, numbers stand still.
    """

    def __init__(self, terminal: Handle) -> None:
        self._terminal = terminal
        self._pin: Pin | None = None
        self._history = 0
        self.base = 0

    def follow(self, *, alternate: bool) -> None:
        """Look how far the lines have moved; to be called after every feed and resize."""
        if alternate:
            return
        history = get_number(self._terminal, "SCROLLBACK_ROWS", "size_t")
        if self._pin is not None and self._history:
            line = self._pin.line() if history else None
            # Without its line the pin only tells that every line there was is gone.
            self.base += self._history if line is None else self._history - 1 - line
            self.base = max(0, self.base)
        if history:
            if self._pin is None:
                self._pin = Pin(self._terminal, history - 1)
            else:
                self._pin.move(history - 1)
        self._history = history

    @property
    def top(self) -> int:
        """The number of the primary screen's first line."""
        return self.base + self._history

    def free(self) -> None:
        """Give the pin back; before the terminal is freed."""
        if self._pin is not None:
            self._pin.free()


def read_lines(terminal: Handle, reader: RowReader, first: int, count: int, total: int) -> list[Row]:
    """Rows by index into scrollback and screen together; their `y` is that index.

    The library reads rows from a viewport only, so it is moved over the lines wanted and put back. `reader` must
    not be the one that follows the screen.
    """
    rows: list[Row] = []
    at = max(0, first)
    end = min(first + count, total)
    try:
        while at < end:
            scroll_to(terminal, at)
            _, page = reader.read(everything=True)
            # Near the end the viewport cannot start where it was asked to.
            start = min(at, total - len(page))
            rows += [Row(start + row.y, row.runs, row.wrapped) for row in page if at <= start + row.y < end]
            at = start + len(page)
    finally:
        scroll_to_bottom(terminal)
    return rows


def linked_cells(terminal: Handle, reader: RowReader, first: int, end: int) -> int:
    """How many cells have a link in about these lines (whole viewports are counted)."""
    count = 0
    try:
        while first < end:
            scroll_to(terminal, first)
            count += reader.linked_cells()
            first += get_number(terminal, "ROWS", "uint16_t")
    finally:
        scroll_to_bottom(terminal)
    return count


def read_text(terminal: Handle, first: int, last: int, cols: int) -> str:
    """The text of lines by index, both inclusive, soft-wrapped ones joined."""
    return format_lines(terminal, first, last, cols, plain=True).decode("utf-8", "replace")


def search(terminal: Handle, needle: str, limit: int, base: int) -> tuple[list[Match], int]:
    """Places of a text, upper and lower case alike, newest first; and how many there are in all."""
    if not needle:
        return [], 0
    out = ffi.new("GhosttySearch*")
    check(lib.ghostty_search_new(ffi.NULL, out, terminal), "search_new")
    try:
        data = needle.encode()
        buffer = ffi.from_buffer("uint8_t[]", data)
        string = ffi.new("GhosttyString*")
        string.ptr, string.len = buffer, len(data)
        check(lib.ghostty_search_set(out[0], lib.GHOSTTY_SEARCH_OPT_NEEDLE, string), "search_set")
        check(lib.ghostty_search_run(out[0]), "search_run")
        total = ffi.new("size_t*")
        check(lib.ghostty_search_get(out[0], lib.GHOSTTY_SEARCH_DATA_TOTAL_MATCHES, total), "search_get")
        if not total[0]:
            return [], 0
        selections = ffi.new("GhosttySelection[]", total[0])
        for index in range(total[0]):
            selections[index].size = ffi.sizeof("GhosttySelection")
        found = ffi.new("GhosttySelectionBuffer*")
        found.ptr, found.cap = selections, total[0]
        check(lib.ghostty_search_get(out[0], lib.GHOSTTY_SEARCH_DATA_MATCHES, found), "search_get")
        return _matches(terminal, selections, min(limit, found.len), base), int(found.len)
    finally:
        lib.ghostty_search_free(out[0])


def _matches(terminal: Handle, selections: Any, count: int, base: int) -> list[Match]:
    # To place a cell costs a walk over all pages of memory: once per page is enough.
    pages: dict[Any, int] = {}
    point = ffi.new("GhosttyPointCoordinate*")

    def line(reference: Any) -> int:
        start = pages.get(reference.node)
        if start is None:
            pointer = ffi.addressof(reference)
            check(lib.ghostty_terminal_point_from_grid_ref(terminal, pointer, SCREEN, point), "point")
            start = pages[reference.node] = int(point.y) - int(reference.y)
        return base + start + int(reference.y)

    matches = []
    for index in range(count):
        selection = selections[index]
        start, end = selection.start, selection.end
        matches.append(Match(line(start), start.x, line(end), end.x))
    return matches
