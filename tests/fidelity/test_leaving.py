"""A terminal that a session leaves is as it was before, and what stood in it is not lost."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import ATTACH, Returning
from tests.fidelity.house import House
from tests.fidelity.scripts import ACTS, MODES

SIZE = TermSize(80, 24)


@pytest.fixture
def way(house: House) -> Returning:
    """Attached to a session with a shell, which is at its prompt."""
    way = Returning(house.tmux, house.session(SIZE), SIZE, house.project)
    way.pane.until("$")
    return way


def test_no_mode_of_the_program_stays(house: House, way: Returning) -> None:
    untouched = house.tmux.open(("cat",), SIZE, house.project).screen().flags
    way.pane.type("python3 programs/modes.py\r")
    for text in ACTS:
        way.pane.until(text)
        way.leave()
        assert way.pane.screen().flags == untouched, text
        way.come_back()
        way.pane.until(text)
        way.pane.type("  ")
    way.pane.until("done")
    way.pane.type("python3 programs/inputs.py\r")
    for modes in MODES:
        way.pane.until(f"on: {modes}")
        way.leave()
        assert way.pane.screen().flags == untouched, modes
        way.come_back()
        way.pane.until(f"on: {modes}")
        way.pane.type("Q")


def test_what_stood_there_is_scrolled_back_to_without_a_gap(house: House) -> None:
    target = house.session(SIZE)
    pane = house.tmux.open(("sh", "-c", 'seq 30; exec "$@"', "sh", *ATTACH, target), SIZE, house.project)
    pane.until("$")
    history = ["".join(character for character, _ in row) for row in pane.history()]
    assert history == [str(number) for number in range(1, 31)]


def test_a_size_that_changed_meanwhile_is_one_change(way: Returning) -> None:
    way.pane.type("clear; python3 programs/sizes.py\r")
    way.pane.until("0: 80x24")
    way.leave()
    way.resize(TermSize(64, 22))
    way.come_back()
    assert way.pane.until("1: 64x22").text == "0: 80x24\n1: 64x22"


def test_an_end_leaves_what_the_program_printed(house: House) -> None:
    attach = (*ATTACH, house.session(SIZE))
    pane = house.tmux.open(("sh", "-c", '"$@"; echo "status $?"; cat', "sh", *attach), SIZE, house.project)
    pane.until("$")
    pane.type("clear; echo the last words; exit 7\r")
    assert pane.until("status").text == "the last words\nstatus 7"
