"""Programs in the dashboard's embedded terminal look as they do in the terminal itself, cell by cell."""

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

pytestmark = pytest.mark.unmeasured

ABOVE, BELOW = 2, 1
"""The number of rows of the dashboard above (header, title) and below (footer) the embedded terminal."""

WITHIN = 15.0
LEADER = "\x1c"
JOINER = "\u200d"
JOINING = {chr(letter) for letter in range(0x1F1E6, 0x1F200)}
"""The regional indicators, of which two are a flag."""
_numbers = itertools.count(1)


def emoji(stage: Stage) -> None:
    """Run the script for emoji, and compare without the gaps behind them."""
    scripts.emoji(stage, closed_up)


def closed_up(screen: Screen) -> Screen:
    """Return the screen without the blanks behind emoji that tmux joins. The emulator counts each, like wcwidth(3)."""
    rows = []
    x, y = screen.cursor
    for number, row in enumerate(screen.rows):
        kept: list[Cell] = []
        for cell in row:
            if cell[0] == " " and kept and (kept[-1][0] in JOINING or [one[0] for one in kept[-2:-1]] == [JOINER]):
                x -= number == y  # the cursor is behind all of them
                continue
            kept.append(cell)
        rows.append(tuple(kept))
    return replace(screen, rows=tuple(rows), cursor=(x, y))


SCRIPTS = (
    scripts.zsh_in_one_size, scripts.vim, scripts.less, scripts.htop, scripts.colours, scripts.characters, emoji,
    scripts.sizes, scripts.top, scripts.modes, scripts.settings, scripts.inputs_inside,
)  # fmt: skip
"""The scripts that are compared.

``zsh`` is missing because tmux and the emulator reflow old lines differently, ``history`` and ``reflow`` because the
scrollback is in copy mode, and ``inputs`` because it types reports that a terminal in those modes would not send."""


class CellsOnly(Plain):
    """The program directly in its terminal. Modes are not compared: those of the outer terminal are the dashboard's."""

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
        """Open a dialog above the terminal, and close it."""
        self.pane.type(f"{LEADER} ")
        self._until("Sessions")
        self.pane.key("Escape")
        self._until("Sessions", there=False)


def _shown(screen: Screen, above: int, cols: int) -> Screen:
    """Return the part below ``above``. tmux reports a cursor that will wrap behind the last column; a hidden one is ignored."""
    visible = screen.flags["cursor_flag"]
    x, y = screen.cursor if visible == "1" else (0, above)
    return Screen(screen.rows, (min(x, cols - 1), y - above), {"cursor_flag": visible})


def _outer(size: TermSize) -> TermSize:
    return TermSize(size.cols, size.rows + ABOVE + BELOW)


@pytest.fixture(scope="module")
def setup() -> Iterator[LocalSetup]:
    with pytest.MonkeyPatch.context() as patch, own_home(patch) as home:
        opened = LocalSetup(home)
        yield opened
        opened.close()


@contextlib.contextmanager
def staged(setup: LocalSetup, size: TermSize) -> Iterator[Stage]:
    """Yield a stage with a shell directly in its terminal and one in the dashboard, both at the prompt."""
    spec = SessionSpec(SessionKind.COMMAND, setup.argv, term=TERM, size=size)
    name = f"embedded-{next(_numbers)}"
    assert asyncio.run(spawn.launch(LaunchSpec(name, str(setup.project), session=spec, linger=True)))
    try:
        reference = CellsOnly(setup.tmux.open(setup.argv, size, setup.project), size)
        embedded = Embedded(setup.tmux, size, setup.project)
        stage = Stage(reference, {"the dashboard": embedded}, size)
        stage.prompt()
        yield stage
        for way in (reference, embedded):
            way.pane.close()
    finally:
        with contextlib.suppress(NoSuchGuest):  # the first error matters more
            listing.stop_any(name, force=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_as_right_in_the_terminal(script: scripts.Script, setup: LocalSetup) -> None:
    with staged(setup, TermSize(80, 24)) as stage:
        script(stage)


def test_as_right_in_a_small_terminal(setup: LocalSetup) -> None:
    with staged(setup, TermSize(40, 12)) as stage:
        scripts.vim(stage)
