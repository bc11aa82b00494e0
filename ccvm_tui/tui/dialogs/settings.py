"""The settings of a project and their sources. They are changed in config.toml, with the user's editor."""

from __future__ import annotations

import asyncio
import os
import re
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
from ccvm_tui.tui.dialogs.dialog import DialogScreen
from ccvm_tui.tui.terminal_io.app import inks_of
from ccvm_tui.tui.widgets.controls import run_in_background

_SECTION = re.compile(r'^\s*\[\s*project\s*\.\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\')\s*\]')
"""The header of a project's section in config.toml."""


def with_section(text: str, project: str) -> tuple[str, int]:
    """Return a configuration with a section for ``project``, and the line of its first setting, counted from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if (match := _SECTION.match(line)) is not None:
            name = match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[1])
            if os.path.realpath(Path(name).expanduser()) == project:
                return text, number + 1
    quoted = project.replace("\\", "\\\\").replace('"', '\\"')
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    section = f'[project."{quoted}"]\n# memory = 4096\n# cores = 4\n# writable_cwd = true\n# agent = "claude"\n'
    new = text + gap + section
    return new, new[: -len(section)].count("\n") + 2


class ProjectSettings(DialogScreen[None]):
    """The settings of one project."""

    DEFAULT_CSS = """
    ProjectSettings Dialog { width: 100; }
    ProjectSettings VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar = [("q", "leave"), ("e,enter", "edit"), ("j", "down"), ("k", "up")]

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project
        self._lines = Static(markup=False)
        self._scroll_area = VerticalScroll(self._lines, can_focus=True)
        self.title_text = f"Settings of {plain(Path(project).name, 60)}"

    def inside(self) -> list[Widget]:
        """Return the table."""
        return [self._scroll_area]

    def on_mount(self) -> None:
        """Show the table."""
        self._show()
        self._scroll_area.focus()

    def _show(self) -> None:
        inks = inks_of(self)
        text = Text()
        text.append("e", inks.ink("accent", "panel", bold=True))
        text.append(f" edits this project's section of {config_file()}.\n", inks.ink("muted", "panel"))
        text.append("Changes take effect when the guest is started the next time.\n\n", inks.ink("muted", "panel"))
        try:
            self._write_rows(text, config.resolve(Path(self._project), os.environ))
        except ConfigError as error:
            text.append(f"✗ {error.message}\n", inks.ink("error", "panel"))
        self._lines.update(text)

    def _write_rows(self, text: Text, effective: Effective) -> None:
        inks = inks_of(self)
        for name, row in SCHEMA.items():
            if not row.per_project:
                continue
            value, origin = effective.values[name], effective.origins[name]
            own = origin.source is not config.Source.DEFAULT
            text.append(f"{name:<24}", inks.ink("foreground", "panel", bold=own))
            text.append(f"{plain(_shown(value), 26):<28}", inks.ink("accent" if own else "foreground", "panel"))
            detail = f" {origin.detail}" if origin.detail else ""
            text.append(f"{origin.source.value}{detail}\n", inks.ink("muted", "panel"))

    def action_edit(self) -> None:
        """Open the user's editor with the configuration."""
        run_in_background(self, self._edit, "edit the settings", group="edit", exclusive=True)

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
            if new != old and path.read_text(encoding="utf-8") == new:  # the user has changed nothing
                path.write_text(old, encoding="utf-8") if old else path.unlink()
        except SuspendNotSupported:
            self.notify("There is no terminal for an editor", timeout=3)
        except (OSError, ValueError) as error:
            self.notify(f"Cannot edit {path}: {error}", severity="error", markup=False)
        self._show()
        self.app.refresh(layout=True)

    def action_down(self) -> None:
        """Scroll down."""
        self._scroll_area.scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll up."""
        self._scroll_area.scroll_up(animate=False)


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) or "—"
