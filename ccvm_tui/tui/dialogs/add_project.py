"""The dialog for adding a project by its path, with completion of directories."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text
from textual import events
from textual.widget import Widget
from textual.widgets import Input, Static

from ccvm_tui.errors import UserError
from ccvm_tui.project import resolve
from ccvm_tui.text import plain
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import LineInput

SHOWN = 10
"""The number of completions that are shown."""


def completions(typed: str) -> list[str]:
    """Return the directories that begin with what was typed, each with a final ``/``.

    Hidden directories are included only if the last component begins with a dot.
    """
    text = typed or "~/"
    expanded = Path(text).expanduser()
    parent, begin = (expanded, "") if text.endswith("/") else (expanded.parent, expanded.name)
    try:
        with os.scandir(parent) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and entry.name.startswith(begin)]
    except OSError:
        return []
    head = text if text.endswith("/") else text[: len(text) - len(begin)]
    return [f"{head}{name}/" for name in sorted(names) if begin.startswith(".") or not name.startswith(".")]


class AddProject(DialogScreen[str]):
    """The dialog. Its answer is the path of the project."""

    title_text = "Add a project"

    def __init__(self) -> None:
        super().__init__()
        self._path = LineInput(value=str(Path.cwd()), placeholder="a directory")
        self._completions = Static("", classes="note", markup=False)
        self._error = Static("", classes="error", markup=False)

    def inside(self) -> list[Widget]:
        """Return the input line, an explanation, and the completions."""
        note = Text("Its guest can access this directory and nothing else. Tab completes, Enter adds it.")
        return [self._path, Static(note, classes="note"), self._error, self._completions]

    def on_mount(self) -> None:
        """Let the user type."""
        self._path.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the completions."""
        at = max(event.value.rfind("//"), event.value.rfind("/~"))
        if at >= 0:  # the user has typed a whole path after the initial one
            self._path.value = event.value[at + 1 :]
            self._path.cursor_position = len(self._path.value)
            return
        found = completions(event.value)
        inks = inks_of(self)
        text = Text()
        for name in found[:SHOWN]:
            text.append(f"  {plain(name, 200)}\n", inks.ink("muted", "panel"))
        if len(found) > SHOWN:
            text.append(f"  … {len(found) - SHOWN} more", inks.ink("faint", "panel"))
        self._completions.update(text)
        self._error.update("")

    def on_key(self, event: events.Key) -> None:
        """Complete the path with Tab."""
        if event.key != "tab":
            return
        event.stop()
        event.prevent_default()
        found = completions(self._path.value)
        if found:
            common = os.path.commonprefix(found)  # noqa: RUF071 - characters are what is typed
            self._path.value = found[0] if len(found) == 1 or common == self._path.value else common
            self._path.cursor_position = len(self._path.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer the path, or show why it cannot be a project."""
        try:
            found = resolve(event.value.rstrip("/") or "/")
        except UserError as error:
            self._error.update(f"✗ {error.message}" + (f"\n  → {error.hint}" if error.hint else ""))
            return
        self.dismiss(str(found.path))
