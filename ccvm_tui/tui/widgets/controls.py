"""Common parts of widgets: the message that requests an action, background work, input lines and buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from rich.text import Text
from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from ccvm_tui.errors import CcvmError, UserError
from ccvm_tui.paths import unwritable
from ccvm_tui.text import plain
from ccvm_tui.tui.actions.table import Action
from ccvm_tui.tui.terminal_io.app import inks_of


@dataclass
class ActionRequested(Message):
    """The user has requested an action with a key or a click."""

    action: Action


SHOWN_ERRORS = (CcvmError, OSError, TimeoutError)
"""Errors of an action that are shown to the user. All others end the app."""


def start(node: Widget | App[Any], work: Callable[[], Awaitable[None]], name: str, *, exclusive: bool = False) -> None:
    """Run ``work`` in the background as long as ``node`` exists, and show its errors to the user."""

    async def guarded() -> None:
        try:
            await work()
        except SHOWN_ERRORS as error:
            show_error(node, error)

    run_in_background(node, guarded, name, group=name if exclusive else "actions", exclusive=exclusive)


def run_in_background(
    node: DOMNode, work: Callable[[], Coroutine[Any, Any, None]], name: str, *, group: str, exclusive: bool = False
) -> None:
    """Run ``work`` in the background as long as ``node`` exists. An exception of it ends the app.

    With ``exclusive``, other work in the group is cancelled. ``work`` is a function, because a coroutine whose task is
    cancelled before it begins causes a warning.
    """
    node.run_worker(cast("Any", work), name=name, group=group, exclusive=exclusive)


def described(error: Exception) -> tuple[str, str]:
    """Return what happened, and what to do about it or an empty string."""
    known = unwritable(error) if isinstance(error, OSError) else error
    if isinstance(known, UserError):
        return known.message, known.hint
    return str(error) or type(error).__name__, ""


def error_text(error: Exception) -> str:
    """Return what happened, and in another line what to do about it."""
    message, hint = described(error)
    return plain(message, 300) + (f"\n→ {plain(hint, 200)}" if hint else "")


def show_error(node: Widget | App[Any], error: Exception) -> None:
    """Show an error to the user, with what to do about it."""
    node.notify(error_text(error), title="That did not work", severity="error", timeout=10, markup=False)


class LineInput(Input):
    """A line for input. Its cursor does not blink, because nothing on the screen moves without a reason."""

    def on_mount(self) -> None:
        """Stop the cursor from blinking."""
        self.cursor_blink = False


class CancellableInput(LineInput):
    """A line for input beside other widgets, which Escape leaves."""

    @dataclass
    class Cancelled(Message):
        """The user has pressed Escape."""

        input: CancellableInput

        @property
        def control(self) -> CancellableInput:
            """The line."""
            return self.input

    def key_escape(self, event: events.Key) -> None:
        """Cancel the input."""
        event.stop()
        self.post_message(self.Cancelled(self))


class KeyButton(Static):
    """A key and what it does, to be clicked: ``[r] start``. A click posts the message that ``message`` creates."""

    DEFAULT_CSS = "KeyButton { width: auto; height: 1; margin: 1 0 0 0; }"

    def __init__(self, key: str, label: str, message: Callable[[], Message]) -> None:
        super().__init__("")
        self._key = key
        self._caption = label
        self._message = message

    def on_mount(self) -> None:
        """Draw the button in the theme's colours."""
        inks = inks_of(self)
        text = Text()
        text.append(f" {self._key} ", inks.ink("accent", "panel", bold=True))
        text.append(f" {self._caption} ", inks.ink("foreground", "panel"))
        self.styles.width = len(text)
        self.update(text)

    def on_click(self, event: events.Click) -> None:
        """Post the message."""
        event.stop()
        self.post_message(self._message())
