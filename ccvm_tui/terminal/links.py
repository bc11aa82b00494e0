"""A limit on linked cells (OSC 8), which keeps the emulator from aborting.

libghostty-vt stores the links of one page of its memory (about 46,600 cells) in a table that cannot hold more than
about 26,000 linked cells. Inserting or deleting a line in a page whose table is full aborts the process. Measured with
version 0.1.3: 24,000 linked cells are safe, 30,000 abort. Only a hostile program prints so many, so links are left out
long before that.
"""

from collections import deque
from typing import Final, Protocol

LINKED_MAX: Final = 16_000
"""Linked cells allowed in a window of as many lines as a page can hold."""

MEASURE_AFTER: Final = 4_000
"""Linked cells that may be printed between two measurements. The sum of both limits is safe."""

_PAGE_CELLS: Final = 46_600
_LINES_MIN: Final = 600


class LinkedScreen(Protocol):
    """The part of a screen's interface that ``LinkLimit`` needs."""

    def linked_cells(self) -> int:
        """Return the number of cells of the screen that have a link."""
        ...

    def linked_history(self, lines: int) -> int:
        """Return the number of cells with a link in the newest ``lines`` lines of the scrollback."""
        ...

    def position(self) -> tuple[int, int]:
        """Return the number of lines in the scrollback, and the absolute number of the screen's first line."""
        ...

    def columns(self) -> int:
        """Return the width of the screen in cells."""
        ...


class LinkLimit:
    """An upper bound of the number of linked cells in the lines of one page.

    A cell that was linked on the screen at the last measurement, or printed since, is either still on the screen or has
    scrolled into the scrollback. If it was overwritten, the bound is too high, which does no harm. Therefore a
    measurement reads only the screen.
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
        """Count at most ``cells`` cells that were printed with a link."""
        self._printed += cells

    @property
    def due(self) -> bool:
        """True if ``measure`` must be called before more cells are printed with a link."""
        return self._printed >= MEASURE_AFTER

    def measure(self) -> bool:
        """Count the linked cells of the screen, and return whether more links may be printed.

        Everything counted by ``printed`` must have been fed to the screen.
        """
        _, top = self._screen.position()
        now = self._screen.linked_cells()
        if top > self._top:
            scrolled = min((top - self._top) * self._screen.columns(), self._on_screen + self._printed - now)
            if scrolled > 0:
                self._scrolled.append((top, scrolled))
        self._top, self._on_screen, self._printed = top, now, 0
        while self._scrolled and self._scrolled[0][0] < top - self._window:
            self._scrolled.popleft()
        return now + sum(cells for _, cells in self._scrolled) <= LINKED_MAX
