"""The size of a session is that of the terminal that typed last; terminals of other sizes show a window onto it."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import Attached
from tests.fidelity.cells import Cell, trimmed
from tests.fidelity.local_setup import LocalSetup
from tests.fidelity.tmux import Screen
from tests.waiting import wait_until

pytestmark = pytest.mark.unmeasured

SMALL, MIDDLE, LARGE = TermSize(40, 12), TermSize(80, 24), TermSize(100, 30)

Rows = tuple[tuple[Cell, ...], ...]


def part(screen: Screen, top: int, size: TermSize) -> Rows:
    """Return the part of a screen from row ``top`` that fits a size. All characters must be one cell wide."""
    return trimmed([row[: size.cols] for row in screen.rows[top : top + size.rows]])


def shows(terminal: Attached, rows: Rows, cursor: tuple[int, int]) -> None:
    def equal() -> bool:
        screen = terminal.look()
        return screen.rows == rows and screen.cursor == cursor

    wait_until(
        equal, lambda: f"expected cursor {cursor} and other rows, got {terminal.look().cursor}:\n{terminal.look().text}"
    )


def test_a_window_shows_what_fits_and_follows_the_cursor(local: LocalSetup) -> None:
    target = local.session(MIDDLE)
    small, large, leader = (Attached(local.tmux, target, size, local.project) for size in (SMALL, LARGE, MIDDLE))
    for terminal in (small, large, leader):
        terminal.pane.until("$")
    leader.pane.type("clear; seq 14; python3 programs/colours.py\r")
    screen = leader.pane.until("what comes next")
    shows(large, screen.rows, screen.cursor)
    x, y = screen.cursor
    shows(small, part(screen, y - SMALL.rows + 1, SMALL), (x, SMALL.rows - 1))


def test_typing_in_a_window_makes_its_terminal_the_leader(local: LocalSetup) -> None:
    target = local.session(MIDDLE)
    small = Attached(local.tmux, target, SMALL, local.project)
    small.pane.until("$")
    leader = Attached(local.tmux, target, MIDDLE, local.project)
    leader.pane.until("$")
    leader.pane.type("clear; vim -u vimrc code.py\r")
    leader.pane.until("1,1")
    small.pane.until("import sys")
    small.pane.type("Gzt")
    screen = small.pane.until("22,")
    assert len(screen.rows) == SMALL.rows
    shows(leader, screen.rows, screen.cursor)
    leader.pane.type("\x0c")
    wait_until(lambda: len(leader.look().rows) == MIDDLE.rows, lambda: f"the leader shows\n{leader.look().text}")
    leader.pane.type("k")
    leader.pane.until("21,")


def test_keys_are_encoded_by_the_programs_modes_in_a_window(local: LocalSetup) -> None:
    target = local.session(MIDDLE)
    small = Attached(local.tmux, target, SMALL, local.project)
    small.pane.until("$")
    leader = Attached(local.tmux, target, MIDDLE, local.project)
    leader.pane.until("$")
    leader.pane.type("printf '\\033[?1h\\033='\r")

    def application_keys() -> bool:
        flags = small.pane.screen().flags
        return flags["keypad_cursor_flag"] == flags["keypad_flag"] == "1"

    wait_until(application_keys, lambda: f"the window's modes: {small.pane.screen().flags}")
