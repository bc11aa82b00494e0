"""Whoever types decides about a session's size; terminals of other sizes have a window onto it."""

from __future__ import annotations

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import Attached
from tests.fidelity.cells import Cell, trimmed
from tests.fidelity.house import House
from tests.fidelity.tmux import Screen
from tests.fidelity.waiting import until

SMALL, MIDDLE, LARGE = TermSize(40, 12), TermSize(80, 24), TermSize(100, 30)

Rows = tuple[tuple[Cell, ...], ...]


def part(screen: Screen, top: int, size: TermSize) -> Rows:
    """What a terminal of that size can show of a screen from row ``top`` on, whose characters have one cell each."""
    return trimmed([row[: size.cols] for row in screen.rows[top : top + size.rows]])


def shows(way: Attached, rows: Rows, cursor: tuple[int, int]) -> None:
    def equal() -> bool:
        screen = way.look()
        return screen.rows == rows and screen.cursor == cursor

    until(equal, lambda: f"cursor {cursor} and other rows expected; it shows {way.look().cursor}:\n{way.look().text}")


def test_a_window_shows_what_fits_and_follows_the_cursor(house: House) -> None:
    target = house.session(MIDDLE)
    small, large, leader = (Attached(house.tmux, target, size, house.project) for size in (SMALL, LARGE, MIDDLE))
    for way in (small, large, leader):
        way.pane.until("$")
    leader.pane.type("clear; seq 14; python3 programs/colours.py\r")
    screen = leader.pane.until("what comes next")
    shows(large, screen.rows, screen.cursor)
    x, y = screen.cursor
    shows(small, part(screen, y - SMALL.rows + 1, SMALL), (x, SMALL.rows - 1))


def test_the_first_key_in_a_window_makes_it_the_terminal(house: House) -> None:
    target = house.session(MIDDLE)
    small = Attached(house.tmux, target, SMALL, house.project)
    small.pane.until("$")
    leader = Attached(house.tmux, target, MIDDLE, house.project)
    leader.pane.until("$")
    leader.pane.type("clear; vim -u vimrc code.py\r")
    leader.pane.until("1,1")
    small.pane.until("import sys")
    small.pane.type("Gzt")
    screen = small.pane.until("22,")
    assert len(screen.rows) == SMALL.rows
    shows(leader, screen.rows, screen.cursor)
    leader.pane.type("\x0c")
    until(lambda: len(leader.look().rows) == MIDDLE.rows, lambda: f"it shows\n{leader.look().text}")
    leader.pane.type("k")
    leader.pane.until("21,")


def test_keys_mean_the_same_in_a_window(house: House) -> None:
    target = house.session(MIDDLE)
    small = Attached(house.tmux, target, SMALL, house.project)
    small.pane.until("$")
    leader = Attached(house.tmux, target, MIDDLE, house.project)
    leader.pane.until("$")
    leader.pane.type("printf '\\033[?1h\\033='\r")

    def application_keys() -> bool:
        flags = small.pane.screen().flags
        return flags["keypad_cursor_flag"] == flags["keypad_flag"] == "1"

    until(application_keys, lambda: f"the window's modes: {small.pane.screen().flags}")
