"""What reaches somebody's eyes and hands: the panes of a tmux that runs in a terminal, which is another tmux.

The inner one draws every cell that has a colour, erased or not, and passes on what a mouse does and where the focus
is if and only if the program asked for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccvm_tui.guest import TermSize
from tests.fidelity.attached import Attached, Plain, Returning
from tests.fidelity.house import House
from tests.fidelity.scripts import MODES
from tests.fidelity.stage import Stage
from tests.fidelity.tmux import Screen, Tmux, environment

SIZE = TermSize(80, 24)


class Outside(Plain):
    """Somebody in front of the terminal in which a way runs."""

    def __init__(self, way: Plain, inner: Tmux, outer: Tmux) -> None:
        watch = ("tmux", "-S", str(inner.socket), "attach-session", "-t", way.pane.id)
        super().__init__(outer.open(watch, SIZE, Path("/")))
        self._way = way

    def look(self) -> Screen:
        picture = self.pane.picture()
        x, y = picture.cursor
        # whether the next character wraps is the inner one's affair
        return Screen(picture.rows, (min(x, SIZE.cols - 1), y), {"cursor_flag": picture.flags["cursor_flag"]})

    def interrupt(self) -> None:
        if isinstance(self._way, Returning):
            self._way.leave()
            self._way.come_back()


@pytest.fixture
def stage(house: House, tmp_path: Path) -> Iterator[Stage]:
    outer = Tmux(tmp_path, environment(tmp_path))
    inner = house.tmux
    reference = Plain(inner.open(house.argv, SIZE, house.project))
    ways = [way(inner, house.session(SIZE), SIZE, house.project) for way in (Attached, Returning)]
    others = {type(way).__name__: Outside(way, inner, outer) for way in ways}
    stage = Stage(Outside(reference, inner, outer), others, SIZE)
    stage.prompt()
    yield stage
    outer.close()
    for pane in (reference.pane, *(way.pane for way in ways)):
        pane.close()


def test_cells_erased_in_colour(stage: Stage) -> None:
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


def test_mouse_and_focus_as_the_program_asked_for_them(stage: Stage) -> None:
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
