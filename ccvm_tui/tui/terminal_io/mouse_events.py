"""Textual's mouse events as the button codes of xterm's mouse reports."""

from __future__ import annotations

from textual import events

from ccvm_tui.terminal import mouse

_WHEEL: dict[type[events.MouseEvent], int] = {
    events.MouseScrollUp: mouse.WHEEL_UP,
    events.MouseScrollDown: mouse.WHEEL_DOWN,
    events.MouseScrollLeft: mouse.WHEEL_LEFT,
    events.MouseScrollRight: mouse.WHEEL_RIGHT,
}


def button_code(event: events.MouseEvent) -> int:
    """Return the code of an event's button or wheel, with the bits for motion and modifiers."""
    code = _WHEEL.get(type(event), event.button - 1 if event.button else mouse.NONE)
    code |= mouse.MOTION if isinstance(event, events.MouseMove) else 0
    code |= (mouse.SHIFT if event.shift else 0) | (mouse.META if event.meta else 0)
    return code | (mouse.CONTROL if event.ctrl else 0)
