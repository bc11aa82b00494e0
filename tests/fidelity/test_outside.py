"""Comparisons through a second tmux, in which the first one runs.

The inner tmux draws every coloured cell, including erased ones. It passes on mouse and focus events if and only if the
program has requested them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import Attached, Plain, Returning
from tests.fidelity.local_setup import LocalSetup
from tests.fidelity.scripts import MODES
from tests.fidelity.stage import Stage
from tests.fidelity.tmux import Screen, Tmux, environment

pytestmark = pytest.mark.unmeasured

SIZE = TermSize(80, 24)


class Outside(Plain):
    """A terminal of the outer tmux that shows a terminal of the inner tmux."""

    def __init__(self, terminal: Plain, inner: Tmux, outer: Tmux) -> None:
        watch = ("tmux", "-S", str(inner.socket), "attach-session", "-t", terminal.pane.id)
        super().__init__(outer.open(watch, SIZE, Path("/")))
        self._inner = terminal

    def look(self) -> Screen:
        picture = self.pane.picture()
        x, y = picture.cursor
        # the outer cursor does not show whether the next character wraps
        return Screen(picture.rows, (min(x, SIZE.cols - 1), y), {"cursor_flag": picture.flags["cursor_flag"]})

    def interrupt(self) -> None:
        if isinstance(self._inner, Returning):
            self._inner.leave()
            self._inner.come_back()


@pytest.fixture
def stage(local: LocalSetup, tmp_path: Path) -> Iterator[Stage]:
    outer = Tmux(tmp_path, environment(tmp_path))
    inner = local.tmux
    reference = Plain(inner.open(local.argv, SIZE, local.project))
    terminals = [kind(inner, local.session(SIZE), SIZE, local.project) for kind in (Attached, Returning)]
    others = {type(terminal).__name__: Outside(terminal, inner, outer) for terminal in terminals}
    stage = Stage(Outside(reference, inner, outer), others, SIZE)
    stage.prompt()
    yield stage
    outer.close()
    for pane in (reference.pane, *(terminal.pane for terminal in terminals)):
        pane.close()


def test_cells_erased_in_colour_look_the_same(stage: Stage) -> None:
    stage.type("clear; python3 programs/colours.py\r")
    screen = stage.look("what comes next")
    assert [
        row[-1][1].background for row in screen.rows if "".join(text for text, _ in row).startswith(" to the edge")
    ] == ["2"]
    stage.interrupt()
    stage.type("tput sgr0; clear; python3 programs/modes.py 'erased in colour' alternate\r")
    for text in ("text", "above"):
        stage.look(text)
        stage.interrupt()
        stage.type(" ")
        stage.look()
        stage.interrupt()
        stage.type(" ")
    stage.look("done")


def test_requested_mouse_and_focus_events_reach_the_program(stage: Stage) -> None:
    stage.type("clear; python3 programs/inputs.py\r")
    for modes in MODES:
        stage.look(f"on: {modes}")
        stage.interrupt()
        press, drag, release = "\x1b[<0;10;5M", "\x1b[<32;12;6M", "\x1b[<0;12;6m"
        move, wheel = "\x1b[<35;20;7M", "\x1b[<64;3;4M"
        stage.type(press + drag + release + move + wheel)
        stage.type("\x1b[I\x1b[O")
        stage.type("\x1b[200~a paste\x1b[201~")
        stage.type("!")
        stage.look("!")
        stage.type("Q")
    stage.look("done")
