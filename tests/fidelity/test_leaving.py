"""The state and the contents of a terminal after detaching from a session."""

from __future__ import annotations

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import ATTACH, Returning
from tests.fidelity.local_setup import LocalSetup
from tests.fidelity.scripts import MODES, STEPS

pytestmark = pytest.mark.unmeasured

SIZE = TermSize(80, 24)


@pytest.fixture
def terminal(local: LocalSetup) -> Returning:
    """A terminal attached to a session with a shell at its prompt."""
    terminal = Returning(local.tmux, local.session(SIZE), SIZE, local.project)
    terminal.pane.until("$")
    return terminal


def test_detaching_resets_all_modes_of_the_program(local: LocalSetup, terminal: Returning) -> None:
    untouched = local.tmux.open(("cat",), SIZE, local.project).screen().flags
    terminal.pane.type("python3 programs/modes.py\r")
    for text in STEPS:
        terminal.pane.until(text)
        terminal.leave()
        assert terminal.pane.screen().flags == untouched, text
        terminal.come_back()
        terminal.pane.until(text)
        terminal.pane.type("  ")
    terminal.pane.until("done")
    terminal.pane.type("python3 programs/inputs.py\r")
    for modes in MODES:
        terminal.pane.until(f"on: {modes}")
        terminal.leave()
        assert terminal.pane.screen().flags == untouched, modes
        terminal.come_back()
        terminal.pane.until(f"on: {modes}")
        terminal.pane.type("Q")


def test_earlier_contents_are_in_the_scrollback_without_a_gap(local: LocalSetup) -> None:
    target = local.session(SIZE)
    pane = local.tmux.open(("sh", "-c", 'seq 30; exec "$@"', "sh", *ATTACH, target), SIZE, local.project)
    pane.until("$")
    history = ["".join(character for character, _ in row) for row in pane.history()]
    assert history == [str(number) for number in range(1, 31)]


def test_a_change_of_size_while_detached_is_reported_once(terminal: Returning) -> None:
    terminal.pane.type("clear; python3 programs/sizes.py\r")
    terminal.pane.until("0: 80x24")
    terminal.leave()
    terminal.resize(TermSize(64, 22))
    terminal.come_back()
    assert terminal.pane.until("1: 64x22").text == "0: 80x24\n1: 64x22"


def test_the_last_output_stays_visible_after_the_program_has_ended(local: LocalSetup) -> None:
    attach = (*ATTACH, local.session(SIZE))
    pane = local.tmux.open(("sh", "-c", '"$@"; echo "status $?"; cat', "sh", *attach), SIZE, local.project)
    pane.until("$")
    pane.type("clear; echo the last output; exit 7\r")
    assert pane.until("status").text == "the last output\nstatus 7"
