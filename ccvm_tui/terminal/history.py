"""Scrollback: permanent line numbers, the text of lines, and search."""

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
    """Line numbers that count from the session's first line.

    The library drops the oldest lines without reporting it. Therefore a pin on the newest line of the scrollback shows,
    after each feed, how far the lines have moved. ``base`` is the number of the oldest line that still exists. While
    the alternate screen is active, which has no scrollback, the numbers do not change.
    """

    def __init__(self, terminal: Handle) -> None:
        self._terminal = terminal
        self._pin: Pin | None = None
        self._history = 0
        self.base = 0

    def follow(self, *, alternate: bool) -> None:
        """Update the numbers. Call this after every feed and resize."""
        if alternate:
            return
        history = get_number(self._terminal, "SCROLLBACK_ROWS", "size_t")
        if self._pin is not None and self._history:
            line = self._pin.line() if history else None
            # If the pinned line was dropped, then so were all older ones.
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
        """Free the pin. Call this before the terminal is freed."""
        if self._pin is not None:
            self._pin.free()


def read_lines(terminal: Handle, reader: RowReader, first: int, count: int, total: int) -> list[Row]:
    """Return rows by index into scrollback and screen; ``y`` of a row is that index.

    The library reads rows only from the viewport, so the viewport is moved over the lines and then reset. ``reader``
    must not be the reader that follows the screen.
    """
    rows: list[Row] = []
    at = max(0, first)
    end = min(first + count, total)
    try:
        while at < end:
            scroll_to(terminal, at)
            _, page = reader.read(everything=True)
            # Near the end, the viewport starts before the requested line.
            start = min(at, total - len(page))
            rows += [Row(start + row.y, row.runs, row.wrapped) for row in page if at <= start + row.y < end]
            at = start + len(page)
    finally:
        scroll_to_bottom(terminal)
    return rows


def linked_cells(terminal: Handle, reader: RowReader, first: int, end: int) -> int:
    """Return the number of cells with a link in lines ``first`` to ``end``, rounded up to whole viewports."""
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
    """Return the text of lines ``first`` to ``last`` (indexes, inclusive), with soft-wrapped lines joined."""
    return format_lines(terminal, first, last, cols, plain=True).decode("utf-8", "replace")


def search(terminal: Handle, needle: str, limit: int, base: int) -> tuple[list[Match], int]:
    """Return at most ``limit`` matches of a text, ignoring case, newest first, and the number of all matches.

    ``base`` is the absolute number of the oldest line. Raises EngineError if the library fails.
    """
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
    # Locating a cell walks all pages of the library's memory, so do it once per page.
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
