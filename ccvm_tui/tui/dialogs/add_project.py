"""Adding a project by its path, with completion of directories."""

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
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.widgets.line import Line

SHOWN = 10


def completions(typed: str) -> list[str]:
    """Directories that begin as typed, with ``/`` at the end; hidden ones only when asked for."""
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
    title_text = "Add a project"

    def __init__(self, start: str = "") -> None:
        super().__init__()
        self._input = Line(value=start or str(Path.cwd()), placeholder="a directory")
        self._list = Static("", classes="note", markup=False)
        self._error = Static("", classes="error", markup=False)

    def inside(self) -> list[Widget]:
        note = Text("Its guest will see this directory and nothing else. Tab completes, Enter adds.")
        return [self._input, Static(note, classes="note"), self._error, self._list]

    def on_mount(self) -> None:
        self._input.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        at = max(event.value.rfind("//"), event.value.rfind("/~"))
        if at >= 0:  # a whole path typed behind the beginning of another: it is the one that is meant
            self._input.value = event.value[at + 1 :]
            self._input.cursor_position = len(self._input.value)
            return
        found = completions(event.value)
        text = Text()
        for name in found[:SHOWN]:
            text.append(f"  {plain(name, 200)}\n", inks_of(self).ink("muted", "panel"))
        if len(found) > SHOWN:
            text.append(f"  … {len(found) - SHOWN} more", inks_of(self).ink("faint", "panel"))
        self._list.update(text)
        self._error.update("")

    def on_key(self, event: events.Key) -> None:
        if event.key != "tab":
            return
        event.stop()
        event.prevent_default()
        found = completions(self._input.value)
        if found:
            common = os.path.commonprefix(found)  # noqa: RUF071 - characters are what is typed
            self._input.value = found[0] if len(found) == 1 or common == self._input.value else common
            self._input.cursor_position = len(self._input.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            found = resolve(event.value.rstrip("/") or "/")
        except UserError as error:
            self._error.update(f"✗ {error.message}" + (f"\n  → {error.hint}" if error.hint else ""))
            return
        self.dismiss(str(found.path))
