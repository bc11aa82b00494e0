"""Programs in the dashboard's embedded terminal look as they do right in the terminal, cell by cell."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ccvm_tui.client import listing, spawn
from ccvm_tui.errors import NoSuchGuest
from ccvm_tui.guest import SessionKind, TermSize
from ccvm_tui.protocol import LaunchSpec, SessionSpec
from tests.conftest import own_home
from tests.fidelity import scripts
from tests.fidelity.attached import Plain
from tests.fidelity.cells import Cell
from tests.fidelity.local_setup import LocalSetup
from tests.fidelity.stage import Stage
from tests.fidelity.tmux import TERM, Pane, Screen, Tmux
from tests.waiting import wait_until

ABOVE, BELOW = 2, 1
"""Header and title line, footer."""

WITHIN = 15.0
LEADER = "\x1c"
JOINER = "\u200d"
JOINING = {chr(letter) for letter in range(0x1F1E6, 0x1F200)}
"""The halves of flags."""
_numbers = itertools.count(1)


def emoji(stage: Stage) -> None:
    """With the gaps closed that are behind them."""
    scripts.emoji(stage, closed_up)


def closed_up(screen: Screen) -> Screen:
    """Without the blanks behind emoji that tmux joins; the emulator, like wcwidth(3), counts those one by one."""
    rows = []
    x, y = screen.cursor
    for number, row in enumerate(screen.rows):
        kept: list[Cell] = []
        for cell in row:
            if cell[0] == " " and kept and (kept[-1][0] in JOINING or [one[0] for one in kept[-2:-1]] == [JOINER]):
                x -= number == y  # it stands behind all of them
                continue
            kept.append(cell)
        rows.append(tuple(kept))
    return replace(screen, rows=tuple(rows), cursor=(x, y))


SCRIPTS = (
    scripts.zsh_in_one_size, scripts.vim, scripts.less, scripts.htop, scripts.colours, scripts.characters, emoji,
    scripts.sizes, scripts.top, scripts.modes, scripts.settings, scripts.inputs_inside,
)  # fmt: skip
"""Not ``zsh``: how old lines flow into a narrower terminal is the emulator's choice, and tmux chooses another way. Not
``history`` and ``reflow``: what scrolled away is behind the leader's own mode. Not ``inputs``: it types
reports that a terminal in those modes would not send."""


class CellsOnly(Plain):
    """The program right in its terminal. Modes are not compared: the outer terminal's are the dashboard's."""

    def __init__(self, pane: Pane, size: TermSize) -> None:
        super().__init__(pane)
        self.cols = size.cols

    def resize(self, size: TermSize) -> None:
        self.cols = size.cols
        super().resize(size)

    def look(self) -> Screen:
        return _shown(super().look(), 0, self.cols)


class Embedded(Plain):
    """The dashboard with its sidebar hidden, around the same program."""

    def __init__(self, server: Tmux, size: TermSize, directory: Path) -> None:
        argv = ("env", "COLORTERM=truecolor", sys.executable, "-P", "-m", "tests.tui.program")
        super().__init__(server.open(argv, _outer(size), directory))
        self.cols = size.cols
        self._until("1 session")
        self._enter()

    def _enter(self) -> None:
        self.pane.type(f"{LEADER}1")
        self._until("then")
        self.pane.type(f"{LEADER}s")
        self._until("│", there=False)

    def _until(self, text: str, *, there: bool = True) -> None:
        wait_until(
            lambda: (text in self.pane.screen().text) == there,
            lambda: f"{text!r}: expected {there}\n{self.pane.screen().text}",
        )

    def look(self) -> Screen:
        screen = self.pane.screen()
        rows = screen.rows[ABOVE:-BELOW] if len(screen.rows) > ABOVE + BELOW else ()
        last = max((y for y, row in enumerate(rows) if row), default=-1)
        return _shown(Screen(rows[: last + 1], screen.cursor, screen.flags), ABOVE, self.cols)

    def resize(self, size: TermSize) -> None:
        self.cols = size.cols
        self.pane.resize(_outer(size))

    def point(self, button: int, x: int, y: int, end: str) -> None:
        super().point(button, x, y + ABOVE, end)

    def interrupt(self) -> None:
        """Something stands above it, and goes again."""
        self.pane.type(f"{LEADER} ")
        self._until("Sessions")
        self.pane.key("Escape")
        self._until("Sessions", there=False)


def _shown(screen: Screen, above: int, cols: int) -> Screen:
    """A cursor that is hidden is nowhere; tmux counts one that waits to wrap as behind the last column."""
    visible = screen.flags["cursor_flag"]
    x, y = screen.cursor if visible == "1" else (0, above)
    return Screen(screen.rows, (min(x, cols - 1), y - above), {"cursor_flag": visible})


def _outer(size: TermSize) -> TermSize:
    return TermSize(size.cols, size.rows + ABOVE + BELOW)


@pytest.fixture(scope="module")
def house() -> Iterator[LocalSetup]:
    with pytest.MonkeyPatch.context() as patch, own_home(patch) as home:
        opened = LocalSetup(home)
        yield opened
        opened.close()


@contextlib.contextmanager
def staged(house: LocalSetup, size: TermSize) -> Iterator[Stage]:
    """The program right in its terminal, and in the dashboard; each at a shell's prompt."""
    spec = SessionSpec(SessionKind.COMMAND, house.argv, term=TERM, size=size)
    name = f"embedded-{next(_numbers)}"
    assert asyncio.run(spawn.launch(LaunchSpec(name, str(house.project), session=spec, linger=True)))
    try:
        reference = CellsOnly(house.tmux.open(house.argv, size, house.project), size)
        embedded = Embedded(house.tmux, size, house.project)
        stage = Stage(reference, {"the dashboard": embedded}, size)
        stage.prompt()
        yield stage
        for way in (reference, embedded):
            way.pane.close()
    finally:
        with contextlib.suppress(NoSuchGuest):  # what was wrong before matters more
            listing.stop_any(name, force=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_as_right_in_the_terminal(script: scripts.Script, house: LocalSetup) -> None:
    with staged(house, TermSize(80, 24)) as stage:
        script(stage)


def test_as_right_in_a_small_terminal(house: LocalSetup) -> None:
    with staged(house, TermSize(40, 12)) as stage:
        scripts.vim(stage)
