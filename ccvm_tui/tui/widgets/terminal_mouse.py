"""The mouse over a session: the program's if it asked for it, else ours to select, scroll and follow links."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.timer import Timer

from ccvm_tui.tui.selection import Point, Selection, Shape

if TYPE_CHECKING:
    from ccvm_tui.tui.widgets.terminal import Terminal

WHEEL_LINES = 3

EDGE_EVERY = 0.05
"""Seconds between lines while a selection is dragged beyond the edge: a mouse held still there reports nothing."""


class TerminalMouse:
    """A part of the terminal widget (Textual finds handlers by their names in every base class)."""

    _guests_drag = False
    """A button is down that the program was told of: it must hear of the rest, whatever Shift does meanwhile."""
    _edge: Timer | None = None
    _beyond = 0

    @property
    def _terminal(self) -> Terminal:
        return cast("Terminal", self)

    def _guests_mouse(self, event: events.MouseEvent) -> bool:
        """Whether the program asked for the mouse. Shift always keeps it for us."""
        me = self._terminal
        if self._guests_drag:
            return True
        return bool(me.grid.modes.mouse) and not event.shift and me.reading is None and not me.dragging

    def _point(self, event: events.MouseEvent) -> Point:
        me = self._terminal
        column = max(0, min(int(event.x), me.size.width - 1)) + (0 if me.reading is not None else me.left)
        row = max(0, min(int(event.y), me.size.height - 1))
        return Point(me.line_at(row)[0], column)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        me = self._terminal
        self._guests_drag = False
        if self._guests_mouse(event):
            event.stop()
            self._guests_drag = True
            me.focus()
            me.capture_mouse()
            me.send(me.guest_input.mouse(event, me.left, me.up))
            return
        if event.button == 1:
            event.stop()
            shape = Shape.BLOCK if event.meta or event.ctrl else Shape.CHARACTERS
            point = self._point(event)
            me.selection = Selection(point, point, shape)
            me.dragging = True
            me.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        me = self._terminal
        if self._guests_mouse(event):
            event.stop()
            me.send(me.guest_input.mouse(event, me.left, me.up))
        elif me.dragging and me.selection is not None:
            event.stop()
            self._drag_beyond(-1 if event.y < 0 else 1 if event.y >= me.size.height else 0)
            self._select_to(self._point(event))

    def _select_to(self, head: Point) -> None:
        me = self._terminal
        if me.selection is not None and head != me.selection.head:
            me.selection = me.selection.to(head)
            me.repaint_all()

    def _drag_beyond(self, direction: int) -> None:
        """Scroll while the drag is above (-1) or below (1) the screen; dragging up begins to read."""
        me = self._terminal
        if direction < 0 and me.reading is None and me.grid.history and not me.grid.alternate:
            me.read_scrollback(glancing=True)
        if direction == self._beyond or me.reading is None:
            return
        self._beyond = direction
        if self._edge is not None:
            self._edge.stop()
            self._edge = None
        if direction:
            self._edge = me.set_interval(EDGE_EVERY, self._scroll_at_edge)
            self._scroll_at_edge()

    def _scroll_at_edge(self) -> None:
        me = self._terminal
        if me.reading is None or not me.dragging or me.selection is None:
            self._end_at_edge()
            return
        me.reading.scroll(self._beyond)
        row = 0 if self._beyond < 0 else me.size.height - 1
        self._select_to(Point(me.line_at(row)[0], me.selection.head.column))

    def _end_at_edge(self) -> None:
        self._beyond = 0
        if self._edge is not None:
            self._edge.stop()
            self._edge = None

    def on_mouse_up(self, event: events.MouseUp) -> None:
        me = self._terminal
        me.release_mouse()
        if self._guests_mouse(event):
            event.stop()
            self._guests_drag = False
            me.send(me.guest_input.mouse(event, me.left, me.up))
        elif me.dragging:
            event.stop()
            me.dragging = False
            self._end_at_edge()
            selection = me.selection
            if selection is not None and selection.anchor == selection.head:
                me.selection = None
                me.repaint_all()
            elif selection is not None:
                me.post_message(me.Selected(me, selection))

    def on_click(self, event: events.Click) -> None:
        me = self._terminal
        if self._guests_mouse(event):
            return
        event.stop()
        point = self._point(event)
        if event.chain == 1 and (event.ctrl or event.meta):
            if address := self._link_at(point):
                me.post_message(me.LinkClicked(me, address))
        elif event.chain >= 2:
            shape = Shape.WORDS if event.chain == 2 else Shape.LINES
            me.selection = Selection(point, point, shape)
            me.repaint_all()
            me.post_message(me.Selected(me, me.selection))

    def _link_at(self, point: Point) -> str:
        me = self._terminal
        base = me.reading.top if me.reading is not None else me.grid.top + me.up
        _, line = me.line_at(point.line - base)
        at = 0
        for _, width, style in line.runs:
            if at <= point.column < at + width:
                return style.link
            at += width
        return ""

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        me = self._terminal
        event.stop()
        if self._guests_mouse(event):
            me.send(me.guest_input.mouse(event, me.left, me.up))
        elif me.reading is not None:
            me.reading.wheel(direction * WHEEL_LINES)
        elif me.grid.alternate:
            me.send(me.guest_input.wheel_as_keys(direction, WHEEL_LINES))
        elif direction < 0 and me.grid.history:
            me.read_scrollback(scroll=-WHEEL_LINES, glancing=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        me = self._terminal
        if self._guests_mouse(event):
            me.send(me.guest_input.mouse(event, me.left, me.up))

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        self.on_mouse_scroll_left(event)  # type: ignore[arg-type]
