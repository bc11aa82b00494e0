"""The same keystrokes for several terminals, and the comparison of what they show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

from ccvm_tui.guest import TermSize
from tests.fidelity.cells import BLANK, Cell
from tests.fidelity.tmux import Pane, Screen
from tests.fidelity.waiting import WITHIN, until

Mask = Callable[[Screen], Screen]
"""Takes out of a screen what is never the same twice."""


SAID = 5
"""Differing rows that are told of one screen."""


class Way(Protocol):
    """A way to the program: the plain one, or one of ours."""

    pane: Pane

    def look(self) -> Screen:
        """What the program's part of the terminal shows."""

    def resize(self, size: TermSize) -> None:
        """Give the program's part of the terminal that size."""

    def interrupt(self) -> None:
        """Detach and attach again, if this is what the way is about."""

    def point(self, button: int, x: int, y: int, end: str) -> None:
        """The terminal's report of the mouse at a cell of the program's, counted from one; button as SGR has it."""


class Stage:
    """``reference`` and the ``others``, driven in step. Screens have to become equal within ``within`` seconds.

    ``quiet`` seconds without a change are what makes a screen a settled one.
    """

    def __init__(
        self, reference: Way, others: Mapping[str, Way], size: TermSize, *, within: float = WITHIN, quiet: float = 0.15
    ) -> None:
        self.size = size
        self._reference = reference
        self._others = dict(others)
        self._within = within
        self._quiet = quiet

    @property
    def _ways(self) -> list[Way]:
        return [self._reference, *self._others.values()]

    # --- what the user does ---------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        for way in self._ways:
            way.pane.type(text)

    def key(self, *names: str) -> None:
        """Keys by tmux's names for them."""
        for way in self._ways:
            for name in names:
                way.pane.key(name)

    def paste(self, text: str) -> None:
        for way in self._ways:
            way.pane.paste(text)

    def point(self, button: int, x: int, y: int, end: str = "M") -> None:
        """Move, press (``M``) or release (``m``) the mouse there."""
        for way in self._ways:
            way.point(button, x, y, end)

    def resize(self, cols: int, rows: int) -> None:
        """Make all terminals so much wider and higher than they were at first."""
        for way in self._ways:
            way.resize(TermSize(self.size.cols + cols, self.size.rows + rows))

    # --- what he sees ---------------------------------------------------------------------------------------

    def look(self, *texts: str, mask: Mask | None = None) -> Screen:
        """Wait until all show these texts and settle on the same screen, which is returned."""
        return self._look(f"no {texts!r}", lambda screen: all(map(screen.shows, texts)), mask)

    def prompt(self, mask: Mask | None = None) -> Screen:
        """Wait until all are back at the shell's prompt, and look the same."""
        return self._look("no prompt", lambda screen: screen.text.splitlines()[-1:] == ["$"], mask)

    def _look(
        self,
        lacking: str,
        ready: Callable[[Screen], bool],
        mask: Mask | None,
        see: Callable[[Way], Screen] = lambda way: way.look(),
    ) -> Screen:
        screens: list[Screen] = []
        since = time.monotonic()

        def agree() -> bool:
            nonlocal screens, since
            before, screens = screens, [mask(see(way)) if mask else see(way) for way in self._ways]
            if screens != before:
                since = time.monotonic()
            settled = time.monotonic() - since >= self._quiet
            return settled and ready(screens[0]) and all(screen == screens[0] for screen in screens)

        def complaint() -> str:
            if not ready(screens[0]):
                return f"{lacking} in the reference, which shows:\n{screens[0].text}"
            return self._complaint(screens)

        until(agree, complaint, self._within)
        return screens[0]

    def interrupt(self, *texts: str, mask: Mask | None = None) -> None:
        """Detach and come back where that is what a way is about; nothing may look different afterwards."""
        for way in self._others.values():
            way.interrupt()
        self.look(*texts, mask=mask)

    def look_reflowed(self) -> None:
        """Look after a change of size on the primary screen.

        Which lines flow into the scrollback then is every terminal's own choice, so the screen is compared with all
        that is above it.
        """
        self._look("nothing", lambda _: True, None, lambda way: way.pane.scroll())

    def interrupt_reflowed(self) -> None:
        """Interrupt after a change of size on the primary screen."""
        for way in self._others.values():
            way.interrupt()
        self.look_reflowed()

    def disturb(self, text: str) -> None:
        """Interrupt in the middle of output, and go on when the text is seen again; compares nothing yet."""
        for way in self._others.values():
            way.interrupt()
            way.pane.until(text)

    def compare_history(self) -> None:
        """What scrolled away must be the same; ours may have more above it, from before."""
        wanted = self._reference.pane.history()
        assert wanted
        for name, way in self._others.items():
            found = way.pane.history()
            differing = _rows_differ(wanted, found[len(found) - len(wanted) :] if len(found) >= len(wanted) else found)
            assert not differing, f"the scrollback through {name} differs\n{differing}"

    def _complaint(self, screens: list[Screen]) -> str:
        wanted = screens[0]
        different = [
            f"--- through {name}:\n{difference(wanted, screen)}"
            for name, screen in zip(self._others, screens[1:], strict=True)
            if screen != wanted
        ]
        heading = "the screens differ" if different else "the screens do not settle"
        return "\n".join([f"{heading}; the reference shows:", wanted.text, *different])


def difference(wanted: Screen, found: Screen) -> str:
    """What differs, for people."""
    lines = []
    if wanted.cursor != found.cursor:
        lines.append(f"cursor: {wanted.cursor} expected, is at {found.cursor}")
    for name, value in wanted.flags.items():
        if found.flags.get(name) != value:
            lines.append(f"{name}: {value!r} expected, is {found.flags.get(name)!r}")
    lines.append(_rows_differ(wanted.rows, found.rows))
    return "\n".join(lines)


def _rows_differ(wanted: Sequence[tuple[Cell, ...]], found: Sequence[tuple[Cell, ...]]) -> str:
    lines = []
    differing = [y for y, (want, have) in enumerate(zip_longest(wanted, found, fillvalue=())) if want != have]
    for y in differing[:SAID]:
        want = wanted[y] if y < len(wanted) else ()
        have = found[y] if y < len(found) else ()
        x = next(x for x in range(max(len(want), len(have)) + 1) if want[x : x + 1] != have[x : x + 1])
        one = want[x] if x < len(want) else BLANK
        other = have[x] if x < len(have) else BLANK
        lines.append(f"row {y} from character {x}: {one[0]!r} ({one[1]}) expected, is {other[0]!r} ({other[1]})")
        lines.append(f"    expected {_text(want)!r}")
        lines.append(f"    found    {_text(have)!r}")
    if len(differing) > SAID:
        lines.append(f"and {len(differing) - SAID} rows more")
    return "\n".join(lines)


def _text(row: tuple[Cell, ...]) -> str:
    return "".join(character for character, _ in row)
