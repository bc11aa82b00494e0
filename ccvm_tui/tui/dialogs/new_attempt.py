"""The dialog for a new attempt of a project, which asks for its name."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input, Static

from ccvm_tui.attempt import names
from ccvm_tui.errors import UserError
from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.widgets.controls import LineInput


class NewAttempt(DialogScreen[str]):
    """The dialog. Its answer is the name of the attempt and its branch."""

    def __init__(self, project: str) -> None:
        super().__init__()
        self.title_text = f"New attempt of {plain(project, 40)}"
        self._line = LineInput(placeholder="name of the attempt and its branch, such as fix-login")
        self._error = Static("", classes="error", markup=False)

    def inside(self) -> list[Widget]:
        """Return the line and its explanation."""
        note = (
            "An agent works on a private clone in a guest of its own, on a branch of this name. Your checkout stays as "
            "it is. F fetches its commits, d reviews them."
        )
        return [self._line, self._error, Static(f"\n{note}", classes="note", markup=False)]

    def on_mount(self) -> None:
        """Focus the line."""
        self._line.focus()

    def on_input_changed(self) -> None:
        """Remove the error."""
        self._error.update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with the name, or show why it cannot be one."""
        try:
            self.dismiss(names.check(event.value.strip()))
        except UserError as error:
            self._error.update(f"✗ {error.message}")
