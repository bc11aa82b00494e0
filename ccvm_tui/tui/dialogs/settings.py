"""A project's settings in effect, and where each comes from. They are changed in config.toml, by its editor."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import SuspendNotSupported
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from ccvm_tui import config
from ccvm_tui.config import SCHEMA, Effective
from ccvm_tui.errors import ConfigError
from ccvm_tui.paths import config_file
from ccvm_tui.text import plain
from ccvm_tui.tui import workers
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.inks import inks_of
from ccvm_tui.tui.toml_section import with_section


class ProjectSettings(DialogScreen[None]):
    DEFAULT_CSS = """
    ProjectSettings Dialog { width: 100; }
    ProjectSettings VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar = [("q", "leave"), ("e,enter", "edit"), ("j", "down"), ("k", "up")]

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project
        self._text = Static(markup=False)
        self._scroll = VerticalScroll(self._text, can_focus=True)
        self.title_text = f"Settings of {plain(Path(project).name, 60)}"

    def inside(self) -> list[Widget]:
        return [self._scroll]

    def on_mount(self) -> None:
        self._show()
        self._scroll.focus()

    def _show(self) -> None:
        inks = inks_of(self)
        text = Text()
        text.append("e", inks.ink("accent", "panel", bold=True))
        text.append(f" edits {config_file()} at this project's section.\n", inks.ink("muted", "panel"))
        text.append("A running guest keeps what it was started with.\n\n", inks.ink("muted", "panel"))
        try:
            self._rows(text, config.resolve(Path(self._project), os.environ))
        except ConfigError as error:
            text.append(f"✗ {error.message}\n", inks.ink("error", "panel"))
        self._text.update(text)

    def _rows(self, text: Text, effective: Effective) -> None:
        inks = inks_of(self)
        for name, row in SCHEMA.items():
            if not row.per_project:
                continue
            value, origin = effective.values[name], effective.origins[name]
            own = origin.source is not config.Source.DEFAULT
            shown = (
                ", ".join(map(str, value))
                if isinstance(value, tuple | list)
                else str(value).lower()
                if isinstance(value, bool)
                else str(value) or "—"
            )
            text.append(f"{name:<20}", inks.ink("foreground", "panel", bold=own))
            text.append(f"{plain(shown, 28):<30}", inks.ink("accent" if own else "foreground", "panel"))
            detail = f" {origin.detail}" if origin.detail else ""
            text.append(f"{origin.source.value}{detail}\n", inks.ink("muted", "panel"))

    def action_edit(self) -> None:
        """Open the user's editor on the file, which gets a section for the project if it has none."""
        workers.start(self, self._edit, "edit the settings", "edit", exclusive=True)

    async def _edit(self) -> None:
        path = config_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            new, line = with_section(old, self._project)
            if new != old:
                path.write_text(new, encoding="utf-8")
            editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
            with self.app.suspend():
                process = await asyncio.create_subprocess_exec(*editor, f"+{line}", str(path))
                await process.wait()
            if new != old and path.read_text(encoding="utf-8") == new:  # nothing was written: leave no trace
                path.write_text(old, encoding="utf-8") if old else path.unlink()
        except SuspendNotSupported:
            self.notify("There is no terminal for an editor", timeout=3)
        except (OSError, ValueError) as error:
            self.notify(f"{path} could not be edited: {error}", severity="error", markup=False)
        self._show()
        self.app.refresh(layout=True)

    def action_down(self) -> None:
        self._scroll.scroll_down(animate=False)

    def action_up(self) -> None:
        self._scroll.scroll_up(animate=False)
