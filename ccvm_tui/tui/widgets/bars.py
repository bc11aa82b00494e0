"""Lines of text in the theme's colours: header, keys at the bottom, title of a session; and the sidebar's divider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from ccvm_tui.text import size_text
from ccvm_tui.tui.actions.table import ATTENTION, Action, KeyHint
from ccvm_tui.tui.model.model import Totals
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.terminal_io.strips import fit
from ccvm_tui.tui.widgets.controls import ActionRequested

LOAD_INTERVAL = 3.0
"""Seconds between two measurements of the host's load."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text in a colour of the theme. A click on it requests ``action``."""

    text: str
    colour: str = "foreground"
    bold: bool = False
    action: Action | None = None


class Bar(Widget):
    """One line with pieces on the left and on the right. The right ones are left out if there is not enough space."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    ground = "panel"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: tuple[Piece, ...] = ()
        self._right: tuple[Piece, ...] = ()
        self._places: list[tuple[int, int, Action | None]] = []

    def show(self, left: Sequence[Piece], right: Sequence[Piece] = ()) -> None:
        """Show pieces in place of those before."""
        if (tuple(left), tuple(right)) != (self._left, self._right):
            self._left, self._right = tuple(left), tuple(right)
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Request the action of the piece under the pointer."""
        for start, end, action in self._places:
            if start <= event.x < end and action is not None:
                event.stop()
                self.post_message(ActionRequested(action))

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width = self.size.width
        right_width = sum(cell_len(piece.text) for piece in self._right)
        left_width = sum(cell_len(piece.text) for piece in self._left)
        if left_width + right_width > width:
            right_width = 0
        segments: list[Segment] = []
        self._places = []
        at = self._draw(segments, self._left, 0, width - right_width)
        gap = width - right_width - at
        if gap > 0:
            segments.append(Segment(" " * gap, inks_of(self).on(self.ground)))
        if right_width:
            self._draw(segments, self._right, width - right_width, width)
        return Strip(segments, width)

    def _draw(self, segments: list[Segment], pieces: Sequence[Piece], at: int, end: int) -> int:
        inks = inks_of(self)
        for piece in pieces:
            width = cell_len(piece.text)
            if at + width > end:
                if piece.action is not None and end - at < width:
                    break  # a key that is cut off is useless
                width = end - at
            if width <= 0:
                break
            segments.append(Segment(fit(piece.text, width), inks.ink(piece.colour, self.ground, bold=piece.bold)))
            self._places.append((at, at + width, piece.action))
            at += width
        return at


class HeaderBar(Bar):
    """The numbers of guests and sessions, and the host's load, which is measured every few seconds."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._totals = Totals()
        self._load = ""
        self._load_timer: Timer | None = None

    def on_mount(self) -> None:
        """Start measuring the load."""
        self._load_timer = self.set_interval(LOAD_INTERVAL, self._measure_load)
        self._measure_load()

    def _measure_load(self) -> None:
        memory = psutil.virtual_memory()
        load, cpu = psutil.getloadavg()[0], psutil.cpu_percent()
        self._load = f"load {load:.1f}  cpu {cpu:.0f}%  mem {size_text(memory.used)}/{size_text(memory.total)} "
        self.show_totals(self._totals)

    def freeze_load(self, text: str) -> None:
        """Show ``text`` as the load, and stop measuring it. For pictures, which must not differ."""
        if self._load_timer is not None:
            self._load_timer.stop()
        self._load = text
        self.show_totals(self._totals)

    def show_totals(self, totals: Totals) -> None:
        """Show the numbers of guests and sessions."""
        self._totals = totals
        left = [Piece(" ccvm ", "primary", True)]
        left.append(Piece(f" ● {totals.running} running ", "success" if totals.running else "muted"))
        if totals.booting:
            left.append(Piece(f" ◐ {totals.booting} booting ", "warning"))
        if totals.paused:
            left.append(Piece(f" ‖ {totals.paused} paused ", "secondary"))
        left.append(Piece(f" {totals.sessions} session{'' if totals.sessions == 1 else 's'} ", "muted"))
        if totals.waiting:
            left.append(Piece(f" ! {totals.waiting} waiting ", "accent", True, ATTENTION))
        self.show(left, (Piece(self._load, "muted"),))


class FooterBar(Bar):
    """The keys that are available now."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[KeyHint, ...] = ()

    def show_keys(self, hints: Sequence[KeyHint]) -> None:
        """Show keys. If there is not enough space, the last two are kept."""
        self._hints = tuple(hints)
        self._arrange()

    def on_resize(self) -> None:
        """Arrange the keys in the new width."""
        self._arrange()

    def _arrange(self) -> None:
        hints = list(self._hints)
        gap = 3
        while (
            hints and 1 + sum(cell_len(hint.key) + 1 + cell_len(hint.label) + gap for hint in hints) > self.size.width
        ):
            if gap > 2:
                gap = 2
            else:
                del hints[-3 if len(hints) > 3 else -1]
        pieces: list[Piece] = [Piece(" ")]
        for hint in hints:
            pieces.append(Piece(hint.key, "accent", True, hint.action))
            pieces.append(Piece(f" {hint.label}{' ' * gap}", "muted", False, hint.action))
        self.show(pieces)


class TitleBar(Bar):
    """The line above a session's terminal."""

    ground = "surface"


class Divider(Widget):
    """The line between the sidebar and the main area. Dragging it resizes the sidebar."""

    DEFAULT_CSS = "Divider { width: 1; height: 1fr; }"

    @dataclass
    class Dragged(Message):
        """The divider is dragged to the column ``x`` of the screen."""

        x: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._dragging = False

    def render_line(self, y: int) -> Strip:
        """Draw one cell of the line."""
        return Strip([Segment("│", inks_of(self).ink("primary" if self._dragging else "line", "surface"))], 1)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to drag."""
        event.stop()
        self._dragging = True
        self.capture_mouse()
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag."""
        if self._dragging:
            event.stop()
            self.post_message(self.Dragged(int(event.screen_x)))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Stop dragging."""
        self._dragging = False
        self.release_mouse()
        self.refresh()
