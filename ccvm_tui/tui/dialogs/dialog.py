"""The frame of all dialogs: a box with a title in the middle of the screen."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget

Answer = TypeVar("Answer")


class Dialog(Vertical):
    """The box."""

    DEFAULT_CSS = """
    Dialog {
        width: 64; max-width: 95%; height: auto; max-height: 90%; background: $panel; padding: 1 2;
        border: round $line; border-title-color: $primary; border-title-style: bold;
    }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $background; }
    Dialog Input:focus { border: none; }
    Dialog .note { color: $muted; }
    Dialog .error { color: $error; }
    Dialog Static { width: 1fr; height: auto; }
    """


class DialogScreen(ModalScreen[Answer | None], Generic[Answer]):
    """A dialog with the title ``title_text`` and the widgets of ``inside``. Escape answers None."""

    BINDINGS: ClassVar = [("escape", "leave", "leave")]

    DEFAULT_CSS = """
    DialogScreen { align: center middle; background: $background 40%; }
    """

    title_text = ""

    def compose(self) -> ComposeResult:
        """Yield the box."""
        box = Dialog(*self.inside())
        box.border_title = self.title_text
        yield box

    def inside(self) -> list[Widget]:
        """Return the widgets in the box."""
        return []

    def action_leave(self) -> None:
        """Answer None."""
        self.dismiss(None)
