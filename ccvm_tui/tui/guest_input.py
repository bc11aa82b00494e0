"""Strokes, pastes and mouse events → bytes for a session's program, by the modes that it has set."""

from __future__ import annotations

from textual import events

from ccvm_tui.guest import DEFAULT_CELL
from ccvm_tui.terminal import mouse as codes
from ccvm_tui.terminal.keys import Stroke, encode_key
from ccvm_tui.terminal.mouse import encode_mouse
from ccvm_tui.terminal.paste import encode_paste
from ccvm_tui.tui.grid import Grid

_WHEEL: dict[type[events.MouseEvent], int] = {
    events.MouseScrollUp: codes.WHEEL_UP,
    events.MouseScrollDown: codes.WHEEL_DOWN,
    events.MouseScrollLeft: codes.WHEEL_LEFT,
    events.MouseScrollRight: codes.WHEEL_RIGHT,
}


class GuestInput:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last_cell = (-1, -1)
        self.cell = DEFAULT_CELL
        """Width and height of a cell in pixels."""

    def stroke(self, stroke: Stroke) -> bytes:
        modes = self._grid.modes
        return stroke.raw if stroke.raw and not modes.kitty else encode_key(stroke, modes)

    def paste(self, data: bytes) -> bytes:
        return encode_paste(data, self._grid.modes)

    def mouse(self, event: events.MouseEvent, left: int, up: int) -> bytes:
        """``left`` and ``up`` are how far the shown part of the screen is from its corner."""
        grid = self._grid
        x, y = int(event.x) + left, int(event.y) + up
        x, y = min(max(0, x), max(0, grid.cols - 1)), min(max(0, y), max(0, grid.rows - 1))
        pressed = not isinstance(event, events.MouseUp)
        code = _WHEEL.get(type(event), event.button - 1 if event.button else codes.NONE)
        if isinstance(event, events.MouseMove):
            if (x, y) == self._last_cell:
                return b""
            code |= codes.MOTION
        self._last_cell = (x, y)
        code |= (codes.SHIFT if event.shift else 0) | (codes.META if event.meta else 0)
        code |= codes.CONTROL if event.ctrl else 0
        return encode_mouse(code, x, y, pressed, grid.modes, self.cell)

    def wheel_as_keys(self, direction: int, count: int) -> bytes:
        """The wheel on the alternate screen, for programs without a mouse (xterm's alternateScroll)."""
        return encode_key(Stroke("up" if direction < 0 else "down"), self._grid.modes) * count
