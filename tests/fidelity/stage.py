"""Several terminals that get the same input, and the comparison of their screens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

from ccvm_tui.guest import TermSize
from tests.fidelity.cells import BLANK, Cell
from tests.fidelity.tmux import Pane, Screen
from tests.waiting import WITHIN, wait_until

Mask = Callable[[Screen], Screen]
"""A function that removes the parts of a screen that differ from run to run."""


ROWS_REPORTED = 5
"""Differing rows that are reported for one screen."""


class Terminal(Protocol):
    """A terminal that shows the program, directly or through a session."""

    pane: Pane

    def look(self) -> Screen:
        """Return the program's part of the screen."""

    def resize(self, size: TermSize) -> None:
        """Change the size of the program's part of the screen."""

    def interrupt(self) -> None:
        """Detach and attach again, if the terminal does that."""

    def point(self, button: int, x: int, y: int, end: str) -> None:
        """Send a mouse report for a cell of the program's part, counted from 1. ``button`` is as in SGR reports."""


class Stage:
    """A ``reference`` and ``others`` that get the same input.

    Their screens must become equal within ``within`` seconds. A screen counts as settled after ``quiet`` seconds without
    a change.
    """

    def __init__(
        self,
        reference: Terminal,
        others: Mapping[str, Terminal],
        size: TermSize,
        *,
        within: float = WITHIN,
        quiet: float = 0.15,
    ) -> None:
        self.size = size
        self._reference = reference
        self._others = dict(others)
        self._within = within
        self._quiet = quiet

    @property
    def _terminals(self) -> list[Terminal]:
        return [self._reference, *self._others.values()]

    # --- input ----------------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        for terminal in self._terminals:
            terminal.pane.type(text)

    def key(self, *names: str) -> None:
        """Press keys, named as in tmux."""
        for terminal in self._terminals:
            for name in names:
                terminal.pane.key(name)

    def paste(self, text: str) -> None:
        for terminal in self._terminals:
            terminal.pane.paste(text)

    def point(self, button: int, x: int, y: int, end: str = "M") -> None:
        """Move or press (``M``), or release (``m``) the mouse at a cell."""
        for terminal in self._terminals:
            terminal.point(button, x, y, end)

    def resize(self, cols: int, rows: int) -> None:
        """Resize all terminals to their initial size plus ``cols`` and ``rows``."""
        for terminal in self._terminals:
            terminal.resize(TermSize(self.size.cols + cols, self.size.rows + rows))

    # --- comparison -----------------------------------------------------------------------------------------

    def look(self, *texts: str, mask: Mask | None = None) -> Screen:
        """Wait until all terminals show these texts and the same settled screen. Returns the screen."""
        return self._look(f"no {texts!r}", lambda screen: all(map(screen.shows, texts)), mask)

    def prompt(self, mask: Mask | None = None) -> Screen:
        """Wait until all terminals show the shell's prompt and the same screen. Returns the screen."""
        return self._look("no prompt", lambda screen: screen.text.splitlines()[-1:] == ["$"], mask)

    def _look(
        self,
        missing: str,
        ready: Callable[[Screen], bool],
        mask: Mask | None,
        see: Callable[[Terminal], Screen] = lambda terminal: terminal.look(),
    ) -> Screen:
        screens: list[Screen] = []
        since = time.monotonic()

        def agree() -> bool:
            nonlocal screens, since
            before, screens = screens, [mask(see(terminal)) if mask else see(terminal) for terminal in self._terminals]
            if screens != before:
                since = time.monotonic()
            settled = time.monotonic() - since >= self._quiet
            return settled and ready(screens[0]) and all(screen == screens[0] for screen in screens)

        def message() -> str:
            if not ready(screens[0]):
                return f"{missing} in the reference, which shows:\n{screens[0].text}"
            return self._message(screens)

        wait_until(agree, message, self._within)
        return screens[0]

    def interrupt(self, *texts: str, mask: Mask | None = None) -> None:
        """Detach and attach again the terminals that do that, and compare."""
        for terminal in self._others.values():
            terminal.interrupt()
        self.look(*texts, mask=mask)

    def look_reflowed(self) -> None:
        """Compare screen and scrollback together, after a change of size on the primary screen.

        Terminals differ in how many lines they move to the scrollback.
        """
        self._look("nothing", lambda _: True, None, lambda terminal: terminal.pane.scroll())

    def interrupt_reflowed(self) -> None:
        """Detach and attach again after a change of size on the primary screen, and compare."""
        for terminal in self._others.values():
            terminal.interrupt()
        self.look_reflowed()

    def disturb(self, text: str) -> None:
        """Detach and attach again in the middle of output, and wait for a text, without a comparison."""
        for terminal in self._others.values():
            terminal.interrupt()
            terminal.pane.until(text)

    def compare_history(self) -> None:
        """Compare the scrollback. That of attached terminals may have more lines at its beginning."""
        wanted = self._reference.pane.history()
        assert wanted
        for name, terminal in self._others.items():
            found = terminal.pane.history()
            differing = _rows_differ(wanted, found[len(found) - len(wanted) :] if len(found) >= len(wanted) else found)
            assert not differing, f"the scrollback through {name} differs\n{differing}"

    def _message(self, screens: list[Screen]) -> str:
        wanted = screens[0]
        different = [
            f"--- through {name}:\n{difference(wanted, screen)}"
            for name, screen in zip(self._others, screens[1:], strict=True)
            if screen != wanted
        ]
        heading = "the screens differ" if different else "the screens do not settle"
        return "\n".join([f"{heading}; the reference shows:", wanted.text, *different])


def difference(wanted: Screen, found: Screen) -> str:
    """Return a description of the differences between two screens."""
    lines = []
    if wanted.cursor != found.cursor:
        lines.append(f"cursor: expected {wanted.cursor}, got {found.cursor}")
    for name, value in wanted.flags.items():
        if found.flags.get(name) != value:
            lines.append(f"{name}: expected {value!r}, got {found.flags.get(name)!r}")
    lines.append(_rows_differ(wanted.rows, found.rows))
    return "\n".join(lines)


def _rows_differ(wanted: Sequence[tuple[Cell, ...]], found: Sequence[tuple[Cell, ...]]) -> str:
    lines = []
    differing = [y for y, (want, have) in enumerate(zip_longest(wanted, found, fillvalue=())) if want != have]
    for y in differing[:ROWS_REPORTED]:
        want = wanted[y] if y < len(wanted) else ()
        have = found[y] if y < len(found) else ()
        x = next(x for x in range(max(len(want), len(have)) + 1) if want[x : x + 1] != have[x : x + 1])
        one = want[x] if x < len(want) else BLANK
        other = have[x] if x < len(have) else BLANK
        lines.append(f"row {y} from character {x}: expected {one[0]!r} ({one[1]}), got {other[0]!r} ({other[1]})")
        lines.append(f"    expected {_text(want)!r}")
        lines.append(f"    found    {_text(have)!r}")
    if len(differing) > ROWS_REPORTED:
        lines.append(f"and {len(differing) - ROWS_REPORTED} more rows")
    return "\n".join(lines)


def _text(row: tuple[Cell, ...]) -> str:
    return "".join(character for character, _ in row)
