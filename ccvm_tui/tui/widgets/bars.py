"""The two lines around everything: totals above, the keys that work now below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.plain import fit


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text in a colour of the theme. ``action`` makes it clickable."""

    text: str
    colour: str = "foreground"
    bold: bool = False
    action: str = ""


class Bar(Widget):
    """One line: pieces from the left, pieces at the right; the right ones give way when there is no room."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    ground = "panel"

    @dataclass
    class Clicked(Message):
        action: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left: tuple[Piece, ...] = ()
        self._right: tuple[Piece, ...] = ()
        self._places: list[tuple[int, int, str]] = []

    def show(self, left: Sequence[Piece], right: Sequence[Piece] = ()) -> None:
        if (tuple(left), tuple(right)) != (self._left, self._right):
            self._left, self._right = tuple(left), tuple(right)
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._places:
            if start <= event.x < end and action:
                event.stop()
                self.post_message(self.Clicked(action))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        right_width = sum(cell_len(piece.text) for piece in self._right)
        left_width = sum(cell_len(piece.text) for piece in self._left)
        if left_width + right_width > width:
            right_width = 0
        segments: list[Segment] = []
        self._places = []
        at = self._draw(segments, self._left, 0, width - right_width)
        ink = inks_of(self).on(self.ground)
        gap = width - right_width - at
        if gap > 0:
            segments.append(Segment(" " * gap, ink))
        if right_width:
            self._draw(segments, self._right, width - right_width, width)
        return Strip(segments, width)

    def _draw(self, segments: list[Segment], pieces: Sequence[Piece], at: int, end: int) -> int:
        inks = inks_of(self)
        for piece in pieces:
            width = cell_len(piece.text)
            if at + width > end:
                if piece.action and end - at < width:
                    break  # half a key helps nobody
                width = end - at
            if width <= 0:
                break
            segments.append(Segment(fit(piece.text, width), inks.ink(piece.colour, self.ground, bold=piece.bold)))
            self._places.append((at, at + width, piece.action))
            at += width
        return at


class HeaderBar(Bar):
    pass


class FooterBar(Bar):
    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys: tuple[tuple[str, str, str], ...] = ()

    def show_keys(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """``keys`` are (key, what it does, action); the last two are kept to the last where there is no room."""
        self._keys = tuple(keys)
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        keys = list(self._keys)
        gap = 3
        while keys and 1 + sum(cell_len(key) + 1 + cell_len(about) + gap for key, about, _ in keys) > self.size.width:
            if gap > 2:
                gap = 2
            else:
                del keys[-3 if len(keys) > 3 else -1]
        pieces: list[Piece] = [Piece(" ")]
        for key, about, action in keys:
            pieces.append(Piece(key, "accent", True, action))
            pieces.append(Piece(f" {about}{' ' * gap}", "muted", False, action))
        self.show(pieces)


class TitleBar(Bar):
    """The line above a session's terminal."""

    ground = "surface"


class Divider(Widget):
    """The line between sidebar and content; dragging it resizes the sidebar."""

    DEFAULT_CSS = "Divider { width: 1; height: 1fr; }"

    @dataclass
    class Dragged(Message):
        """``x`` is the column on the screen that the divider is dragged to."""

        x: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._dragging = False

    def render_line(self, y: int) -> Strip:
        return Strip([Segment("│", inks_of(self).ink("primary" if self._dragging else "line", "surface"))], 1)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self._dragging = True
        self.capture_mouse()
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            event.stop()
            self.post_message(self.Dragged(int(event.screen_x)))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._dragging = False
        self.release_mouse()
        self.refresh()
