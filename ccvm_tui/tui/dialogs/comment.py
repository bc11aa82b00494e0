"""The line in which the user writes a comment for the agent."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input, Static

from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.controls import LineInput


class Comment(DialogScreen[str]):
    """The dialog. ``subject`` is what the comment is about, ``receiver`` the session that gets it."""

    title_text = "Comment"

    def __init__(self, subject: str, receiver: str) -> None:
        super().__init__()
        self._subject = subject
        self._receiver = receiver

    def inside(self) -> list[Widget]:
        """Return the line and its explanation."""
        explanation = f"Enter puts it into the prompt of {self._receiver}, with the lines.\nEnter there sends it."
        return [
            Static(f"{self._subject}\n", markup=False),
            LineInput(placeholder="what should be different?"),
            Static(f"\n{explanation}", markup=False, classes="note"),
        ]

    def on_mount(self) -> None:
        """Focus the line."""
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with the comment, or None if it is empty."""
        self.dismiss(event.value.strip() or None)
