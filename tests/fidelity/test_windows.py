"""The size of a session is that of the terminal that typed last; terminals of other sizes show a window onto it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import Attached
from tests.fidelity.cells import Cell, trimmed
from tests.fidelity.local_setup import LocalSetup
from tests.fidelity.tmux import Screen
from tests.waiting import wait_until

pytestmark = pytest.mark.unmeasured

SMALL, MIDDLE, LARGE = TermSize(40, 12), TermSize(80, 24), TermSize(100, 30)

Part = tuple[tuple[tuple[Cell, ...], ...], tuple[int, int]]
"""Rows and the cursor in them."""


def whole(screen: Screen) -> Part:
    return screen.rows, screen.cursor


def lowest(screen: Screen) -> Part:
    """Return the part of a screen that fits ``SMALL``, with the cursor in the last row. All characters must be one cell wide."""
    x, y = screen.cursor
    top = y - SMALL.rows + 1
    return trimmed([row[: SMALL.cols] for row in screen.rows[top : y + 1]]), (x, SMALL.rows - 1)


def shows(window: Attached, leader: Attached, part: Callable[[Screen], Part] = whole) -> None:
    """Wait until the window shows that part of what the leader shows."""

    def equal() -> bool:
        return whole(window.look()) == part(leader.look())

    def message() -> str:
        found, wanted = window.look(), leader.look()
        return f"cursor {found.cursor}:\n{found.text}\nbut the leader shows: cursor {wanted.cursor}:\n{wanted.text}"

    wait_until(equal, message)


def test_a_window_shows_what_fits_and_follows_the_cursor(local: LocalSetup) -> None:
    target = local.session(MIDDLE)
    small, large, leader = (Attached(local.tmux, target, size, local.project) for size in (SMALL, LARGE, MIDDLE))
    for terminal in (small, large, leader):
        terminal.pane.until("$")
    leader.pane.type("clear; seq 14; python3 programs/colours.py\r")
    leader.pane.until("what comes next $")
    shows(large, leader)
    shows(small, leader, lowest)


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
    shows(leader, small)
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
