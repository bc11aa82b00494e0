"""How many linked cells (OSC 8) a terminal may hold, so that the emulator survives them.

libghostty-vt keeps the links of a page of its memory, some 46,000 cells, in a table that cannot grow beyond about
26,000 cells; inserting or deleting a line in a page whose table is full aborts the process (measured with 0.1.3:
none of 24,000 linked cells does, 30,000 do). Nobody but a hostile program needs so many: long before, links are
left out.
"""

from collections import deque
from typing import Final, Protocol

LINKED_MAX: Final = 16_000
"""Linked cells in a window of lines, as large as a page can become."""

MEASURE_AFTER: Final = 4_000
"""Linked cells that may be printed before the screen is looked at again. Both together stay below the danger."""

_PAGE_CELLS: Final = 46_600
_LINES_MIN: Final = 600


class LinkedScreen(Protocol):
    """What has to be known of the screen."""

    def linked_cells(self) -> int:
        """Cells of the screen that have a link."""
        ...

    def linked_history(self, lines: int) -> int:
        """Cells of the newest lines of the scrollback that have a link."""
        ...

    def position(self) -> tuple[int, int]:
        """Lines of scrollback, and the absolute number of the screen's first line."""
        ...

    def columns(self) -> int:
        """The screen's width."""
        ...


class LinkLimit:
    """Counts linked cells from above: never fewer than there are.

    Cells that were linked on the screen before, or printed since, are either still there or have been scrolled away
    (or overwritten: then the count is too high, which does no harm). So nothing but the screen has to be read.
    """

    def __init__(self, screen: LinkedScreen) -> None:
        self._screen = screen
        self._printed = 0
        _, self._top = screen.position()
        self._on_screen = screen.linked_cells()
        self._scrolled: deque[tuple[int, int]] = deque()
        if linked := screen.linked_history(self._window):
            self._scrolled.append((self._top, linked))

    @property
    def _window(self) -> int:
        return max(_LINES_MIN, _PAGE_CELLS // self._screen.columns())

    def printed(self, cells: int) -> None:
        """So many cells may have been printed with a link."""
        self._printed += cells

    @property
    def due(self) -> bool:
        """Whether `measure` has to be called before more is printed with a link."""
        return self._printed >= MEASURE_AFTER

    def measure(self) -> bool:
        """Look at the screen, on which everything counted by `printed` stands; returns whether links may go on."""
        _, top = self._screen.position()
        now = self._screen.linked_cells()
        if top > self._top:
            gone = min((top - self._top) * self._screen.columns(), self._on_screen + self._printed - now)
            if gone > 0:
                self._scrolled.append((top, gone))
        self._top, self._on_screen, self._printed = top, now, 0
        while self._scrolled and self._scrolled[0][0] < top - self._window:
            self._scrolled.popleft()
        return now + sum(cells for _, cells in self._scrolled) <= LINKED_MAX
