"""A question with yes and no. No is what Enter and Escape say: nothing is lost by habit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.button import Action


class Confirm(DialogScreen[bool]):
    DEFAULT_CSS = "Confirm Horizontal { height: auto; } Confirm Action { margin-right: 2; }"

    def __init__(self, question: str, lines: Sequence[str], yes: str, no: str = "leave it") -> None:
        super().__init__()
        self.title_text = question
        self._lines = list(lines)
        self._yes = yes
        self._no = no

    def inside(self) -> list[Widget]:
        return [
            Static(Text("\n".join(self._lines) + "\n"), markup=False),
            Horizontal(Action("y", self._yes, "yes"), Action("n", self._no, "no")),
        ]

    def on_key(self, event: events.Key) -> None:
        if event.key in ("y", "Y"):
            self.dismiss(True)
        elif event.key in ("n", "N", "enter", "q"):
            self.dismiss(False)
        else:
            return
        event.stop()

    def on_action_pressed(self, event: Action.Pressed) -> None:
        self.dismiss(event.action == "yes")
