"""Every use of internals of Textual and Rich, that is, of their names that begin with an underscore.

``tests/tui/test_internals.py`` fails if a new version changes one of them, and if another module uses one.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.style import Style
from textual.app import App
from textual.driver import Driver
from textual.strip import Strip
from textual.widget import Widget


class HookedApp(App[int]):
    """An app with public methods that are called where Textual has private ones."""

    def update_begins(self) -> None:
        """Handle the beginning of an update of the terminal, after Textual has begun synchronized output."""

    def update_ends(self) -> None:
        """Handle the end of an update of the terminal, before Textual ends synchronized output."""

    def crashed(self, error: Exception) -> None:
        """Handle an exception that ends the app."""

    def _begin_update(self) -> None:
        super()._begin_update()
        self.update_begins()

    def _end_update(self) -> None:
        self.update_ends()
        super()._end_update()

    def _handle_exception(self, error: Exception) -> None:
        if self._exit and self._exception is None:
            # the user has quit, and a message that was still queued has found the screen half removed
            self.log.error(repr(error))
            return
        self.crashed(error)
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """End the app without Textual's traceback on the terminal. ``crashed`` has stored it."""
        self._close_messages_no_wait()


class SelfRenderingStrip(Strip):
    """A strip that renders itself. Textual joins the text of such strips, instead of rendering their segments."""

    __slots__ = ()

    def render(self, console: Console) -> str:
        """Return the text of the strip with its escape sequences, which is created once."""
        if self._render_cache is None:
            self._render_cache = self.rendered()
        return self._render_cache

    def rendered(self) -> str:
        """Create the text of the strip."""
        raise NotImplementedError


def with_sgr(style: Style, parameters: str) -> Style:
    """Return a copy of ``style`` that Rich renders with exactly these SGR parameters. It must have a colour."""
    copy = style.copy()
    copy._ansi = parameters
    return copy


def driver_of(app: App[Any]) -> Driver | None:
    """Return the app's driver, or None before it is started."""
    return app._driver


def uses_synchronized_output(app: App[Any]) -> bool:
    """Return whether the terminal supports synchronized output (mode 2026)."""
    return app._sync_available


def set_clipboard(app: App[Any], text: str) -> None:
    """Set the text that the app pastes itself, without sending it to the terminal."""
    app._clipboard = text


def is_uncovered(widget: Widget) -> bool:
    """Return whether a widget is drawn completely, and no other widget is drawn above it.

    The result is False while Textual is about to change the layout.
    """
    app = widget.app
    if app._batch_count or not widget.is_attached:
        return False
    screen = widget.screen
    if screen is not app.screen or screen._layout_required:
        return False
    visible = screen._compositor.visible_widgets
    if widget not in visible:
        return False
    own, clip = visible[widget]
    if not clip.contains_region(own):
        return False
    for other, (region, other_clip) in visible.items():  # from the top to the bottom
        if other is widget:
            return True
        if region.intersection(other_clip).overlaps(own) and other not in widget.ancestors:
            return False
    return False
